import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createMetrics } from '#src/lib/metrics.ts';
import { changePartition } from '#src/modules/analytics/partitions.query.ts';
import { retentions, tendPartitions, watchPartitions } from '#src/modules/analytics/partitions.ts';
import { migrateDown, migrateUp } from '#src/migrate.ts';
import { book } from '#test/analytics.ts';
import { untilDayLasts } from '#test/day.ts';
import { aUser } from '#test/factories.ts';
import { createTestDatabase, openTestRuntime, type TestRuntime } from '#test/harness.ts';

let test: TestRuntime;
let owner: Client;
beforeAll(async () => {
  // Months end with a day.
  await untilDayLasts('UTC');
  test = await openTestRuntime();
  owner = new Client({ connectionString: test.config.DATABASE_URL });
  await owner.connect();
});
afterAll(async () => {
  await owner.end();
  await test.close();
});

const monthsOf = async (table: string): Promise<string[]> => {
  const { rows } = await owner.query(
    `select right(c.relname, 6) as month from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = $1::regclass and c.relname ~ '[0-9]{6}$' order by 1`,
    [table],
  );
  return rows.map(({ month }) => month);
};
const nowPlus = (months: number): string => {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months, 1))
    .toISOString()
    .slice(0, 7)
    .replace('-', '');
};
const inMonth = (month: string) => new Date(`${month.slice(0, 4)}-${month.slice(4)}-15T00:00:00Z`);
const count = async (table: string) => (await owner.query(`select from ${table}`)).rowCount;
const resources = () => ({ pool: test.rt.systemPool, keepMonths: 13, log: test.rt.log });

it('every table that is parted by month has its retention', async () => {
  const { rows } = await owner.query(
    `select relname as name from pg_class where relkind = 'p' and relnamespace = 'public'::regnamespace`,
  );
  const listed = new Set(retentions(13).map(({ table }) => table));
  expect(rows.length).toBeGreaterThanOrEqual(2);
  expect(rows.map(({ name }) => name).filter((name) => !listed.has(name))).toEqual([]);
});

it('months are made ahead, dropped when their time is over, and what is dropped is dropped with its rows', async () => {
  const { auth } = await aUser(test.rt);
  const past = [-15, -14, -13, -1].map(nowPlus);
  for (const month of past) await owner.query(`select partition_make('ai_usage_log', to_date($1, 'YYYYMM'))`, [month]);
  const fact = { engine: 'e', provider: 'p', model: 'm', userId: auth.userId, outcome: 'delivered' } as const;
  const figures = { isOwnKey: false, tokens: 1, costNano: 1, latencyMs: 1 };
  for (const month of past) {
    const startedAt = new Date(`${month.slice(0, 4)}-${month.slice(4)}-15T00:00:00Z`);
    await book(test.rt.systemPool, auth.workspaceId, [{ ...fact, ...figures, startedAt }]);
  }
  await Promise.all([tendPartitions(resources(), new Date()), tendPartitions(resources(), new Date())]);
  const ahead = [0, 1, 2, 3].map(nowPlus);
  expect(await monthsOf('ai_usage_log')).toEqual([nowPlus(-13), nowPlus(-1), ...ahead]);
  expect(await monthsOf('outbox_event')).toEqual(ahead);
  const { rows } = await owner.query(
    `select to_char(started_at at time zone 'UTC', 'YYYYMM') as month from ai_usage_log order by 1`,
  );
  expect(rows.map(({ month }) => month)).toEqual([nowPlus(-13), nowPlus(-1)]);
  await owner.query(`select partition_make('outbox_event', to_date($1, 'YYYYMM'))`, [nowPlus(-3)]);
  await tendPartitions(resources(), new Date());
  expect(await monthsOf('outbox_event')).toEqual(ahead);
});

it('a row of a month that nobody made goes to the default, and the lack is told before', async () => {
  const metrics = createMetrics('test');
  await watchPartitions({ ...resources(), metrics }, new Date());
  const ahead = async () =>
    Object.fromEntries((await metrics.partitionsAhead.get()).values.map(({ labels, value }) => [labels.table, value]));
  expect(await ahead()).toEqual({ ai_usage_log: 3, message: 3, outbox_event: 3, webhook_delivery: 3 });
  await owner.query(`drop table ai_usage_log_${nowPlus(2)}`);
  await watchPartitions({ ...resources(), metrics }, new Date());
  expect(await ahead()).toEqual({ ai_usage_log: 1, message: 3, outbox_event: 3, webhook_delivery: 3 });
  await tendPartitions(resources(), new Date());
  expect((await monthsOf('ai_usage_log')).includes(nowPlus(2))).toBe(true);
});

it('a month that is made late takes its rows over from the default', async () => {
  const { auth } = await aUser(test.rt);
  const [late, other] = [nowPlus(5), nowPlus(6)];
  const fact = { engine: 'e', provider: 'p', model: 'm', userId: auth.userId, outcome: 'delivered' } as const;
  const figures = { isOwnKey: false, tokens: 1, costNano: 1, latencyMs: 1 };
  const facts = [late, late, other].map((month) => ({ ...fact, ...figures, startedAt: inMonth(month) }));
  await book(test.rt.systemPool, auth.workspaceId, facts);
  const before = await count('ai_usage_log');
  expect(await count('ai_usage_log_other')).toBe(3);
  const month = `${late.slice(0, 4)}-${late.slice(4)}-01`;
  expect(await changePartition(test.rt.systemPool, 'partition_make', 'ai_usage_log', month)).toBe(true);
  expect(await changePartition(test.rt.systemPool, 'partition_make', 'ai_usage_log', month)).toBe(false);
  expect([await count('ai_usage_log_other'), await count(`ai_usage_log_${late}`)]).toEqual([1, 2]);
  expect(await count('ai_usage_log')).toBe(before);
});

it('calls booked before there were partitions are taken over, and given back', async () => {
  const database = await createTestDatabase();
  const client = new Client({ connectionString: database.url });
  await client.connect();
  const ids = ['018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-000000000002'];
  await client.query(
    `insert into workspace (id, name, time_zone, currency, country) select unnest($1::uuid[]), 'w', 'America/Sao_Paulo', 'BRL', 'BR'`,
    [ids],
  );
  const fact = { engine: 'e', provider: 'p', model: 'm', userId: ids[0] ?? '', outcome: 'delivered' } as const;
  const figures = { isOwnKey: false, tokens: 1, costNano: 1, latencyMs: 1 };
  const months = [-20, -1, 0, 8].map(nowPlus);
  for (const id of ids)
    for (const month of months) await book(client, id, [{ ...fact, ...figures, startedAt: inMonth(month) }]);
  const digest = async () =>
    (
      await client.query(
        `select md5(string_agg(u::text, '|' order by u.job_id)) as all, count(*)::int as n from ai_usage_log u`,
      )
    ).rows[0];
  const isParted = async () =>
    (await client.query(`select from pg_class where relname = 'ai_usage_log' and relkind = 'p'`)).rowCount === 1;
  const before = await digest();
  expect(before.n).toBe(8);
  expect((await migrateDown(database.url, '20261126000200-webhooks')).at(-1)).toBe('20261126000400-partitioned-usage');
  expect([await isParted(), await digest()]).toEqual([false, before]);
  await migrateUp(database.url);
  expect([await isParted(), await digest()]).toEqual([true, before]);
  const { rows } = await client.query(
    `select tableoid::regclass::text as part from ai_usage_log where workspace_id = $1 order by 1`,
    [ids[1]],
  );
  expect(rows.map(({ part }) => part)).toEqual(months.map((month) => `ai_usage_log_${month}`).toSorted());
  const marked = await client.query('select workspace_id from analytics_mark order by 1');
  expect(marked.rows.map(({ workspace_id }) => workspace_id)).toEqual(ids);
  await client.end();
  await database.drop();
});

it('nobody but the system may make or drop one, and it may do no more', async () => {
  const month = `to_date('203001', 'YYYYMM')`;
  await expect(test.rt.pool.query(`select partition_make('ai_usage_log', ${month})`)).rejects.toMatchObject({
    code: '42501',
  });
  for (const sql of ['drop table ai_usage_log', 'delete from ai_usage_log', `select * from ai_usage_log_other`])
    await expect(test.rt.systemPool.query(sql)).rejects.toMatchObject({ code: '42501' });
});

it('a partition is made while jobs end, and none of them fails for it', async () => {
  const { auth } = await aUser(test.rt);
  const fact = { engine: 'e', provider: 'p', model: 'm', userId: auth.userId, outcome: 'delivered' } as const;
  const figures = { isOwnKey: false, tokens: 1, costNano: 1, latencyMs: 1 };
  const ending = await test.rt.systemPool.connect();
  try {
    await ending.query('begin');
    await ending.query('lock table job in row exclusive mode');
    const making = changePartition(test.rt.systemPool, 'partition_make', 'ai_usage_log', '2031-01-01');
    const waiting = `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%partition_make%' and pid <> pg_backend_pid()
      and datname = current_database()`;
    await expect.poll(async () => (await owner.query(waiting)).rowCount).toBe(1);
    await book(ending, auth.workspaceId, [{ ...fact, ...figures, startedAt: new Date() }]);
    await ending.query('commit');
    expect(await making).toBe(true);
  } finally {
    ending.release();
  }
});
