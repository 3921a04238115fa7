import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openPool } from '#src/db/pool.ts';
import { createLog } from '#src/lib/log.ts';
import { newId } from '#src/lib/ids.ts';
import { migrateDown, migrateUp } from '#src/migrate.ts';
import { createAccept } from '#src/modules/jobs/accept.query.ts';
import { createClaim } from '#src/modules/jobs/claim.query.ts';
import { createFinish } from '#src/modules/jobs/finish.query.ts';
import { checkLedger } from '#test/drills/books.ts';
import { createDatabaseBefore } from '#test/migrations.ts';

const BEFORE = '20261127001020-campaign-messages';
const FIRST = '20261127001100-credit-ledger';

let database: Awaited<ReturnType<typeof createDatabaseBefore>>;
let pool: Pool;
beforeAll(async () => {
  database = await createDatabaseBefore(process.env['DATABASE_URL'] ?? '', FIRST);
  pool = openPool(
    { DATABASE_URL: database.url },
    { name: 'test', role: 'wh_system', max: 2 },
    createLog('silent', 'test'),
  );
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

const query = async (sql: string, values: unknown[] = []) => (await pool.query(sql, values)).rows;
const functions = () =>
  query(`select proname, pg_get_functiondef(oid) as text from pg_proc
    where proname in ('job_accept', 'job_finish', 'batch_accept') order by proname`);

it('takes over what accounts have and open jobs hold, and taken back leaves what there was', async () => {
  const [workspaceId, poorId] = [newId(), newId()];
  for (const [id, balance] of [
    [workspaceId, 1000],
    [poorId, 0],
  ] as const) {
    await query(`insert into workspace (id, name) values ($1, 'Before')`, [id]);
    await query('insert into credit_account (workspace_id, balance) values ($1, $2)', [id, balance]);
  }
  const ids = [newId(), newId(), newId()];
  const accept = createAccept(pool);
  for (const id of ids)
    await accept({
      workspaceId,
      id,
      userId: newId(),
      queue: 'ai-inference',
      engine: 'chat',
      band: 'normal',
      input: {},
      options: {},
      requestId: 'before',
      maxAttempts: 3,
      hold: 100,
      idempotency: null,
    });
  const end = async (id: string) => {
    const key = { workspaceId, id, leaseToken: randomUUID() };
    await createClaim(pool, 60_000)(key);
    const rest = {
      result: {},
      problem: null,
      streamedText: null,
      usage: null,
      calls: [],
      delayMs: 0,
      isFailure: false,
    };
    await createFinish(pool)({ ...key, ...rest, status: 'completed', charge: 40 });
  };
  const accounts = () =>
    query('select balance::int, held::int from credit_account order by balance desc, workspace_id');
  await end(ids[0] ?? '');
  const [before, had] = [
    await functions(),
    [
      { balance: 760, held: 200 },
      { balance: 0, held: 0 },
    ],
  ];
  expect(await accounts()).toEqual(had);

  await migrateUp(database.url);
  expect(await accounts()).toEqual(had);
  expect(await query('select workspace_id, kind, amount::int from credit_entry')).toEqual([
    { workspace_id: workspaceId, kind: 'opening', amount: 960 },
  ]);
  expect(await query('select id, amount::int from credit_reservation order by id')).toEqual(
    ids.slice(1).map((id) => ({ id, amount: 100 })),
  );
  await end(ids[1] ?? '');
  expect(await accounts()).toEqual([
    { balance: 820, held: 100 },
    { balance: 0, held: 0 },
  ]);
  // Of the first job, which ended before there was a ledger, there is no entry; all else holds of what came later.
  expect((await checkLedger(pool)).filter((problem) => !/captured|ended each hold/.test(problem))).toEqual([]);

  expect((await migrateDown(database.url, BEFORE)).at(-1)).toBe(FIRST);
  expect(await accounts()).toEqual([
    { balance: 820, held: 100 },
    { balance: 0, held: 0 },
  ]);
  expect(await functions()).toEqual(before);
});
