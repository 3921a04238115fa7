#!/usr/bin/env node
// Runs under any Node >= 18: what it starts is TypeScript, and where this Node cannot run that, the project's own does.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectNode } from '../scripts/lib/packages.js';

const here = dirname(fileURLToPath(import.meta.url));

function runInProjectNode() {
  const node = projectNode(dirname(here));
  const child = spawn(node, [join(here, 'bin.js'), ...process.argv.slice(2)], { stdio: 'inherit' });
  // From a terminal the child hears Ctrl-C itself, and ends when it has said how to go on.
  process.on('SIGINT', () => {});
  for (const name of /** @type {const} */ (['SIGTERM', 'SIGHUP'])) process.on(name, () => child.kill(name));
  child.on('error', (error) => {
    process.stderr.write(`whatshybrid: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code) => process.exit(code ?? 1));
}

if (Number(process.versions.node.split('.')[0]) >= 24) {
  const { main } = await import('./src/main.ts');
  await main(process.argv.slice(2));
} else {
  try {
    runInProjectNode();
  } catch (error) {
    process.stderr.write(`whatshybrid: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}
