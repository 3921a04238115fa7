import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '#src/lib/ids.ts';
import { createAccept, type NewJob } from '#src/modules/jobs/accept.query.ts';
import { createClaim } from '#src/modules/jobs/claim.query.ts';
import { createFinish, type Finish, type UsageCall } from '#src/modules/jobs/finish.query.ts';
import { cancelJob, findCredits, findJob, listJobs } from '#src/modules/jobs/jobs.query.ts';
import { cancelledProblem } from '#workers/outcome.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

const CREDIT = 1_000_000;
let test: TestRuntime;
beforeAll(async () => {
  test = await openTestRuntime({ STARTING_CREDITS: '10' });
});
afterAll(() => test.close());

const aJob = (user: TestUser, fields: Partial<NewJob> = {}): NewJob => ({
  workspaceId: user.workspace.id,
  id: newId(),
  userId: user.user.id,
  queue: 'ai-inference',
  engine: 'copilot',
  band: 'interactive',
  input: { context: 'a NUL \0 and half an emoji \ud83d' },
  options: {},
  requestId: 'request',
  maxAttempts: 3,
  hold: CREDIT,
  idempotency: null,
  ...fields,
});
const end = (job: NewJob, leaseToken: string, fields: Partial<Finish> = {}): Finish => ({
  workspaceId: job.workspaceId,
  id: job.id,
  leaseToken,
  status: 'completed',
  result: { ok: true },
  problem: null,
  streamedText: 'text',
  usage: null,
  calls: [],
  charge: 0,
  delayMs: 0,
  isFailure: false,
  ...fields,
});
const creditsOf = async (user: TestUser) => {
  const credits = await findCredits(test.rt.pool, user.workspace.id);
  return credits && { balance: credits.balance / CREDIT, held: credits.held / CREDIT };
};

describe('accepting', () => {
  it('admits exactly what the balance pays for, from two processes at once', async () => {
    const user = await aUser(test.rt);
    const doors = [createAccept(test.rt.pool), createAccept(test.rt.pool)] as const;
    const settled = await Promise.allSettled(
      Array.from({ length: 200 }, (_, at) => doors[at % 2 === 0 ? 0 : 1](aJob(user))),
    );
    expect(settled.filter((one) => one.status === 'fulfilled')).toHaveLength(10);
    for (const one of settled)
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ status: 402, code: 'insufficient_credits' });
    expect(await creditsOf(user)).toEqual({ balance: 0, held: 10 });
  });

  it('lets a dear job not stand in the way of a cheap one of the same batch', async () => {
    const user = await aUser(test.rt);
    const accept = createAccept(test.rt.pool);
    const [dear, cheap] = await Promise.allSettled([accept(aJob(user, { hold: 11 * CREDIT })), accept(aJob(user))]);
    expect([dear.status, cheap.status]).toEqual(['rejected', 'fulfilled']);
    expect(dear).toHaveProperty(
      'reason.message',
      expect.stringContaining('This job may cost up to 11.000 credits; 10.000 are available.'),
    );
  });

  it('makes one job of one key, and refuses the key to another body or leaves it to another route', async () => {
    const user = await aUser(test.rt);
    const doors = [createAccept(test.rt.pool), createAccept(test.rt.pool)] as const;
    const bodyHash = randomBytes(32);
    const keyed = () => aJob(user, { idempotency: { route: '/api/ai/copilot', key: 'k', bodyHash } });
    const all = await Promise.all(Array.from({ length: 40 }, (_, at) => doors[at % 2 === 0 ? 0 : 1](keyed())));
    expect(new Set(all.map((one) => one.jobId)).size).toBe(1);
    expect(all.filter((one) => !one.isReplay)).toHaveLength(1);
    expect(await creditsOf(user)).toEqual({ balance: 9, held: 1 });
    const other = aJob(user, { idempotency: { route: '/api/ai/copilot', key: 'k', bodyHash: randomBytes(32) } });
    await expect(doors[0](other)).rejects.toMatchObject({ status: 422, code: 'idempotency_mismatch' });
    const elsewhere = aJob(user, { idempotency: { route: '/api/ai/chat', key: 'k', bodyHash } });
    await expect(doors[0](elsewhere)).resolves.toMatchObject({ isReplay: false });
    const neighbour = await aUser(test.rt);
    const same = aJob(neighbour, { idempotency: { route: '/api/ai/copilot', key: 'k', bodyHash } });
    await expect(doors[1](same)).resolves.toMatchObject({ isReplay: false });
  });

  it('keeps every string a client can send', async () => {
    const user = await aUser(test.rt);
    const job = aJob(user);
    await createAccept(test.rt.pool)(job);
    const claim = await createClaim(test.rt.pool, 1000)({ ...job, leaseToken: newId() });
    expect(claim).toMatchObject({ kind: 'claimed', job: { input: job.input, attempt: 1, previously: 'queued' } });
  });
});

describe('a lease', () => {
  it('is one worker’s until it runs out; the one before is then refused', async () => {
    const user = await aUser(test.rt);
    const job = aJob(user);
    await createAccept(test.rt.pool)(job);
    const [first, second] = [newId(), newId()];
    const claim = createClaim(test.rt.pool, 60);
    expect(await claim({ ...job, leaseToken: first })).toMatchObject({ kind: 'claimed' });
    expect(await claim({ ...job, leaseToken: second })).toMatchObject({ kind: 'leased' });
    await expect
      .poll(() => claim({ ...job, leaseToken: second }))
      .toMatchObject({ kind: 'claimed', job: { attempt: 2, previously: 'active' } });
    const finish = createFinish(test.rt.pool);
    expect(await finish(end(job, first, { charge: CREDIT }))).toEqual({ kind: 'refused' });
    expect(await finish(end(job, second, { charge: CREDIT / 4 }))).toMatchObject({
      kind: 'done',
      row: { status: 'completed', attempt: 2 },
    });
    expect(await finish(end(job, second))).toEqual({ kind: 'refused' });
    expect(await creditsOf(user)).toEqual({ balance: 9.75, held: 0 });
    expect(await claim({ ...job, leaseToken: newId() })).toEqual({ kind: 'over' });
    expect(await claim({ workspaceId: job.workspaceId, id: newId(), leaseToken: newId() })).toEqual({
      kind: 'unknown',
    });
  });

  it('given back for a retry keeps the hold, and never takes more than it', async () => {
    const user = await aUser(test.rt);
    const job = aJob(user);
    await createAccept(test.rt.pool)(job);
    const claim = createClaim(test.rt.pool, 5000);
    const finish = createFinish(test.rt.pool);
    const [first, second] = [newId(), newId()];
    await claim({ ...job, leaseToken: first });
    await finish(end(job, first, { status: 'retrying', isFailure: true, charge: CREDIT }));
    expect(await creditsOf(user)).toEqual({ balance: 9, held: 1 });
    expect(await claim({ ...job, leaseToken: second })).toMatchObject({
      kind: 'claimed',
      job: { attempt: 2, failures: 1, previously: 'retrying' },
    });
    await finish(end(job, second, { charge: 99 * CREDIT }));
    expect(await creditsOf(user)).toEqual({ balance: 9, held: 0 });
  });
});

const aCall = (fields: Partial<UsageCall> = {}): UsageCall => ({
  call_no: 1,
  strategy: 'failover',
  provider: 'openai',
  model: 'gpt-4o',
  key_owner: 'installation',
  outcome: 'delivered',
  failure: null,
  fallback_from: null,
  input_tokens: 100,
  cached_input_tokens: 0,
  cache_write_tokens: 0,
  output_tokens: 10,
  reasoning_tokens: 0,
  is_estimated: false,
  is_paid: false,
  cost_nano: CREDIT / 4,
  price_version: 'v',
  latency_ms: 5,
  ttft_ms: null,
  started_at_ms: Date.now(),
  ...fields,
});
const bookedFor = async (job: NewJob) =>
  (
    await test.rt.systemPool.query<Record<string, unknown>>(
      `select attempt_no, call_no, outcome, failure, engine, user_id, cost_nano::int as cost, credits::int as credits
       from ai_usage_log where workspace_id = $1 and job_id = $2 order by attempt_no, call_no`,
      [job.workspaceId, job.id],
    )
  ).rows;

describe('the calls of an attempt', () => {
  it('are booked with its end: all of them, every attempt, and the paid one with what the job is charged', async () => {
    const user = await aUser(test.rt);
    const job = aJob(user);
    await createAccept(test.rt.pool)(job);
    const claim = createClaim(test.rt.pool, 5000);
    const finish = createFinish(test.rt.pool);
    const [first, second] = [newId(), newId()];
    const failed = aCall({ outcome: 'failed', failure: 'timeout', cost_nano: 7 });
    await claim({ ...job, leaseToken: first });
    await finish(end(job, first, { status: 'retrying', isFailure: true, calls: [failed] }));
    await claim({ ...job, leaseToken: second });
    const paid = aCall({ call_no: 2, is_paid: true, cost_nano: 99 * CREDIT });
    expect(await finish(end(job, second, { charge: 99 * CREDIT, calls: [failed, paid] }))).toMatchObject({
      kind: 'done',
    });
    const row = { engine: 'copilot', user_id: user.user.id };
    expect(await bookedFor(job)).toEqual([
      { ...row, attempt_no: 1, call_no: 1, outcome: 'failed', failure: 'timeout', cost: 7, credits: 0 },
      { ...row, attempt_no: 2, call_no: 1, outcome: 'failed', failure: 'timeout', cost: 7, credits: 0 },
      // Charged no more than was held, whatever it cost.
      { ...row, attempt_no: 2, call_no: 2, outcome: 'delivered', failure: null, cost: 99 * CREDIT, credits: CREDIT },
    ]);
    expect(await creditsOf(user)).toEqual({ balance: 9, held: 0 });
  });

  it('of a worker that lost its lease are not booked, nor charged, and those of two workspaces keep apart', async () => {
    const [one, other] = [await aUser(test.rt), await aUser(test.rt)];
    const [mine, theirs] = [aJob(one), aJob(other)];
    const accept = createAccept(test.rt.pool);
    const claim = createClaim(test.rt.pool, 5000);
    const finish = createFinish(test.rt.pool);
    const leaseToken = newId();
    await Promise.all([accept(mine), accept(theirs)]);
    await Promise.all([claim({ ...mine, leaseToken }), claim({ ...theirs, leaseToken })]);
    const calls = [aCall({ is_paid: true })];
    expect(await finish(end(mine, newId(), { charge: CREDIT / 4, calls }))).toEqual({ kind: 'refused' });
    expect(await bookedFor(mine)).toEqual([]);
    await Promise.all([mine, theirs].map((job) => finish(end(job, leaseToken, { charge: CREDIT / 4, calls }))));
    expect([await bookedFor(mine), await bookedFor(theirs)].map((rows) => rows.map(({ credits }) => credits))).toEqual([
      [CREDIT / 4],
      [CREDIT / 4],
    ]);
    expect([await creditsOf(one), await creditsOf(other)]).toEqual([
      { balance: 9.75, held: 0 },
      { balance: 9.75, held: 0 },
    ]);
  });
});

describe('cancelling', () => {
  it('ends a waiting job with its hold given back, marks a running one, and knows no job of another workspace', async () => {
    const user = await aUser(test.rt);
    const stranger = await aUser(test.rt);
    const [waiting, running] = [aJob(user), aJob(user)];
    const accept = createAccept(test.rt.pool);
    await Promise.all([accept(waiting), accept(running)]);
    const claim = createClaim(test.rt.pool, 5000);
    const leaseToken = newId();
    await claim({ ...running, leaseToken });
    const { pool } = test.rt;
    expect(await cancelJob(pool, { workspaceId: stranger.workspace.id, id: waiting.id }, cancelledProblem())).toEqual({
      kind: 'unknown',
    });
    expect(await findJob(pool, { workspaceId: stranger.workspace.id, id: waiting.id })).toBeNull();
    expect(await cancelJob(pool, waiting, cancelledProblem())).toMatchObject({
      kind: 'cancelled',
      row: { status: 'cancelled' },
    });
    expect(await cancelJob(pool, waiting, cancelledProblem())).toEqual({ kind: 'over' });
    expect(await cancelJob(pool, running, cancelledProblem())).toEqual({ kind: 'running' });
    expect(await creditsOf(user)).toEqual({ balance: 9, held: 1 });
    expect(await claim({ ...waiting, leaseToken: newId() })).toEqual({ kind: 'over' });
    const page = await listJobs(pool, { workspaceId: user.workspace.id, limit: 10 });
    expect(page.map((row) => row.id).toSorted()).toEqual([waiting.id, running.id].toSorted());
    expect(await listJobs(pool, { workspaceId: stranger.workspace.id, limit: 10 })).toEqual([]);
  });
});
