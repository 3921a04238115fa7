import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TestRuntime } from '../test/harness.ts';
import { openTestRuntime } from '../test/harness.ts';
import { INHERITED } from '../test/inherited.ts';
import { findPrograms } from '../test/programs.ts';

let test: TestRuntime;
beforeAll(async () => {
  test = await openTestRuntime();
});
afterAll(() => test.close());

async function start(over: Record<string, string> = {}) {
  const { DATABASE_URL, REDIS_URL, APP_SECRET, OPS_PASSWORD } = test.config;
  const find = await findPrograms();
  const child = spawn(process.execPath, [find('src/server.ts')], {
    env: { ...INHERITED, DATABASE_URL, REDIS_URL, APP_SECRET, OPS_PASSWORD, PORT: '0', ...over },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const exit = once(child, 'exit').then(() => ({ code: child.exitCode, stderr }));
  return { child, exit };
}

it.each(['SIGTERM', 'SIGINT'] as const)('listens, answers, and closes on %s with exit code 0', async (signal) => {
  const { child, exit } = await start();
  let address = '';
  for await (const line of createInterface(child.stdout)) {
    address = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0] ?? '';
    if (address) break;
  }
  // This answer leaves a kept-alive connection behind, which must not hold the process.
  expect((await fetch(`${address}/api/auth/me`)).status).toBe(401);
  child.kill(signal);
  expect(await exit).toEqual({ code: 0, stderr: '' });
});

it('says every wrong variable in one block and exits with 1', async () => {
  const { exit } = await start({ APP_SECRET: 'short', PORT: 'http' });
  const { code, stderr } = await exit;
  expect(code).toBe(1);
  expect(stderr).toMatch(/^The configuration is not usable:\n {2}PORT: .+\n {2}APP_SECRET: .+\n$/);
  expect(stderr).not.toContain('short');
});

it('says when its port is taken, and leaves nothing open', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const address = other.address();
  const port = typeof address === 'object' && address ? String(address.port) : '';
  const { exit } = await start({ PORT: port });
  expect(await exit).toMatchObject({ code: 1, stderr: expect.stringContaining('EADDRINUSE') });
  other.close();
});
