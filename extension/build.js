// Builds the extension into dist/: compiles the client and these sources, copies what is not compiled.
import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const client = join(here, '..', 'client');
const dist = join(here, 'dist');
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');

function compile(folder) {
  rmSync(join(folder, 'dist'), { recursive: true, force: true });
  try {
    execFileSync(process.execPath, [tsc, '-p', join(folder, 'tsconfig.build.json')], { stdio: 'inherit' });
  } catch {
    process.exit(1);
  }
}

compile(client);
compile(here);
cpSync(join(here, 'static'), dist, { recursive: true });
cpSync(join(client, 'dist'), join(dist, 'client'), {
  recursive: true,
  filter: (source) => !source.endsWith('.d.ts'),
});
// A browser does not resolve package names, and a service worker has no import map.
for (const name of readdirSync(dist).filter((file) => file.endsWith('.js'))) {
  const file = join(dist, name);
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll("'@whatshybrid/client'", "'./client/index.js'"));
}
