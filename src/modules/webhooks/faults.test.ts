import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Client } from 'pg';
import { inTransaction } from '#src/db/transaction.query.ts';
import { givenBack } from '#src/modules/webhooks/attempt.ts';
import { disableWebhooks } from '#src/modules/webhooks/disable.ts';
import { LEASE_MS, type Taken } from '#src/modules/webhooks/step.query.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openWebhookTest, type WebhookTest } from '#test/webhooks.ts';

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

const send = (method: 'GET' | 'POST' | 'DELETE', path: string, payload?: object, user = owner) =>
  test.app.inject({ method, url: `/api${path}`, headers: user.headers, ...(payload && { payload }) });
const create = async (body: object = {}, user = owner): Promise<string> =>
  (await send('POST', '/webhooks', { name: 'CRM', url: test.receiver.url, events: ['*'], ...body }, user)).json().id;
const happen = async (count: number) => {
  for (let at = 0; at < count; at += 1) await test.happen(owner.workspace.id, `n${at}`);
};
const disable = () => disableWebhooks({ systemPool: test.pool, orm: test.rt.orm });
const statuses = async (id: string) => {
  const { rows } = await test.pool.query<{ status: string }>(
    'select status from webhook_delivery where webhook_id = $1 order by seq',
    [id],
  );
  return rows.map(({ status }) => status);
};
/** As a worker takes what it was woken for. */
const take = async (count = 1): Promise<Taken[]> => {
  const taken = [];
  for (const { workspaceId, jobId } of test.woken.splice(0, count))
    taken.push(...(await test.worker.step({ workspaceId, wake: jobId, take: true })).taken);
  return taken;
};
const gone = (taken: Taken) =>
  test.worker.step({
    workspaceId: taken.workspaceId,
    done: { ...givenBack(taken), status: 'failed', attempts: 1, error: 'status_410', effect: 'gone' },
    take: false,
  });

describe('what is given back', () => {
  it('and was asked for by hand is still made at once, whatever the state of the endpoint', async () => {
    const id = await create();
    await test.pool.query(`update webhook set status = 'disabled' where id = $1`, [id]);
    await send('POST', `/webhooks/${id}/test`);
    const { rows } = await test.pool.query<{ workspace_id: string; id: string }>(
      'select workspace_id, id from webhook_delivery where webhook_id = $1',
      [id],
    );
    test.woken.push(...rows.map((row) => ({ workspaceId: row.workspace_id, jobId: row.id })));
    const [taken] = await take();
    if (!taken) throw new Error('Nothing was taken');
    await test.worker.step({ workspaceId: taken.workspaceId, done: givenBack(taken), take: false });
    expect(await statuses(id)).toEqual(['pending']);
    await test.sweep();
    expect(await statuses(id)).toEqual(['delivered']);
  });
});

describe('turning off', () => {
  it('is not asked for again by attempts that end after it', async () => {
    const id = await create();
    await happen(4);
    await test.consume();
    const [first, ...others] = await take(4);
    if (!first || others.length === 0) throw new Error('Not enough was taken');
    await gone(first);
    await disable();
    for (const other of others) expect(await gone(other)).toEqual({ isNoted: false, taken: [] });
    const { rows } = await test.pool.query('select disable_reason from webhook_flow where webhook_id = $1', [id]);
    expect(rows).toEqual([{ disable_reason: null }]);
    await send('POST', `/webhooks/${id}/enable`);
    for (const other of others) await gone(other);
    await disable();
    expect((await send('GET', `/webhooks/${id}`)).json().status).toBe('active');
  });

  it('goes on with the others where it fails for one', async () => {
    const ids = [await create(), await create(), await create()];
    await test.pool.query(`update webhook_flow set disable_reason = 'gone' where webhook_id = any($1)`, [ids]);
    const admin = new Client({ connectionString: test.config.DATABASE_URL });
    await admin.connect();
    await admin.query(
      `create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$`,
    );
    await admin.query(
      `create trigger refuse before update on webhook for each row when (old.id = '${ids[1]}') execute function refuse()`,
    );
    await expect(disable()).rejects.toThrow('refused');
    await admin.query('drop function refuse cascade');
    await admin.end();
    const { rows } = await test.pool.query('select status from webhook where id = any($1) order by id', [ids]);
    expect(rows.map(({ status }) => status)).toEqual(['disabled', 'active', 'disabled']);
  });
});

it('a large backlog is ended in parts, when its endpoint is deleted, turned off, or its workspace closed', async () => {
  const ids = [await create(), await create(), await create()];
  const fill = () =>
    test.pool.query(
      `insert into webhook_delivery (workspace_id, webhook_id, event_id, event_type, seq, next_attempt_at)
        select $1, id, uuidv7(), 'workspace.changed', n, now() + interval '1 hour' from unnest($2::uuid[]) id, generate_series(1, 5000) n`,
      [owner.workspace.id, ids],
    );
  await fill();
  const waiting = async () => {
    const { rows } = await test.pool.query<{ n: number }>(
      `select count(*) filter (where next_attempt_at is not null)::int as n from unnest($1::uuid[]) w (id)
        left join webhook_delivery d on d.webhook_id = w.id group by w.id order by w.id`,
      [ids],
    );
    return rows.map(({ n }) => n);
  };
  await send('DELETE', `/webhooks/${ids[0]}`);
  expect(await waiting()).toEqual([3000, 5000, 5000]);
  await test.pool.query(`update webhook_flow set disable_reason = 'failing' where webhook_id = $1`, [ids[1]]);
  await disable();
  expect(await waiting()).toEqual([1000, 1000, 5000]);
  const audit = await send('GET', '/audit?limit=1');
  expect(audit.json().data[0]).toMatchObject({ action: 'webhook.disabled', after: { cancelledDeliveries: 5000 } });
  await disable();
  expect(await waiting()).toEqual([0, 0, 5000]);
  await send('DELETE', `/workspaces/${owner.workspace.id}`);
  for (let at = 0; at < 3; at += 1) await disable();
  expect(await waiting()).toEqual([0, 0, 0]);
  const { rows } = await test.pool.query(`select webhook_id, error, count(*)::int as n from webhook_delivery
    where status = 'cancelled' group by 1, 2 order by 1`);
  expect(rows.map((row) => [row.error, row.n])).toEqual([
    ['webhook_deleted', 5000],
    ['webhook_disabled', 5000],
    ['webhook_deleted', 5000],
  ]);
});

it('a lease begins when a delivery is taken, however long the endpoint was locked before', async () => {
  const id = await create();
  await happen(1);
  await test.consume();
  const isLocked = Promise.withResolvers<void>();
  const locked = inTransaction(test.pool, async (tx) => {
    await tx.query('select from webhook_flow where webhook_id = $1 for update', [id]);
    isLocked.resolve();
    await sleep(1500);
    const { rows } = await tx.query<{ now: Date }>('select clock_timestamp() as now');
    return rows[0]?.now;
  });
  await isLocked.promise;
  const taken = await take();
  const unlockedAt = await locked;
  expect(taken).toHaveLength(1);
  const { rows } = await test.pool.query<{ left: number }>(
    'select extract(epoch from next_attempt_at - $2)::float8 * 1000 as left from webhook_delivery where webhook_id = $1',
    [id, unlockedAt],
  );
  expect(rows[0]?.left).toBeGreaterThan(LEASE_MS - 500);
});

it('a workspace can be closed while events are handed out', async () => {
  await create();
  await happen(1);
  // The consumer's transaction, stopped between what it locks and what it writes.
  const isLocked = Promise.withResolvers<void>();
  const handing = inTransaction(test.pool, async (tx) => {
    await tx.query('select from webhook_flow where workspace_id = $1 for update', [owner.workspace.id]);
    isLocked.resolve();
    await sleep(500);
    await tx.query('select from workspace where id = $1 for key share', [owner.workspace.id]);
  });
  await isLocked.promise;
  const closed = await send('DELETE', `/workspaces/${owner.workspace.id}`);
  await handing;
  expect(closed.statusCode).toBeLessThan(300);
});
