import { afterAll, beforeAll, expect, it } from 'vitest';
import { BackendClient } from '../../client/src/index.ts';
import { book, type Fact } from '#test/analytics.ts';
import { createInstallation, type Installation, type Running } from '#test/processes.ts';
import { untilDayLasts } from '#test/day.ts';

const FRESH_MS = 10_000;

let installation: Installation;
let api: Running & { url: string };
let other: Running & { url: string };
let client: BackendClient;
let workspaceId: string;
let userId: string;
beforeAll(async () => {
  installation = await createInstallation();
  [api, other] = await Promise.all([installation.startApi(), installation.startApi(), installation.startControl()]);
  client = new BackendClient({ baseUrl: api.url });
  await client.register({ email: 'ana@example.com', password: 'a long enough password', name: 'Ana' });
  const { rows } = await installation.pool.query('select workspace_id, user_id from member');
  [workspaceId, userId] = [rows[0].workspace_id, rows[0].user_id];
});
afterAll(async () => {
  client?.close();
  await installation?.close();
});

const fact = (): Fact => ({
  startedAt: new Date(),
  engine: 'copilot',
  provider: 'openai',
  model: 'a',
  userId,
  outcome: 'delivered',
  isOwnKey: false,
  tokens: 10,
  costNano: 1_000_000,
  latencyMs: 100,
});
const callsToday = async () => {
  const dashboard = await client.request<{ today: { kpis: { calls: { value: number } } } }>(
    'GET',
    '/api/analytics/dashboard',
  );
  return dashboard.today.kpis.calls.value;
};

it('what happens while no worker runs is counted when one does, and what happens then within seconds', async () => {
  await untilDayLasts('America/Sao_Paulo');
  await book(installation.pool, workspaceId, [fact(), fact()]);
  expect(await callsToday()).toBe(0);
  await installation.startWorker('analytics');
  await expect.poll(callsToday, { timeout: 60_000 }).toBe(2);
  const waits: number[] = [];
  for (let round = 3; round <= 5; round += 1) {
    await book(installation.pool, workspaceId, [fact()]);
    const bookedAt = performance.now();
    await expect.poll(callsToday, { timeout: 60_000, interval: 100 }).toBe(round);
    waits.push(performance.now() - bookedAt);
  }
  process.stdout.write(`Figures were behind by ${waits.map((ms) => `${(ms / 1000).toFixed(1)} s`).join(', ')}\n`);
  expect(Math.min(...waits)).toBeLessThan(FRESH_MS);
});

it('a file one process was asked for is there at another', async () => {
  const ordered = await client.request<{ id: string }>('POST', '/api/analytics/export', { report: 'ai' });
  const elsewhere = await client.request<{ token: string }>('POST', '/api/auth/login', {
    email: 'ana@example.com',
    password: 'a long enough password',
  });
  const ask = (path: string) =>
    fetch(`${other.url}/api/analytics/exports/${ordered.id}${path}`, {
      headers: { authorization: `Bearer ${elsewhere.token}` },
    });
  await expect
    .poll(async () => ((await (await ask('')).json()) as { status: string }).status, { timeout: 60_000 })
    .toBe('completed');
  const text = await (await ask('/download')).text();
  expect(text.split('\r\n')[1]).toContain('"copilot","openai","a","5","0"');
});
