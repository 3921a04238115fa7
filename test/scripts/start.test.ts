import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { z } from 'zod';
import { INHERITED } from '#test/inherited.ts';
import { removeDataDir } from '../../scripts/lib/throw-away.js';

const START = fileURLToPath(new URL('../../scripts/start.js', import.meta.url));
const made: string[] = [];
afterEach(() => {
  for (const dataDir of made.splice(0)) removeDataDir(dataDir);
});

/** `npm start` with a data folder and services of its own. */
function startPlatform(env: Record<string, string>) {
  const child = spawn(process.execPath, [START], {
    env: { ...INHERITED, LOG_LEVEL: 'warn', DATABASE_URL: '', REDIS_URL: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      output += bytes.toString();
      if (output.includes('Ctrl-C stops everything')) resolve();
    });
  }
  // 'close' and not 'exit': by then all it printed has arrived.
  const ended = once(child, 'close').then(([code]: unknown[]) => code);
  return { child, ended, started: Promise.race([ready, ended]), output: () => output };
}

function dataFolder(): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'wh-start-'));
  made.push(dataDir);
  return dataDir;
}

it('says which PORT is in use, before it starts anything', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = String(typeof address === 'object' ? address?.port : undefined);
  const dataDir = dataFolder();
  const { ended, output } = startPlatform({ PORT: port, DATA_DIR: dataDir });
  expect(await ended).toBe(1);
  expect(output()).toBe(`PORT ${port} is in use on 127.0.0.1: stop what listens there, or set another PORT\n`);
  expect(existsSync(join(dataDir, 'services.json'))).toBe(false);
  expect(existsSync(join(dataDir, 'lock.json'))).toBe(false);
  server.close();
});

it('runs the whole platform, answers the demo login, refuses a second start and stops cleanly', async () => {
  const dataDir = dataFolder();
  const first = startPlatform({ PORT: '0', DATA_DIR: dataDir });
  await first.started;
  const runtimePath = join(dataDir, 'runtime.json');
  expect(first.output()).toContain('WhatsHybrid is ready');
  expect(statSync(runtimePath).mode & 0o777).toBe(0o600);
  const { api, ops, demo } = JSON.parse(readFileSync(runtimePath, 'utf8'));

  const json = { 'content-type': 'application/json' };
  const credentials = JSON.stringify({ email: demo.email, password: demo.password });
  const login = await fetch(`${api}/api/auth/login`, { method: 'POST', headers: json, body: credentials });
  const { token, workspace } = z
    .object({ token: z.string(), workspace: z.object({ id: z.string() }) })
    .parse(await login.json());
  expect(workspace.id).toBe(demo.workspaceId);
  const answer = await fetch(`${api}/api/ai/copilot`, {
    method: 'POST',
    headers: { ...json, accept: 'text/event-stream', authorization: `Bearer ${token}` },
    body: JSON.stringify({ conversationHistory: [{ role: 'user', content: 'Oi! Quanto custa?' }] }),
  });
  expect(await answer.text()).toContain('event: job.completed');
  const basic = Buffer.from(`${ops.user}:${ops.password}`).toString('base64');
  const board = await fetch(`${api}/ops/queues`, { headers: { authorization: `Basic ${basic}` } });
  expect(board.status).toBe(200);

  const second = startPlatform({ PORT: '0', DATA_DIR: dataDir });
  expect(await second.ended).toBe(1);
  expect(second.output()).toMatch(/\S+ is in use by a running start \(process \d+\): [^\n]+\n$/);

  expect(first.output()).toContain(demo.apiKey);
  expect(statSync(join(dataDir, 'secrets.json')).mode & 0o777).toBe(0o600);
  const byKey = (key: string, url = api) =>
    fetch(`${url}/api/jobs`, { headers: { authorization: `Bearer ${key}` } }).then(({ status }) => status);
  expect(await byKey(demo.apiKey)).toBe(200);

  for (const { name, pid } of JSON.parse(readFileSync(join(dataDir, 'lock.json'), 'utf8')).children)
    if (name === 'redis' || name === 'postgres') process.kill(pid, 'SIGKILL');
  await expect
    .poll(first.output, { timeout: 60_000 })
    .toMatch(/redis is back[^]*postgres is back|postgres is back[^]*redis is back/);
  await expect.poll(() => byKey(demo.apiKey).catch(() => 0), { timeout: 60_000 }).toBe(200);
  const ready = () =>
    fetch(`${api}/api/health/ready`).then(
      ({ status }) => status,
      () => 0,
    );
  await expect.poll(ready, { timeout: 60_000 }).toBe(200);

  first.child.kill('SIGTERM');
  expect(await first.ended).toBe(0);
  expect(existsSync(runtimePath)).toBe(false);
  await expect(fetch(`${api}/api/health/live`)).rejects.toThrow('fetch failed');

  // The database knows only its hash: it is the data folder that keeps it.
  const again = startPlatform({ PORT: '0', DATA_DIR: dataDir });
  await again.started;
  const kept = JSON.parse(readFileSync(runtimePath, 'utf8'));
  expect(kept.demo).toEqual(demo);
  expect(await byKey(demo.apiKey, kept.api)).toBe(200);
  again.child.kill('SIGTERM');
  expect(await again.ended).toBe(0);
});
