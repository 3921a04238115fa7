import { afterAll, beforeAll, expect, it } from 'vitest';
import { openPool } from '#src/db/pool.ts';
import { readFollowed, surveyEvents } from '#src/events/feed.query.ts';
import { placeEvents, readEvents } from '#src/events/relay.query.ts';
import { inTransaction } from '#src/db/transaction.query.ts';
import { aUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

const EVENTS = 200_000;

let test: TestRuntime;
let workspaceId: string;
let pool: ReturnType<typeof openPool>;
beforeAll(async () => {
  test = await openTestRuntime();
  workspaceId = (await aUser(test.rt)).workspace.id;
  pool = openPool(test.config, { name: 'plans', role: 'wh_system', max: 1 }, test.rt.log);
  await pool.query(
    `insert into outbox_event (workspace_id, id, position, type, data)
      select $1, uuidv7(), n, 'workspace.changed', '{"changed":[]}' from generate_series(1, $2::int) n`,
    [workspaceId, EVENTS],
  );
  await pool.query('update outbox_head set last = $1', [EVENTS]);
  await pool.query('analyze outbox_event');
});
afterAll(async () => {
  await pool.end();
  await test.close();
});

/** Rows and index entries of the outbox that were looked at so far. */
async function count(): Promise<number> {
  // What the one connection has done is else counted a moment later.
  await pool.query('select pg_stat_force_next_flush()');
  const { rows } = await pool.query<{ n: number }>(
    `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::float8 as n from pg_stat_user_tables where relname like 'outbox_event%'`,
  );
  return rows[0]?.n ?? 0;
}

async function looked(work: () => Promise<unknown>): Promise<number> {
  const before = await count();
  await work();
  return (await count()) - before;
}

it('events are read and placed by key, however much is stored', async () => {
  const read = (after: number) => looked(() => inTransaction(pool, (tx) => readEvents(tx, after, 500)));
  expect(await read(EVENTS - 100)).toBeLessThan(2000);
  expect(await read(EVENTS / 2)).toBeLessThan(2000);
  expect(await read(0)).toBeGreaterThanOrEqual(500);
  expect(await looked(() => surveyEvents(pool, EVENTS - 100))).toBeLessThan(2000);
  const followed = { workspaceId, after: EVENTS - 100, limit: 200, windowHours: 24 };
  expect(await looked(() => readFollowed(pool, followed))).toBeLessThan(2000);
  expect(await looked(() => placeEvents(pool, 500))).toBeLessThan(2000);
});
