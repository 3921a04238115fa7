// `npm run demo` on any Node >= 18: makes sure the project's own Node 24 and its packages are here, then runs the demo with them.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readEnv } from './lib/env-file.js';
import { readSettings } from './lib/settings.js';
import { explain } from './lib/start-error.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

let dataDir;
try {
  // The folder in which `npm start` keeps its instance, be it named by the environment or by .env.
  ({ dataDir } = readSettings(readEnv(join(root, '.env'), process.env), []));
} catch (error) {
  console.error(`demo: ${explain(error)}`);
  process.exit(1);
}
const node = join(root, 'node_modules', '.bin', process.platform === 'win32' ? 'node.cmd' : 'node');

if (!existsSync(node)) {
  console.error('demo: installing the packages first (npm ci)');
  const { status, error } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (status !== 0) {
    console.error(`demo: npm ci failed${error ? `: ${error.message}` : ''}; run it by hand to see why.`);
    process.exit(1);
  }
}

const child = spawn(node, [join(root, 'client', 'demo.ts'), ...process.argv.slice(2)], {
  cwd: root,
  env: { ...process.env, DATA_DIR: dataDir },
  stdio: 'inherit',
  shell: process.platform === 'win32',
});
// The demo ends what it has started and then itself; Ctrl-C reaches it from the terminal directly.
process.on('SIGINT', () => {});
for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP'])) process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  console.error(`demo: ${error.message}`);
  process.exit(1);
});
child.on('exit', (code) => process.exit(code ?? 1));
