// `npm run check`: types, lint, format and architecture, all at once. The linter knows all types and says what is wrong with them, as
// `npm run typecheck` does by itself: nothing is checked twice.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PARTS = ['lint', 'format:check', 'architecture'];
const root = fileURLToPath(new URL('..', import.meta.url));

/** @param {string} name of a script of package.json */
async function run(name) {
  const child = spawn('npm', ['run', name], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (output += bytes));
  const [code] = await once(child, 'close');
  // Each whole, when it has ended: the lines of two would stand among each other.
  process.stdout.write(output);
  return code === 0 ? [] : [name];
}

const failed = (await Promise.all(PARTS.map(run))).flat();
if (failed.length > 0) console.error(`check failed: ${failed.join(', ')}`);
process.exitCode = failed.length > 0 ? 1 : 0;
