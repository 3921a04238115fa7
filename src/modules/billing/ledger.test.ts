import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '#src/lib/ids.ts';
import { createLedgerCare } from '#src/modules/billing/reconcile.ts';
import { findBroken, lapseLots } from '#src/modules/billing/reconcile.query.ts';
import { createAccept, type NewJob } from '#src/modules/jobs/accept.query.ts';
import { acceptBatch } from '#src/modules/jobs/batch.query.ts';
import { createClaim } from '#src/modules/jobs/claim.query.ts';
import { createFinish } from '#src/modules/jobs/finish.query.ts';
import { cancelJob } from '#src/modules/jobs/jobs.query.ts';
import { ofWorkspaceId } from '#src/modules/settings/settings.ts';
import { settingsOf } from '#src/modules/settings/registry.ts';
import { SYSTEM } from '#src/modules/audit/audit.ts';
import { cancelledProblem } from '#workers/outcome.ts';
import { aJob, aUser, type TestUser } from '#test/factories.ts';
import { onServer, openTestRuntime, type TestRuntime, withDatabase } from '#test/harness.ts';
import { runLedgerModel } from '#test/ledger-model.ts';

const CREDIT = 1_000_000;
const RUNS = 200;
const SEED = 20_261_127;

let test: TestRuntime;
beforeAll(async () => {
  test = await openTestRuntime({ STARTING_CREDITS: '137' });
});
afterAll(() => test.close());

const accept = (job: NewJob) => createAccept(test.rt.pool)(job);
async function finish(job: NewJob, charge: number): Promise<void> {
  const key = { workspaceId: job.workspaceId, id: job.id, leaseToken: randomUUID() };
  await createClaim(test.rt.pool, 60_000)(key);
  const rest = { result: {}, problem: null, streamedText: null, usage: null, calls: [], delayMs: 0, isFailure: false };
  await createFinish(test.rt.pool)({ ...key, ...rest, status: 'completed', charge });
}
const run = async (user: TestUser, charge: number, hold = charge) => {
  const job = aJob(user, hold);
  await accept(job);
  await finish(job, charge);
  return job;
};
const query = async (sql: string, values: unknown[] = []) => (await test.rt.systemPool.query(sql, values)).rows;
const events = async ({ workspace }: TestUser) =>
  query(`select type, data from outbox_event where workspace_id = $1 and type like 'credits.%' order by id`, [
    workspace.id,
  ]);
const grant = (user: TestUser, credits: number) =>
  query(`select credit_grant($1, 'grant', $2, $3, null, 0, null)`, [user.workspace.id, credits * CREDIT, randomUUID()]);
const set = (user: TestUser, patch: Record<string, unknown>) =>
  test.rt.settings.change(ofWorkspaceId(user.workspace.id), settingsOf('workspace'), {
    patch,
    ifMatch: undefined,
    actor: SYSTEM,
  });
const care = () =>
  createLedgerCare({ systemPool: test.rt.systemPool, orm: test.rt.orm, metrics: test.rt.metrics, log: test.rt.log });

describe('the ledger', () => {
  it('does what its model does, whatever comes in whatever order', async () => {
    await expect(runLedgerModel(test.rt.systemPool, RUNS, SEED)).resolves.toBeUndefined();
  }, 300_000);

  it('admits 137 of 500 that come at once with money for 137, through several processes', async () => {
    const user = await aUser(test.rt);
    const doors = Array.from({ length: 4 }, () => createAccept(test.rt.pool));
    const settled = await Promise.allSettled(
      Array.from({ length: 500 }, (_, at) => doors[at % 4]?.(aJob(user)) ?? Promise.reject(new Error('No door'))),
    );
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(137);
    expect(
      await query('select balance::int, held::int from credit_account where workspace_id = $1', [user.workspace.id]),
    ).toEqual([{ balance: 0, held: 137 * CREDIT }]);
    expect(await query('select from credit_reservation where workspace_id = $1', [user.workspace.id])).toHaveLength(
      137,
    );
  });

  it('is only added to, by anybody', async () => {
    const user = await aUser(test.rt);
    await run(user, CREDIT);
    for (const pool of [test.rt.pool, test.rt.systemPool])
      for (const table of ['credit_entry', 'credit_resolution'])
        for (const sql of [`update ${table} set amount = 1`, `delete from ${table}`])
          await expect(pool.query(sql)).rejects.toMatchObject({ code: '42501' });
  });

  it('ends a reservation once, by key: a second end is refused by the database, not by us', async () => {
    const user = await aUser(test.rt);
    const job = await run(user, CREDIT);
    const again = `insert into credit_resolution (workspace_id, reservation_id, kind, amount, captured) values ($1, $2, 'release', 1, 0)`;
    await expect(query(again, [job.workspaceId, job.id])).rejects.toMatchObject({ code: '23505' });
    expect(
      await query(`select credit_resolve($1, array[$2::uuid], array[5::bigint], 'release') as ended`, [
        job.workspaceId,
        job.id,
      ]),
    ).toEqual([{ ended: 0 }]);
  });

  it('holds for a batch what its items hold, and frees what they did not use', async () => {
    const user = await aUser(test.rt);
    const items = [2, 3].map((credits) => ({ id: newId(), input: {}, hold: credits * CREDIT }));
    const { idempotency: _, hold: __, band: ___, input: ____, ...batch } = aJob(user);
    await acceptBatch(test.rt.pool, { ...batch, idempotency: null, items });
    const open = () =>
      query('select id, amount::int from credit_reservation where workspace_id = $1 order by amount', [
        user.workspace.id,
      ]);
    expect(await open()).toEqual(items.map(({ id, hold }) => ({ id, amount: hold })));
    for (const { id } of items)
      await cancelJob(test.rt.pool, { workspaceId: user.workspace.id, id }, cancelledProblem());
    expect(await open()).toEqual([]);
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  });
});

const of = (user: TestUser, ...charges: number[]) => charges.map((charge) => ({ user, charge }));

describe('jobs of several workspaces that end in one moment', () => {
  it('are each paid by their own workspace, which is told, and counted for their own members', async () => {
    const [plain, low, budgeted, exhausted] = [
      await aUser(test.rt),
      await aUser(test.rt),
      await aUser(test.rt),
      await aUser(test.rt),
    ];
    const users = [plain, low, budgeted, exhausted];
    await set(budgeted, { 'credits.memberBudget': 100 });
    // Two lots, of which the first pays in part.
    await grant(plain, 10);
    const ends = [...of(plain, 100, 40, 0), ...of(low, 30, 20), ...of(budgeted, 3, 4), ...of(exhausted, 137)];
    const door = createFinish(test.rt.pool);
    const jobs = await Promise.all(
      ends.map(async ({ user, charge }) => {
        const job = aJob(user, Math.max(1, charge) * CREDIT);
        await accept(job);
        const key = { workspaceId: job.workspaceId, id: job.id, leaseToken: randomUUID() };
        await createClaim(test.rt.pool, 60_000)(key);
        return { key, charge: charge * CREDIT };
      }),
    );
    const rest = {
      result: {},
      problem: null,
      streamedText: null,
      usage: null,
      calls: [],
      delayMs: 0,
      isFailure: false,
    };
    await Promise.all(jobs.map(({ key, charge }) => door({ ...key, ...rest, status: 'completed', charge })));
    const balances = users.map(({ workspace }) =>
      query('select balance::int / $2::int as free, held::int from credit_account where workspace_id = $1', [
        workspace.id,
        CREDIT,
      ]),
    );
    expect((await Promise.all(balances)).flat()).toEqual([7, 87, 130, 0].map((free) => ({ free, held: 0 })));
    expect(await events(budgeted)).toEqual([]);
    expect(await events(plain)).toEqual([{ type: 'credits.low', data: { remaining: 7, lowAt: 100 } }]);
    expect(await events(low)).toEqual([{ type: 'credits.low', data: { remaining: 87, lowAt: 100 } }]);
    expect(await events(exhausted)).toEqual([{ type: 'credits.exhausted', data: { remaining: 0 } }]);
    expect(
      await query('select user_id, spent::int / $2::int as spent from credit_month where workspace_id = $1', [
        budgeted.workspace.id,
        CREDIT,
      ]),
    ).toEqual([{ user_id: budgeted.user.id, spent: 7 }]);
    expect(
      await query(`select (remaining / $2)::int as left from credit_lot where workspace_id = $1 order by id`, [
        plain.workspace.id,
        CREDIT,
      ]),
    ).toEqual([{ left: 0 }, { left: 7 }]);
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  });
});

const once = (ids: string[]) => ids.map((id) => [id, 1]);

describe('what expires in one moment', () => {
  it('goes by batches of accounts, and nothing of it twice where one is killed', async () => {
    await lapseLots(test.rt.systemPool);
    const users = await Promise.all(Array.from({ length: 5 }, () => aUser(test.rt)));
    const ids = users.map(({ workspace }) => workspace.id).toSorted();
    await query('update credit_lot set expires_at = now() where workspace_id = any($1)', [ids]);
    const lapsed = async () =>
      (
        await query(
          `select workspace_id as id, count(*)::int as entries from credit_entry where kind = 'expire' and workspace_id = any($1)
            group by 1 order by 1`,
          [ids],
        )
      ).map(({ id, entries }) => [id, entries]);
    const client = await test.rt.systemPool.connect();
    try {
      await client.query('begin');
      expect((await client.query('select credit_lapse(2) as lapsed')).rows).toEqual([{ lapsed: 2 }]);
      // Only those of the batch wait for it.
      const take =
        'select workspace_id as id from credit_account where workspace_id = any($1) order by 1 for update skip locked';
      expect(await query(take, [ids])).toEqual(ids.slice(2).map((id) => ({ id })));
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      const server = withDatabase(test.config.DATABASE_URL, 'postgres');
      await onServer(server, (admin) => admin.query('select pg_terminate_backend($1, 5000)', [rows[0]?.pid]));
    } finally {
      client.release(true);
    }
    expect(await lapsed()).toEqual([]);

    // Killed between two batches.
    await query('select credit_lapse(2)');
    expect(await lapsed()).toEqual(once(ids.slice(0, 2)));
    expect(await lapseLots(test.rt.systemPool, 2)).toBe(3);
    expect(await lapsed()).toEqual(once(ids));
    expect(await lapseLots(test.rt.systemPool, 2)).toBe(0);
    expect(await query('select from credit_account where balance > 0 and workspace_id = any($1)', [ids])).toEqual([]);
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  });
});

describe('budgets', () => {
  it('stop a workspace before it overruns, whatever it has', async () => {
    const user = await aUser(test.rt);
    await set(user, { 'credits.monthlyBudget': 10 });
    await run(user, 4 * CREDIT);
    const open = aJob(user, 5 * CREDIT);
    await accept(open);
    await expect(accept(aJob(user, 2 * CREDIT))).rejects.toMatchObject({
      status: 402,
      code: 'budget_exceeded',
      message: expect.stringContaining("the workspace's monthly budget leaves 1.000"),
    });
    await expect(accept(aJob(user, 0))).resolves.toMatchObject({ isReplay: false });
    await finish(open, 0);
    await expect(accept(aJob(user, 6 * CREDIT))).resolves.toMatchObject({ isReplay: false });
    // A month later there is a new budget.
    await query(`update credit_account set month = month - interval '1 month' where workspace_id = $1`, [
      user.workspace.id,
    ]);
    await expect(accept(aJob(user, 4 * CREDIT))).resolves.toMatchObject({ isReplay: false });
    await set(user, { 'credits.monthlyBudget': null });
    await expect(accept(aJob(user, 100 * CREDIT))).resolves.toMatchObject({ isReplay: false });
  });

  it('stop each member, and nobody else, also when many come at once', async () => {
    const user = await aUser(test.rt);
    await run(user, 2 * CREDIT);
    await set(user, { 'credits.memberBudget': 10 });
    await run(user, CREDIT);
    const door = createAccept(test.rt.pool);
    const settled = await Promise.allSettled(Array.from({ length: 20 }, () => door(aJob(user))));
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(7);
    await expect(accept(aJob(user))).rejects.toMatchObject({ status: 402, code: 'budget_exceeded' });
    await expect(accept(aJob(user, 10 * CREDIT, newId()))).resolves.toMatchObject({ isReplay: false });
  });
});

describe('who runs low', () => {
  it('is told once for each crossing', async () => {
    const user = await aUser(test.rt);
    await run(user, 37 * CREDIT);
    expect(await events(user)).toEqual([]);
    await run(user, CREDIT);
    await run(user, CREDIT);
    const low = { type: 'credits.low', data: { remaining: 99, lowAt: 100 } };
    expect(await events(user)).toEqual([low]);
    await grant(user, 10);
    await set(user, { 'credits.lowAt': 50 });
    await run(user, 60 * CREDIT);
    expect((await events(user)).at(-1)).toEqual({ type: 'credits.low', data: { remaining: 48, lowAt: 50 } });
    for (let tries = 0; tries < 3; tries += 1)
      await expect(accept(aJob(user, 49 * CREDIT))).rejects.toMatchObject({ code: 'insufficient_credits' });
    await run(user, 48 * CREDIT);
    const exhausted = { type: 'credits.exhausted', data: { remaining: 48 } };
    expect((await events(user)).slice(2)).toEqual([exhausted]);
    await grant(user, 1);
    await run(user, CREDIT);
    expect((await events(user)).slice(3)).toEqual([{ type: 'credits.exhausted', data: { remaining: 0 } }]);
  });
});

describe('the look through the books', () => {
  it('finds each thing that can be wrong, says it once, and frees only what no open job holds', async () => {
    const look = care();
    await look();
    const user = await aUser(test.rt);
    const id = user.workspace.id;
    const [open, gone] = [aJob(user), aJob(user)];
    for (const job of [open, gone]) await accept(job);
    await run(user, CREDIT);
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
    const spoil = async (sql: string) => {
      await query(sql, [id]);
      return (await findBroken(test.rt.systemPool, 60)).map(({ invariant }) => invariant);
    };
    expect(await spoil('update credit_account set balance = balance + 1 where workspace_id = $1')).toEqual([
      'entries',
      'lots',
    ]);
    expect(await spoil('update credit_account set balance = balance - 1 where workspace_id = $1')).toEqual([]);
    expect(await spoil('update credit_account set last_entry = last_entry + 1 where workspace_id = $1')).toEqual([
      'entries',
    ]);
    expect(await spoil('update credit_account set last_entry = last_entry - 1 where workspace_id = $1')).toEqual([]);
    expect(
      await spoil('update credit_account set balance = balance + 1, held = held - 1 where workspace_id = $1'),
    ).toEqual(['held']);
    await spoil('update credit_account set balance = balance - 1, held = held + 1 where workspace_id = $1');
    expect(await spoil('update job set credit_charged = 0 where workspace_id = $1 and credit_charged > 0')).toEqual([
      'unresolved',
    ]);
    await look();
    await look();
    expect(await events(user)).toEqual([{ type: 'credits.unbalanced', data: { invariant: 'unresolved' } }]);
    expect(await test.rt.metrics.registry.metrics()).toMatch(/wh_credit_books_broken\{invariant="unresolved".*\} 1/);

    await query('delete from job where workspace_id = $1 and id = $2', [id, gone.id]);
    expect(await spoil('select $1::uuid')).toContain('open-of-ended');
    await look();
    expect(await query('select id from credit_reservation where workspace_id = $1', [id])).toEqual([{ id: open.id }]);
    expect(await query('select kind from credit_resolution where reservation_id = $1', [gone.id])).toEqual([
      { kind: 'expire' },
    ]);
  });
});
