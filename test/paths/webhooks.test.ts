import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { BackendClient } from '../../client/src/index.ts';
import { createInstallation, type Installation, type Running } from '#test/processes.ts';
import { startReceiver, type Received } from '#test/webhooks.ts';

let receiver: Awaited<ReturnType<typeof startReceiver>>;
let installation: Installation;
let api: Running & { url: string };
let headers: Record<string, string>;
let webhook: { id: string; secret: string };

beforeAll(async () => {
  receiver = await startReceiver();
});
afterAll(() => receiver.close());

beforeEach(async () => {
  receiver.answers(() => ({}));
  installation = await createInstallation({ EGRESS_ALLOW: receiver.target });
  [api] = await Promise.all([installation.startApi(), installation.startControl()]);
  const client = new BackendClient({ baseUrl: api.url });
  const { token } = await client.register({ email: 'ana@example.com', password: 'a long password', name: 'Ana' });
  client.close();
  headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  webhook = (await post('', { name: 'CRM', url: receiver.url, events: ['workspace.changed'] })) as typeof webhook;
});
afterEach(() => installation.close());

async function post(path: string, body?: object, more: Record<string, string> = {}): Promise<unknown> {
  const init = { method: 'POST', headers: { ...headers, ...more }, ...(body && { body: JSON.stringify(body) }) };
  return (await fetch(`${api.url}/api/webhooks${path}`, init)).json();
}
/** Renames the workspace so often, each of which is an event. */
async function rename(times: number): Promise<void> {
  const mine = (await (await fetch(`${api.url}/api/workspaces`, { headers })).json()) as { data: { id: string }[] };
  const url = `${api.url}/api/workspaces/${mine.data[0]?.id}`;
  for (let at = 0; at < times; at += 1) {
    await fetch(url, { method: 'PATCH', headers, body: JSON.stringify({ name: `Loja ${at}` }) });
  }
}
const idsOf = (requests: Received[]) => new Set(requests.map((one) => one.headers['webhook-id']));
const statuses = async () => {
  const { rows } = await installation.pool.query<{ status: string; n: number }>(
    'select status, count(*)::int as n from webhook_delivery group by 1 order by 1',
  );
  return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
};

it('goes from the change to the receiver through every process, within a moment', async () => {
  await installation.startWorker('webhooks');
  await rename(1);
  await expect.poll(() => receiver.received.length).toBe(1);
  const one = receiver.received[0];
  new Webhook(webhook.secret).verify(one?.text ?? '', {
    'webhook-id': String(one?.headers['webhook-id']),
    'webhook-timestamp': String(one?.headers['webhook-timestamp']),
    'webhook-signature': String(one?.headers['webhook-signature']),
  });
  await expect.poll(statuses).toEqual({ delivered: 1 });
  const tried = await post(`/${webhook.id}/test`, undefined, { prefer: 'wait=20' });
  expect(tried).toMatchObject({ status: 'delivered', type: 'webhook.test', responseSnippet: 'ok', sequence: 0 });
});

/** One after another, or one lane would take several. */
async function fillLanes(): Promise<void> {
  for (let lanes = 1; lanes <= 4; lanes += 1) {
    await rename(1);
    await expect.poll(() => receiver.received.length).toBe(lanes);
  }
}

it('loses nothing when a worker is killed in the middle of attempts: they are made again, with the same ids', async () => {
  const released = Promise.withResolvers<void>();
  receiver.answers(async () => {
    await released.promise;
    return {};
  });
  const doomed = await installation.startWorker('webhooks');
  await fillLanes();
  await rename(8);
  await doomed.kill('SIGKILL');
  const cutOff = idsOf(receiver.received);
  expect((await statuses())['delivered']).toBeUndefined();
  released.resolve();
  // Their worker is taken for dead after 25 seconds; here it is said to have been silent for so long.
  await installation.pool.query(`update webhook_delivery set next_attempt_at = now() where status = 'sending'`);
  await installation.startWorker('webhooks');
  await expect.poll(statuses).toEqual({ delivered: 12 });
  expect(receiver.received).toHaveLength(16);
  expect(idsOf(receiver.received).size).toBe(12);
  expect(idsOf(receiver.received.slice(4)).intersection(cutOff)).toEqual(cutOff);
  const { rows } = await installation.pool.query('select max(attempts) as most from webhook_delivery');
  expect(rows[0]).toEqual({ most: 2 });
});

it('gives back at once what a worker that is told to go has under way, and no try is lost by it', async () => {
  receiver.answers(() => (receiver.received.length <= 4 ? { delayMs: 60_000 } : {}));
  const leaving = await installation.startWorker('webhooks');
  await fillLanes();
  await rename(2);
  const askedAt = performance.now();
  await leaving.kill('SIGTERM');
  expect(performance.now() - askedAt).toBeLessThan(30_000);
  await installation.startWorker('webhooks');
  await expect.poll(statuses).toEqual({ delivered: 6 });
  const { rows } = await installation.pool.query('select max(attempts) as most from webhook_delivery');
  expect(rows[0]).toEqual({ most: 1 });
});
