import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { disableWebhooks } from '#src/modules/webhooks/disable.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openWebhookTest, type Received, type WebhookTest } from '#test/webhooks.ts';

let test: WebhookTest;
let owner: TestUser;
beforeAll(async () => {
  test = await openWebhookTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  await test.forget();
  test.receiver.answers(() => ({}));
  owner = await aUser(test.rt);
});

const send = (method: 'GET' | 'POST', path: string, payload?: object) =>
  test.app.inject({ method, url: `/api/webhooks${path}`, headers: owner.headers, ...(payload && { payload }) });
const create = async (body: object = {}): Promise<string> =>
  (await send('POST', '', { name: 'CRM', url: test.receiver.url, events: ['*'], ...body })).json().id;
const happen = async (...marks: string[]) => {
  for (const mark of marks) await test.happen(owner.workspace.id, mark);
};
const markOf = ({ body }: Received) => (body['data'] as { changed: string[] }).changed[0];
const marks = () => test.receiver.received.map(markOf);
const rowsOf = async (id: string) => {
  const { rows } = await test.pool.query<{ seq: string; status: string; attempts: number; error: string | null }>(
    'select seq, status, attempts, error from webhook_delivery where webhook_id = $1 order by seq',
    [id],
  );
  return rows;
};
const due = (id: string) =>
  test.pool.query(
    `update webhook_delivery set next_attempt_at = now() where webhook_id = $1 and next_attempt_at is not null`,
    [id],
  );
const names = (count: number) => Array.from({ length: count }, (_, at) => `n${at}`);

describe('an endpoint', () => {
  it('has four deliveries under way at once, whoever asks, and all of them made', async () => {
    const id = await create();
    test.receiver.answers(() => ({ delayMs: 30 }));
    await happen(...names(20));
    await test.consume();
    // As if every delivery had been woken for, in another process each.
    const { rows } = await test.pool.query(
      'select workspace_id as "workspaceId", id as "jobId" from webhook_delivery where webhook_id = $1',
      [id],
    );
    test.woken.push(...rows);
    await test.work();
    expect(test.receiver.mostAtOnce()).toBe(4);
    expect(new Set(marks()).size).toBe(20);
    expect(marks()).toHaveLength(20);
    expect((await rowsOf(id)).every(({ status }) => status === 'delivered')).toBe(true);
  });

  it('that is ordered gets one at a time, each behind the one before, also when that fails', async () => {
    const id = await create({ ordered: true });
    let isDown = true;
    test.receiver.answers((one) => (isDown && markOf(one) === 'n2' ? { status: 503 } : { delayMs: 5 }));
    await happen(...names(6));
    await test.flow();
    expect(marks()).toEqual(['n0', 'n1', 'n2']);
    expect(await test.sweep()).toBe(0);
    await test.pool.query(
      `update webhook_delivery set next_attempt_at = now() where webhook_id = $1 and attempts = 1 and status = 'pending'`,
      [id],
    );
    isDown = false;
    await test.sweep();
    expect(marks()).toEqual(['n0', 'n1', 'n2', 'n2', 'n3', 'n4', 'n5']);
    expect(test.receiver.mostAtOnce()).toBe(1);
    expect(test.receiver.received.slice(3).map(({ body }) => body['sequence'])).toEqual([3, 4, 5, 6]);
  });

  it('that is ordered goes on when the one in front is given up', async () => {
    const id = await create({ ordered: true });
    test.receiver.answers((one) => (markOf(one) === 'n0' ? { status: 500 } : {}));
    await happen(...names(2));
    await test.flow();
    await test.pool.query(
      `update webhook_delivery set attempts = 9, next_attempt_at = now() where webhook_id = $1 and seq = 1`,
      [id],
    );
    await test.sweep();
    expect(await rowsOf(id)).toMatchObject([
      { status: 'failed', attempts: 10, error: 'status_500' },
      { status: 'delivered', attempts: 1 },
    ]);
  });

  it('that is down is left alone after ten failures, at no cost to what waits; one probe opens it again', async () => {
    const id = await create();
    const healthy = await create({ url: `${test.receiver.url}?healthy` });
    test.receiver.answers(() => ({ status: 500 }));
    await test.pool.query(`update webhook set status = 'disabled' where id = $1`, [healthy]);
    await happen(...names(30));
    await test.flow();
    const tried = test.receiver.received.length;
    expect(tried).toBeGreaterThanOrEqual(10);
    expect(tried).toBeLessThanOrEqual(13);
    expect((await rowsOf(id)).filter(({ attempts }) => attempts === 0)).toHaveLength(30 - tried);
    expect(await test.sweep()).toBe(0);

    await test.pool.query(`update webhook set status = 'active' where id = $1`, [healthy]);
    await happen('outro');
    test.receiver.answers(() => ({}));
    await test.flow();
    expect(marks()).toEqual(['outro']);

    // Half open: a probe that fails opens it again.
    test.receiver.answers(() => ({ status: 500 }));
    await test.pool.query(`update webhook_flow set open_until = now() where webhook_id = $1`, [id]);
    await test.sweep();
    expect(test.receiver.received).toHaveLength(1);
    test.receiver.answers(() => ({ delayMs: 5 }));
    await test.pool.query(`update webhook_flow set open_until = now() where webhook_id = $1`, [id]);
    await due(id);
    await test.sweep();
    expect(test.receiver.received).toHaveLength(31);
    expect(await rowsOf(id)).toHaveLength(31);
    expect((await rowsOf(id)).every(({ status }) => status === 'delivered')).toBe(true);
  });

  it('that answers 410 is turned off at once, is told of, and can be turned on again', async () => {
    const id = await create();
    test.receiver.answers(() => ({ status: 410 }));
    await happen('adeus');
    await test.flow();
    await happen('tarde');
    await test.flow();
    expect(marks()).toEqual(['adeus']);
    await disableWebhooks({ systemPool: test.pool, orm: test.rt.orm });
    const view = (await send('GET', `/${id}`)).json();
    expect(view).toMatchObject({ status: 'disabled', disabledReason: 'gone', disabledAt: expect.any(String) });
    expect(await rowsOf(id)).toMatchObject([
      { status: 'failed', error: 'status_410' },
      { status: 'cancelled', error: 'webhook_disabled' },
    ]);
    const { rows } = await test.pool.query(
      `select data from outbox_event where type = 'webhook.disabled' and subject_id = $1`,
      [id],
    );
    expect(rows).toEqual([{ data: { webhookId: id, name: 'CRM', reason: 'gone' } }]);
    const audit = await test.app.inject({ method: 'GET', url: '/api/audit?limit=1', headers: owner.headers });
    expect(audit.json().data[0]).toMatchObject({
      action: 'webhook.disabled',
      after: { reason: 'gone', cancelledDeliveries: 1 },
    });

    await happen('perdido');
    await test.flow();
    test.receiver.answers(() => ({}));
    expect((await send('POST', `/${id}/enable`)).json()).toMatchObject({ status: 'active', disabledReason: null });
    const replayed = await send('POST', `/${id}/replay`, { from: view.createdAt, types: ['workspace.*'] });
    expect(replayed.json()).toEqual({ deliveries: 3 });
    await test.sweep();
    expect(marks()).toEqual(expect.arrayContaining(['adeus', 'tarde', 'perdido']));
  });

  it('at which nothing has succeeded for five days is turned off; one success in between forgives all', async () => {
    const id = await create();
    const ago = (days: number) =>
      test.pool.query(
        `update webhook_flow set failing_since = failing_since - $2 * interval '1 day' where webhook_id = $1`,
        [id, days],
      );
    const disable = () => disableWebhooks({ systemPool: test.pool, orm: test.rt.orm });
    const failingSince = async () => (await send('GET', `/${id}`)).json().failingSince;
    test.receiver.answers(() => ({ status: 500 }));
    await happen('a');
    await test.flow();
    expect(await failingSince()).toEqual(expect.any(String));
    await ago(4.9);
    await happen('b');
    await test.flow();
    await disable();
    expect((await send('GET', `/${id}`)).json().status).toBe('active');
    test.receiver.answers(() => ({}));
    await happen('c');
    await test.flow();
    expect(await failingSince()).toBeNull();

    test.receiver.answers(() => ({ status: 500 }));
    await happen('d');
    await test.flow();
    await ago(5.1);
    await happen('e');
    await test.flow();
    await disable();
    expect((await send('GET', `/${id}`)).json()).toMatchObject({ status: 'disabled', disabledReason: 'failing' });
    expect((await rowsOf(id)).filter(({ status }) => status === 'pending')).toEqual([]);
  });
});

describe('what a receiver asks for', () => {
  it('as Retry-After is heeded up to twice the plan', async () => {
    const id = await create();
    test.receiver.answers(() => ({ status: 429, headers: { 'retry-after': '3600' } }));
    await happen('devagar');
    await test.flow();
    const { rows } = await test.pool.query<{ nextMs: number }>(
      `select extract(epoch from next_attempt_at)::float8 * 1000 as "nextMs" from webhook_delivery where webhook_id = $1`,
      [id],
    );
    const nextMs = rows[0]?.nextMs ?? NaN;
    expect(nextMs - (test.receiver.received[0]?.at ?? NaN)).toBeGreaterThan(8000);
    expect(nextMs - Date.now()).toBeLessThanOrEqual(10_000);
  });

  it('as a redirect is not followed, and what it says is kept to a kilobyte', async () => {
    const id = await create();
    test.receiver.answers(() => ({
      status: 302,
      headers: { location: 'http://169.254.169.254/' },
      text: `\0${'x'.repeat(30_000)}`,
    }));
    await happen('não');
    await test.flow();
    const [view] = (await send('GET', `/${id}/deliveries`)).json().data;
    expect(view).toMatchObject({ status: 'pending', responseStatus: 302, error: 'status_302' });
    expect(view.responseSnippet).toBe(`\ufffd${'x'.repeat(999)}`);
  });
});

it('an attempt whose worker is taken for dead is made by another, and the first can note nothing any more', async () => {
  const id = await create();
  await happen('uma');
  await test.consume();
  const wake = test.woken.splice(0)[0];
  const { workspaceId = '', jobId = '' } = wake ?? {};
  const [taken] = (await test.worker.step({ workspaceId, wake: jobId, take: true })).taken;
  if (!taken) throw new Error('Nothing was taken');
  expect(await test.sweep()).toBe(0);
  await due(id);
  await test.sweep();
  expect(marks()).toEqual(['uma']);
  const done = {
    taken,
    status: 'failed',
    attempts: 1,
    delayMs: 0,
    responseStatus: null,
    snippet: null,
    durationMs: 1,
    error: 'timeout',
    entry: null,
    effect: null,
  } as const;
  expect(await test.worker.step({ workspaceId, done, take: false })).toEqual({ isNoted: false, taken: [] });
  expect(await rowsOf(id)).toMatchObject([{ status: 'delivered', attempts: 2 }]);
});

it('makes no delivery for an endpoint that is turned off while its events are handed over', async () => {
  const id = await create();
  const client = await test.pool.connect();
  try {
    await client.query('begin');
    await client.query('select from webhook_flow where webhook_id = $1 for update', [id]);
    await happen('late');
    const consuming = test.consume();
    const waiting = `select from pg_locks where not granted and locktype in ('transactionid', 'tuple')
      and pid in (select pid from pg_stat_activity where datname = current_database())`;
    await expect.poll(async () => (await test.pool.query(waiting)).rowCount).toBeGreaterThan(0);
    await client.query(`update webhook set status = 'disabled' where id = $1`, [id]);
    await client.query('commit');
    await consuming;
  } finally {
    client.release();
  }
  expect(await rowsOf(id)).toEqual([]);
});
