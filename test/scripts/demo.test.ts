import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it, vi } from 'vitest';
import { queues } from '#queues/index.ts';
import { INHERITED } from '#test/inherited.ts';
import { removeDataDir } from '../../scripts/lib/throw-away.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PARTS = ['package.json', 'package-lock.json', 'scripts', 'src', 'queues', 'workers', 'migrations'];
const made: string[] = [];
afterEach(() => {
  for (const folder of made.splice(0)) removeDataDir(folder);
});

/** All pools in one process: how each is started alone, the tests of `npm start` show. */
const PROCFILE = `release: node src/migrate.ts up
web: node src/server.ts
control: node workers/control.ts
workers: node workers/index.ts ${queues.map(({ name }) => name).join(' ')}
`;

/** A checkout of its own: the demo reads the `.env` beside it. */
function checkout(env: string): string {
  const root = mkdtempSync(join(tmpdir(), 'wh-demo-'));
  made.push(root);
  for (const part of PARTS) cpSync(join(ROOT, part), join(root, part), { recursive: true });
  for (const part of ['demo.ts', 'package.json', 'src']) {
    cpSync(join(ROOT, 'client', part), join(root, 'client', part), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  writeFileSync(join(root, 'Procfile'), PROCFILE);
  writeFileSync(join(root, '.env'), env);
  return root;
}

function startDemo(root: string) {
  const child = spawn(process.execPath, [join(root, 'scripts/demo.js')], {
    env: INHERITED,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      output += bytes.toString();
    });
  }
  const ended = once(child, 'close').then(([code]: unknown[]) => code);
  return { child, ended, output: () => output };
}

it('starts an instance in the DATA_DIR of .env, talks to it and stops it', async () => {
  const root = checkout('DATA_DIR=elsewhere\n');
  const { ended, output } = startDemo(root);
  expect(await ended).toBe(0);
  expect(output()).toMatch(/Copilot: \S/);
  expect(readFileSync(join(root, 'elsewhere/secrets.json'), 'utf8')).toContain('DEMO_PASSWORD');
  expect(existsSync(join(root, 'elsewhere/lock.json'))).toBe(false);
  expect(existsSync(join(root, '.data'))).toBe(false);
});

it('says what is wrong with .env', async () => {
  const { ended, output } = startDemo(checkout('nonsense\n'));
  expect(await ended).toBe(1);
  expect(output()).toMatch(/^demo: \S+\.env line 1: expected NAME=value\n$/);
});

it('stops the instance it has started when it is told more than once', async () => {
  const root = checkout('');
  const lock = join(root, '.data/lock.json');
  const { child, ended } = startDemo(root);
  await vi.waitFor(() => expect(existsSync(lock)).toBe(true), { timeout: 120_000, interval: 20 });
  // To the group, as a terminal sends it, and so often that some arrive while the first is dealt with.
  const until = Date.now() + 100;
  while (Date.now() < until) process.kill(-(child.pid ?? 0), 'SIGINT');
  expect(await ended).toBe(1);
  expect(existsSync(lock)).toBe(false);
});
