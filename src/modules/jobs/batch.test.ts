import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { endBatch, findUnended } from '#src/modules/jobs/batch.query.ts';
import { cancelledOnRequest, createBatches } from '#src/modules/jobs/batches.ts';
import { createClaim } from '#src/modules/jobs/claim.query.ts';
import { createFinish } from '#src/modules/jobs/finish.query.ts';
import type { JobUsage } from '#src/modules/jobs/job.schemas.ts';
import { findCredits } from '#src/modules/jobs/jobs.query.ts';

let test: TestApp;
let user: TestUser;
beforeAll(async () => {
  test = await openTestApp({ OPENAI_API_KEY: 'sk-none' });
  user = await aUser(test.rt);
});
afterAll(() => test.close(), 120_000);

const send = (url: string, payload?: object, headers: Record<string, string> = {}) =>
  test.app.inject({
    method: payload ? 'POST' : 'GET',
    url,
    headers: { ...user.headers, ...headers },
    ...(payload && { payload }),
  });
const submit = async (texts: string[], headers: Record<string, string> = {}) =>
  (await send('/api/ai/batch', { engine: 'sentiment', items: texts.map((text) => ({ text })) }, headers)).json();
const itemsOf = async (parent: string): Promise<{ id: string; status: string }[]> =>
  (await test.rt.systemPool.query('select id, status from job where parent_id = $1 order by item', [parent])).rows;
const finish = async (id: string, result: unknown, usage: JobUsage | null = null) => {
  const key = { workspaceId: user.workspace.id, id };
  const leaseToken = randomUUID();
  await createClaim(test.rt.pool, 10_000)({ ...key, leaseToken });
  const problem = result === null ? cancelledOnRequest() : null;
  const rest = { streamedText: null, usage, charge: 0, delayMs: 0, isFailure: false, calls: [] };
  const status = problem ? ('failed' as const) : ('completed' as const);
  await createFinish(test.rt.pool)({ ...key, leaseToken, status, result, problem, ...rest });
};
const batches = () =>
  createBatches({
    pool: test.rt.systemPool,
    redis: test.rt.redis,
    prefix: 'x',
    tellEnd: () => undefined,
    onError: () => undefined,
  });
const job = async (id: string) => (await send(`/api/jobs/${id}`)).json();
const credits = () => findCredits(test.rt.pool, user.workspace.id);

it('ends with its last item, results and problems in order, to one caller alone', async () => {
  const { jobId } = await submit(['um', 'dois', 'três']);
  const key = { workspaceId: user.workspace.id, id: jobId };
  const [one, two, three] = await itemsOf(jobId);
  await finish(three?.id ?? '', { n: 3 });
  await finish(one?.id ?? '', { n: 1 });
  expect(await endBatch(test.rt.pool, key, cancelledOnRequest())).toBeNull();
  expect(await job(jobId)).toMatchObject({ status: 'active', engine: 'batch', priority: 'batch' });
  expect((await job(jobId)).progress).toBeCloseTo(2 / 3);
  await finish(two?.id ?? '', null);
  const ended = await Promise.all([1, 2, 3].map(() => endBatch(test.rt.pool, key, cancelledOnRequest())));
  expect(ended.filter((row) => row !== null)).toHaveLength(1);
  expect(await job(jobId)).toMatchObject({
    status: 'completed',
    progress: 1,
    result: [
      { ok: true, result: { n: 1 } },
      { ok: false, problem: { code: 'cancelled' } },
      { ok: true, result: { n: 3 } },
    ],
  });
  expect(await credits()).toMatchObject({ held: 0 });
});

const usage = (model: string, costUsd: number): JobUsage => ({
  provider: 'openai',
  model,
  inputTokens: 100,
  outputTokens: 7,
  cachedInputTokens: 20,
  costUsd,
  credits: costUsd * 1000,
  queueMs: 30,
  latencyMs: 40,
  timeToFirstTokenMs: null,
  fallbacks: [],
  degraded: false,
  estimated: model === 'gpt-4o',
});

it('has used what its items have, together', async () => {
  const { jobId } = await submit(['um', 'dois', 'três']);
  const [one, two, three] = await itemsOf(jobId);
  await finish(one?.id ?? '', { n: 1 }, usage('gpt-4o-mini', 0.0001));
  await finish(two?.id ?? '', null);
  await finish(three?.id ?? '', { n: 3 }, usage('gpt-4o', 0.0002));
  await batches().sweep();
  expect((await job(jobId)).usage).toEqual({
    provider: 'openai',
    model: 'several',
    inputTokens: 200,
    outputTokens: 14,
    cachedInputTokens: 40,
    costUsd: 0.0003,
    credits: 0.3,
    queueMs: 30,
    latencyMs: expect.any(Number),
    timeToFirstTokenMs: null,
    fallbacks: [],
    degraded: false,
    estimated: true,
  });
});

it('is found by the sweep when whoever ended the last item died', async () => {
  const { jobId } = await submit(['um']);
  const [one] = await itemsOf(jobId);
  await finish(one?.id ?? '', { n: 1 });
  expect((await findUnended(test.rt.systemPool, 10)).map(({ id }) => id)).toEqual([jobId]);
  await batches().sweep();
  expect((await job(jobId)).status).toBe('completed');
});

it('of a workspace that is closed meanwhile is cancelled by the sweep, as are its other jobs', async () => {
  const guest = await aUser(test.rt);
  const { headers, workspace } = guest;
  const call = (method: 'POST' | 'DELETE', url: string, payload: object) =>
    test.app.inject({ method, url, headers, payload });
  // Whom the door remembers it lets in for two seconds more.
  expect((await call('DELETE', `/api/workspaces/${workspace.id}`, {})).statusCode).toBe(200);
  const input = { text: 'Oi' };
  const made = [
    await call('POST', '/api/ai/summarize', { messages: [{ role: 'user', content: 'Oi' }] }),
    await call('POST', '/api/ai/batch', { engine: 'sentiment', items: [input, input] }),
  ];
  expect(made.map(({ statusCode }) => statusCode)).toEqual([202, 202]);
  expect(await findCredits(test.rt.pool, workspace.id)).not.toMatchObject({ held: 0 });
  const { rows } = await test.rt.systemPool.query(
    `select id from job where workspace_id = $1 and status = 'queued' and engine = 'summarize'`,
    [workspace.id],
  );
  const leaseToken = randomUUID();
  const running = { workspaceId: workspace.id, id: rows[0].id, leaseToken };
  await createClaim(test.rt.pool, 10_000)(running);
  await batches().sweep();
  const open = async () =>
    (
      await test.rt.systemPool.query(
        'select id, cancel_requested_at is not null as "isAsked" from job where workspace_id = $1 and finished_at is null',
        [workspace.id],
      )
    ).rows;
  expect(await open()).toEqual([{ id: running.id, isAsked: true }]);
  const rest = { streamedText: null, usage: null, charge: 0, delayMs: 0, isFailure: false, calls: [] };
  await createFinish(test.rt.pool)({
    ...running,
    ...rest,
    status: 'retrying',
    result: null,
    problem: cancelledOnRequest(),
  });
  expect(await open()).toEqual([]);
  expect(await findCredits(test.rt.pool, workspace.id)).toMatchObject({ held: 0 });
});

it('is cancelled with its items, and gives their holds back', async () => {
  const { jobId } = await submit(['um', 'dois']);
  const [one] = await itemsOf(jobId);
  const leaseToken = randomUUID();
  const running = { workspaceId: user.workspace.id, id: one?.id ?? '' };
  await createClaim(test.rt.pool, 10_000)({ ...running, leaseToken });
  expect((await send(`/api/jobs/${jobId}/cancel`, {})).statusCode).toBe(202);
  expect((await itemsOf(jobId)).map(({ status }) => status)).toEqual(['active', 'cancelled']);
  const rest = { streamedText: null, usage: null, charge: 0, delayMs: 0, isFailure: false, calls: [], result: null };
  const problem = cancelledOnRequest();
  await createFinish(test.rt.pool)({ ...running, leaseToken, status: 'cancelled', problem, ...rest });
  batches().itemEnded({ workspaceId: user.workspace.id, id: jobId });
  await vi.waitFor(async () => expect((await job(jobId)).status).toBe('cancelled'), 60_000);
  expect((await job(jobId)).result).toHaveLength(2);
  expect(await credits()).toMatchObject({ held: 0 });
});

it('is accepted whole or not at all, once for each Idempotency-Key', async () => {
  const before = await credits();
  await test.rt.systemPool.query('update credit_account set balance = 10 where workspace_id = $1', [user.workspace.id]);
  expect(await submit(['um', 'dois'], { 'idempotency-key': 'k' })).toMatchObject({
    status: 402,
    code: 'insufficient_credits',
  });
  expect(await credits()).toEqual({ balance: 10, held: 0 });
  await test.rt.systemPool.query('update credit_account set balance = $2 where workspace_id = $1', [
    user.workspace.id,
    before?.balance,
  ]);
  const first = await submit(['um', 'dois'], { 'idempotency-key': 'k' });
  expect(await itemsOf(first.jobId)).toHaveLength(2);
  expect((await submit(['um', 'dois'], { 'idempotency-key': 'k' })).jobId).toBe(first.jobId);
  expect(await submit(['um'], { 'idempotency-key': 'k' })).toMatchObject({ status: 422, code: 'idempotency_mismatch' });
  const wrong = { engine: 'sentiment', items: [{ text: 'um' }, { text: 5 }] };
  expect((await send('/api/ai/batch', wrong)).json()).toMatchObject({
    status: 400,
    errors: [{ path: 'items[1].text' }],
  });
});
