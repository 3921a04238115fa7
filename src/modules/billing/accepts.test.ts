import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '#src/lib/ids.ts';
import { SYSTEM } from '#src/modules/audit/audit.ts';
import { findBroken } from '#src/modules/billing/reconcile.query.ts';
import { createAccept, type NewJob } from '#src/modules/jobs/accept.query.ts';
import { createClaim } from '#src/modules/jobs/claim.query.ts';
import { createFinish } from '#src/modules/jobs/finish.query.ts';
import { ofWorkspaceId } from '#src/modules/settings/settings.ts';
import { settingsOf } from '#src/modules/settings/registry.ts';
import { aJob, aUser, type TestUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

const CREDIT = 1_000_000;

let test: TestRuntime;
beforeAll(async () => {
  test = await openTestRuntime({ STARTING_CREDITS: '100' });
});
afterAll(() => test.close());

const query = async (sql: string, values: unknown[] = []) => (await test.rt.systemPool.query(sql, values)).rows;
const set = (user: TestUser, patch: Record<string, unknown>) =>
  test.rt.settings.change(ofWorkspaceId(user.workspace.id), settingsOf('workspace'), {
    patch,
    ifMatch: undefined,
    actor: SYSTEM,
  });
const account = async ({ workspace }: TestUser) =>
  (
    await query(
      'select (balance / $2)::int as free, (held / $2)::int as held from credit_account where workspace_id = $1',
      [workspace.id, CREDIT],
    )
  )[0];
const job = (user: TestUser, credits: number, userId?: string): NewJob => {
  const made = aJob(user, credits * CREDIT, userId);
  return { ...made, input: { of: made.id } };
};
const withKey = (one: NewJob, body = 'x') => ({
  ...one,
  idempotency: { route: 'chat', key: 'k', bodyHash: Buffer.from(body) },
});
/** The jobs of a workspace and what is set aside for them, in the order of their ids. */
const rows = ({ workspace }: TestUser) =>
  query(
    `select j.id, j.user_id, (j.credit_held / $2)::int as hold, (r.amount / $2)::int as reserved, r.user_id as by, j.input->>'of' as of
     from job j left join credit_reservation r using (workspace_id, id) where j.workspace_id = $1 order by j.id`,
    [workspace.id, CREDIT],
  );
const rowOf = ({ id, userId, hold, input }: NewJob) => ({
  id,
  user_id: userId,
  hold: hold / CREDIT,
  reserved: hold > 0 ? hold / CREDIT : null,
  by: hold > 0 ? userId : null,
  ...Object(input),
});
const outcomeOf = (one: PromiseSettledResult<{ isReplay: boolean }>) => {
  if (one.status === 'fulfilled') return one.value.isReplay ? 'replayed' : 'accepted';
  return one.reason instanceof Error && 'code' in one.reason ? one.reason.code : one.reason;
};

describe('jobs of several workspaces that are accepted in one moment', () => {
  it('are each looked at by what their own workspace has, and written for it', async () => {
    // In the order of their keys: the last has enough for all it asks for, whatever those before it have.
    const [plain, poor, budgeted, keyed, members, rich] = [
      await aUser(test.rt),
      await aUser(test.rt),
      await aUser(test.rt),
      await aUser(test.rt),
      await aUser(test.rt),
      await aUser(test.rt),
    ];
    const colleague = newId();
    await set(budgeted, { 'credits.monthlyBudget': 50 });
    await set(members, { 'credits.monthlyBudget': 50, 'credits.memberBudget': 20 });
    const earlier = withKey(job(keyed, 5));
    await createAccept(test.rt.pool)(earlier);
    const asked: [NewJob, string][] = [
      [job(plain, 40), 'accepted'],
      [job(rich, 30), 'accepted'],
      [job(poor, 90), 'accepted'],
      [job(members, 15), 'accepted'],
      [withKey(job(keyed, 5)), 'replayed'],
      [job(budgeted, 30), 'accepted'],
      [job(poor, 11), 'insufficient_credits'],
      [job(plain, 0), 'accepted'],
      [{ ...job(plain, 1), workspaceId: newId() }, 'not_found'],
      [job(members, 15), 'budget_exceeded'],
      [withKey(job(keyed, 5), 'y'), 'idempotency_mismatch'],
      [withKey(job(plain, 60)), 'accepted'],
      [job(members, 20, colleague), 'accepted'],
      [job(budgeted, 21), 'budget_exceeded'],
      [job(rich, 30), 'accepted'],
      [job(poor, 10), 'accepted'],
      [job(keyed, 95), 'accepted'],
      [withKey(job(plain, 60)), 'replayed'],
      [job(budgeted, 20), 'accepted'],
    ];
    const door = createAccept(test.rt.pool);
    const settled = await Promise.allSettled(asked.map(([one]) => door(one)));
    expect(settled.map(outcomeOf)).toEqual(asked.map(([, outcome]) => outcome));
    const users = [plain, poor, budgeted, keyed, members, rich];
    for (const user of users) {
      const own = asked.flatMap(([one, is]) =>
        one.workspaceId === user.workspace.id && is === 'accepted' ? [rowOf(one)] : [],
      );
      expect(await rows(user)).toEqual(user === keyed ? [rowOf(earlier), ...own] : own);
    }
    expect(await Promise.all(users.map(account))).toEqual(
      [
        [0, 100],
        [0, 100],
        [50, 50],
        [0, 100],
        [65, 35],
        [40, 60],
      ].map(([free, held]) => ({ free, held })),
    );
    expect(await query('select workspace_id, job_id from idempotency order by created_at')).toEqual([
      { workspace_id: keyed.workspace.id, job_id: earlier.id },
      { workspace_id: plain.workspace.id, job_id: asked[11]?.[0].id },
    ]);
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  });

  it('leave their caller where it was: behind the wall, in the last of the workspaces by key', async () => {
    const jobs = [aJob(await aUser(test.rt)), aJob(await aUser(test.rt))].toSorted((a, b) =>
      a.workspaceId < b.workspaceId ? -1 : 1,
    );
    const client = await test.rt.pool.connect();
    const answers: unknown[] = [];
    const through = {
      query: async (statement: { text: string }) => {
        await client.query('begin');
        const answer = await client.query(statement);
        const { rows: seen } = await client.query('select id from job');
        const { rows: role } = await client.query(`select current_user::text as name`);
        answers.push(seen, role);
        await client.query('commit');
        return answer;
      },
    };
    try {
      const door = createAccept(Object.assign(Object.create(test.rt.pool), through));
      await Promise.all(jobs.map(door));
    } finally {
      client.release();
    }
    expect(answers).toEqual([[{ id: jobs[1]?.id }], [{ name: 'wh_app' }]]);
  });

  it('do not wait for each other in a circle, in whatever order several processes bring them while others end', async () => {
    const users = await Promise.all(Array.from({ length: 6 }, () => aUser(test.rt)));
    const finish = createFinish(test.rt.pool);
    const claim = createClaim(test.rt.pool, 60_000);
    const end = async ({ workspaceId, id }: NewJob) => {
      const key = { workspaceId, id, leaseToken: randomUUID() };
      await claim(key);
      const rest = { problem: null, streamedText: null, usage: null, calls: [], delayMs: 0, isFailure: false };
      await finish({ ...key, ...rest, status: 'completed', result: {}, charge: CREDIT / 2 });
    };
    const process = async (at: number) => {
      const door = createAccept(test.rt.pool);
      const turned = [...users.slice(at), ...users.slice(0, at)];
      for (let round = 0; round < 20; round += 1)
        await Promise.all(
          (round % 2 === 0 ? turned : turned.toReversed()).map(async (user) => {
            const job = aJob(user);
            await door(job);
            await end(job);
          }),
        );
    };
    await Promise.all(Array.from({ length: 4 }, (_, at) => process(at)));
    for (const user of users) expect(await account(user)).toEqual({ free: 60, held: 0 });
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  });
});
