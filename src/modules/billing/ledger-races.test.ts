import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { inTransaction } from '#src/db/transaction.query.ts';
import { newId } from '#src/lib/ids.ts';
import { findBroken, lapseLots, reapReservations } from '#src/modules/billing/reconcile.query.ts';
import { createAccept, type NewJob } from '#src/modules/jobs/accept.query.ts';
import { acceptBatch } from '#src/modules/jobs/batch.query.ts';
import { createClaim } from '#src/modules/jobs/claim.query.ts';
import { createFinish, type Finish } from '#src/modules/jobs/finish.query.ts';
import { cancelAllJobs, cancelJob } from '#src/modules/jobs/jobs.query.ts';
import { ofWorkspaceId } from '#src/modules/settings/settings.ts';
import { settingsOf } from '#src/modules/settings/registry.ts';
import { SYSTEM } from '#src/modules/audit/audit.ts';
import { cancelledProblem } from '#workers/outcome.ts';
import { aJob, aUser, type TestUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

const CREDIT = 1_000_000;
const LEASE_MS = 60_000;
const REST = {
  result: {},
  problem: null,
  streamedText: null,
  usage: null,
  calls: [],
  delayMs: 0,
  isFailure: false,
};

let test: TestRuntime;
beforeAll(async () => {
  test = await openTestRuntime({ STARTING_CREDITS: '100' });
});
afterAll(() => test.close());

const accept = (job: NewJob) => createAccept(test.rt.pool)(job);
const accepted = async (user: TestUser, hold = CREDIT) => {
  const job = aJob(user, hold);
  await accept(job);
  return job;
};
async function claim({ workspaceId, id }: NewJob, leaseMs = LEASE_MS): Promise<string> {
  const leaseToken = randomUUID();
  expect(await createClaim(test.rt.pool, leaseMs)({ workspaceId, id, leaseToken })).toMatchObject({ kind: 'claimed' });
  return leaseToken;
}
const end = ({ workspaceId, id }: NewJob, leaseToken: string, charge: number, status: Finish['status'] = 'completed') =>
  createFinish(test.rt.pool)({
    workspaceId,
    id,
    leaseToken,
    status,
    charge,
    ...REST,
  });
const run = async (user: TestUser, charge: number, hold = charge) => {
  const job = await accepted(user, hold);
  await end(job, await claim(job), charge);
  return job;
};
const cancel = ({ workspaceId, id }: NewJob) => cancelJob(test.rt.pool, { workspaceId, id }, cancelledProblem());
const query = async (sql: string, values: unknown[] = []) => (await test.rt.systemPool.query(sql, values)).rows;
const account = async ({ workspace }: TestUser) =>
  (
    await query('select balance::float8 as free, held::float8 from credit_account where workspace_id = $1', [
      workspace.id,
    ])
  )[0];
const captures = ({ workspace }: TestUser) =>
  query(
    `select ref_id as id, amount::int from credit_entry where workspace_id = $1 and kind = 'capture' order by seq`,
    [workspace.id],
  );
const set = (user: TestUser, patch: Record<string, unknown>) =>
  test.rt.settings.change(ofWorkspaceId(user.workspace.id), settingsOf('workspace'), {
    patch,
    ifMatch: undefined,
    actor: SYSTEM,
  });
const broken = () => findBroken(test.rt.systemPool, 600);

describe('an end', () => {
  it('that meets a cancel, a reaper and another end is one of them, and no two wait for each other', async () => {
    const user = await aUser(test.rt);
    const jobs = await Promise.all(Array.from({ length: 40 }, () => accepted(user)));
    const running = await Promise.all(jobs.slice(0, 30).map(async (job) => ({ job, token: await claim(job) })));
    const all = await Promise.all([
      ...running
        .slice(0, 20)
        .flatMap(({ job, token }) => [end(job, token, 400_000), cancel(job), end(job, token, 400_000)]),
      ...running.slice(20).flatMap(({ job, token }) => [end(job, token, 0, 'retrying'), cancel(job)]),
      ...jobs.slice(30).flatMap((job) => [cancel(job), cancel(job)]),
      ...Array.from({ length: 5 }, () => reapReservations(test.rt.systemPool)),
    ]);
    expect(all.filter((one) => typeof one === 'object' && one.kind === 'done')).toHaveLength(30);
    // One that was given back before its cancel came is cancelled by that; the other way round by its end.
    expect(
      await query('select status, count(*)::int from job where workspace_id = $1 group by 1 order by 1', [
        user.workspace.id,
      ]),
    ).toEqual([
      { status: 'cancelled', count: 20 },
      { status: 'completed', count: 20 },
    ]);
    expect(
      await query('select kind, count(*)::int from credit_resolution where workspace_id = $1 group by 1 order by 1', [
        user.workspace.id,
      ]),
    ).toEqual([
      { kind: 'capture', count: 20 },
      { kind: 'release', count: 20 },
    ]);
    expect(await account(user)).toEqual({ free: 92 * CREDIT, held: 0 });
    expect(await broken()).toEqual([]);
  });

  it('of a worker that stood still and comes back is refused, whatever became of its job', async () => {
    const user = await aUser(test.rt);
    const job = await accepted(user);
    const stalled = await claim(job, 1);
    await query('select pg_sleep(0.01)');
    const other = await claim(job);
    expect(await Promise.all([end(job, stalled, 900_000), reapReservations(test.rt.systemPool)])).toEqual([
      { kind: 'refused' },
      0,
    ]);
    expect(await account(user)).toEqual({ free: 99 * CREDIT, held: CREDIT });
    expect(await end(job, other, 300_000)).toMatchObject({ kind: 'done' });
    expect(await end(job, stalled, 900_000)).toEqual({ kind: 'refused' });
    expect(await captures(user)).toEqual([{ id: job.id, amount: 300_000 }]);
    expect(await broken()).toEqual([]);
  });

  it('that comes after the job is gone and its hold has expired takes nothing', async () => {
    const user = await aUser(test.rt);
    const job = await accepted(user);
    const token = await claim(job);
    await query('delete from job where workspace_id = $1 and id = $2', [job.workspaceId, job.id]);
    expect(await reapReservations(test.rt.systemPool)).toBe(1);
    expect(await end(job, token, CREDIT)).toEqual({ kind: 'refused' });
    expect(await captures(user)).toEqual([]);
    expect(await account(user)).toEqual({ free: 100 * CREDIT, held: 0 });
    expect(await broken()).toEqual([]);
  });

  it('takes no more than was held, alone and among others', async () => {
    const user = await aUser(test.rt);
    await run(user, 50 * CREDIT, CREDIT);
    const jobs = await Promise.all([1, 2, 3].map(() => accepted(user)));
    const tokens = await Promise.all(jobs.map((job) => claim(job)));
    const door = createFinish(test.rt.pool);
    await Promise.all(
      jobs.map(({ workspaceId, id }, at) =>
        door({
          workspaceId,
          id,
          leaseToken: tokens[at] ?? '',
          status: 'completed',
          charge: (at + 0.5) * CREDIT,
          ...REST,
        }),
      ),
    );
    expect((await captures(user)).map(({ amount }) => amount)).toEqual([CREDIT, 500_000, CREDIT, CREDIT]);
    expect(await account(user)).toEqual({ free: 96.5 * CREDIT, held: 0 });
    expect(await broken()).toEqual([]);
  });
});

describe('what is held', () => {
  it('outlasts its lot: what is free of it expires, the job is paid, and the rest expires behind it', async () => {
    const user = await aUser(test.rt);
    const job = await accepted(user, 30 * CREDIT);
    await query('update credit_lot set expires_at = now() where workspace_id = $1', [user.workspace.id]);
    await lapseLots(test.rt.systemPool);
    expect(await account(user)).toEqual({ free: 0, held: 30 * CREDIT });
    await lapseLots(test.rt.systemPool);
    await end(job, await claim(job), 10 * CREDIT);
    expect(await account(user)).toEqual({ free: 20 * CREDIT, held: 0 });
    await lapseLots(test.rt.systemPool);
    expect(await account(user)).toEqual({ free: 0, held: 0 });
    expect(await broken()).toEqual([]);
  });

  it('of a grant that is given back while it expires does not', async () => {
    const user = await aUser(test.rt);
    const grant = [user.workspace.id, randomUUID()];
    await query(`select credit_grant($1, 'grant', 5000000, $2, now(), 0, null)`, grant);
    await query('select credit_reverse($1, $2, 2000000)', grant);
    const lapsing = await inTransaction(test.rt.systemPool, async (tx) => {
      await tx.query(`select credit_restore($1, $2, 2000000, now() + interval '30 days')`, grant);
      const lapse = lapseLots(test.rt.systemPool);
      const waiting = `select from pg_locks where not granted and locktype = 'transactionid' and transactionid = pg_current_xact_id()::xid`;
      await vi.waitFor(async () => expect((await tx.query(waiting)).rows).toHaveLength(1));
      return { lapse };
    });
    await lapsing.lapse;
    expect(await account(user)).toEqual({ free: 105 * CREDIT, held: 0 });
    expect(await broken()).toEqual([]);
  });

  it('for a batch is for all of it or nothing, and counts for its member', async () => {
    const user = await aUser(test.rt);
    const batch = (holds: number[]) => {
      const { idempotency: _, hold: __, band: ___, input: ____, ...rest } = aJob(user);
      const items = holds.map((hold) => ({ id: newId(), input: {}, hold: hold * CREDIT }));
      return { ...rest, idempotency: { route: 'batch', key: randomUUID(), bodyHash: Buffer.from('x') }, items };
    };
    await expect(acceptBatch(test.rt.pool, batch([60, 60]))).rejects.toMatchObject({ code: 'insufficient_credits' });
    await set(user, { 'credits.memberBudget': 50 });
    await expect(acceptBatch(test.rt.pool, batch([30, 30]))).rejects.toMatchObject({ code: 'budget_exceeded' });
    expect(await query('select from job where workspace_id = $1', [user.workspace.id])).toEqual([]);
    expect(await query('select from idempotency where workspace_id = $1', [user.workspace.id])).toEqual([]);
    expect(await account(user)).toEqual({ free: 100 * CREDIT, held: 0 });
    const good = batch([20, 20]);
    const both = await Promise.all([acceptBatch(test.rt.pool, good), acceptBatch(test.rt.pool, good)]);
    expect(both.filter(({ isReplay }) => isReplay)).toHaveLength(1);
    expect(await account(user)).toEqual({ free: 60 * CREDIT, held: 40 * CREDIT });
    await expect(accept(aJob(user, 11 * CREDIT))).rejects.toMatchObject({ code: 'budget_exceeded' });
    await expect(accept(aJob(user, 11 * CREDIT, newId()))).resolves.toMatchObject({ isReplay: false });
    expect(await broken()).toEqual([]);
  });

  it('of a workspace that is closed comes back, and a job that is running is still paid', async () => {
    const user = await aUser(test.rt);
    const [waiting, running] = [await accepted(user), await accepted(user)];
    const token = await claim(running);
    const item = { id: newId(), input: {}, hold: CREDIT };
    const { idempotency: _, hold: __, band: ___, input: ____, ...rest } = aJob(user);
    await acceptBatch(test.rt.pool, { ...rest, idempotency: null, items: [item] });
    await query('update workspace set deleted_at = now() where id = $1', [user.workspace.id]);
    await cancelAllJobs(test.rt.pool, user.workspace.id, cancelledProblem());
    expect(await query('select id from credit_reservation where workspace_id = $1', [user.workspace.id])).toEqual([
      { id: running.id },
    ]);
    await end(running, token, 400_000, 'cancelled');
    expect(await captures(user)).toEqual([{ id: running.id, amount: 400_000 }]);
    expect(
      await query(
        `select reservation_id as id from credit_resolution where workspace_id = $1 and kind = 'release' order by 1`,
        [user.workspace.id],
      ),
    ).toEqual([{ id: waiting.id }, { id: item.id }].toSorted((a, b) => (a.id < b.id ? -1 : 1)));
    expect(await account(user)).toEqual({ free: 99.6 * CREDIT, held: 0 });
    expect(await broken()).toEqual([]);
  });
});

describe('jobs sent again with their key', () => {
  it('among new ones cost nothing, also where all together would be more than there is', async () => {
    const user = await aUser(test.rt);
    const keyed = (key: string) => ({
      ...aJob(user, 10 * CREDIT),
      idempotency: { route: 'chat', key, bodyHash: Buffer.from('x') },
    });
    const keys = ['a', 'b', 'c'];
    const first = await Promise.all(keys.map((key) => accept(keyed(key))));
    for (const count of [3, 7]) {
      const door = createAccept(test.rt.pool);
      const again = await Promise.all([
        ...keys.map((key) => door(keyed(key))),
        ...Array.from({ length: count - 2 }, () => door(aJob(user, 10 * CREDIT))),
      ]);
      expect(again.slice(0, 3)).toEqual(first.map(({ jobId }) => ({ jobId, isReplay: true })));
      expect(await account(user)).toEqual({
        free: (count === 3 ? 60 : 10) * CREDIT,
        held: (count === 3 ? 40 : 90) * CREDIT,
      });
    }
    expect(await broken()).toEqual([]);
  });
});

describe('budgets', () => {
  it('hold for each member through several processes while jobs end', async () => {
    const user = await aUser(test.rt);
    await set(user, { 'credits.memberBudget': 10 });
    const members = [newId(), newId()];
    const doors = Array.from({ length: 4 }, () => createAccept(test.rt.pool));
    const tries = members.flatMap((member) => Array.from({ length: 30 }, () => aJob(user, CREDIT, member)));
    const settled = await Promise.allSettled(
      tries.map(async (job, at) => {
        await doors[at % 4]?.(job);
        if (at % 3 === 0) await end(job, await claim(job), CREDIT);
      }),
    );
    for (const member of members)
      expect(settled.filter(({ status }, at) => status === 'fulfilled' && tries[at]?.userId === member)).toHaveLength(
        10,
      );
    expect(await broken()).toEqual([]);
  });

  it('forget nothing where the clock is set back over the end of a month', async () => {
    const user = await aUser(test.rt);
    await set(user, { 'credits.monthlyBudget': 10 });
    await run(user, 6 * CREDIT);
    // As a database sees it whose clock was a month ahead, and is not any more.
    await query(`update credit_account set month = month + interval '1 month' where workspace_id = $1`, [
      user.workspace.id,
    ]);
    await expect(accept(aJob(user, 5 * CREDIT))).rejects.toMatchObject({ code: 'budget_exceeded' });
    await run(user, 3 * CREDIT);
    await expect(accept(aJob(user, 2 * CREDIT))).rejects.toMatchObject({ code: 'budget_exceeded' });
    await expect(accept(aJob(user, CREDIT))).resolves.toMatchObject({ isReplay: false });
  });
});

describe('an account', () => {
  it('is never given more than numbers can tell', async () => {
    const user = await aUser(test.rt);
    const most = Number.MAX_SAFE_INTEGER - 100 * CREDIT;
    const grant = (amount: number) =>
      query(`select credit_grant($1, 'grant', $2, $3, null, 0, null)`, [user.workspace.id, amount, randomUUID()]);
    await expect(grant(most + 1)).rejects.toMatchObject({ code: '22003' });
    await grant(most);
    await expect(grant(1)).rejects.toMatchObject({ code: '22003' });
    expect(await account(user)).toEqual({ free: Number.MAX_SAFE_INTEGER, held: 0 });
    await run(user, CREDIT);
    await grant(CREDIT);
    expect(await broken()).toEqual([]);
  });
});
