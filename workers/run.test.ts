import { createSecretKey } from 'node:crypto';
import { Worker } from 'bullmq';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { aCall, aUser, type TestUser } from '../test/factories.ts';
import { openTestRuntime, type TestRuntime } from '../test/harness.ts';
import { JOB_REF_KEY, signJobRef } from '#queues/job-ref.ts';
import { aiInference } from '#queues/ai-inference.ts';
import { AppError } from '#src/errors.ts';
import { deriveKey } from '#src/lib/secrets.ts';
import { openRedis } from '#src/lib/redis.ts';
import { createClaim } from '#src/modules/jobs/claim.query.ts';
import { createFinish, type Finish, type UsageCall } from '#src/modules/jobs/finish.query.ts';
import { findCredits, findJob } from '#src/modules/jobs/jobs.query.ts';
import { timeLeftMs } from '#src/modules/jobs/job.row.ts';
import type { JobOptions } from '#src/modules/jobs/job.schemas.ts';
import { createRelay } from '#src/modules/jobs/relay.ts';
import type { StreamEvent } from '#src/streams/cursor.ts';
import { createEmit } from '#src/streams/emit.ts';
import { STREAM_KEY } from '#src/streams/frame.ts';
import { createStreamWriter } from '#src/streams/writer.ts';
import { createLeases } from '#workers/leases.ts';
import { startPool, type Pool } from '#workers/pool.ts';
import { Stop } from '#workers/stop.ts';
import { type Attempt, createJobRun, type Handler, type Spent } from '#workers/run.ts';

const contract = { ...aiInference, retry: { ...aiInference.retry, baseMs: 50 } };
const leaseMs = 2000;
let test: TestRuntime;
let user: TestUser;
let close: (() => Promise<void>)[] = [];

beforeAll(async () => {
  test = await openTestRuntime();
  user = await aUser(test.rt);
});
afterAll(() => test.close());
afterEach(async () => {
  await Promise.all(close.map((one) => one()));
  close = [];
});

const accept = async (options: JobOptions = {}, requestId = 'r') => {
  const { workspaceId, userId } = user.auth;
  const { jobId } = await test.rt.jobs.accept({
    workspaceId,
    userId,
    requestId,
    engine: 'chat',
    queue: 'ai-inference',
    band: 'interactive',
    input: {},
    options,
    hold: 1000,
    idempotencyKey: null,
  });
  return { workspaceId, id: jobId };
};

const credits = () => findCredits(test.rt.pool, user.workspace.id);

const openQueueRedis = () => {
  const redis = openRedis(test.config.REDIS_URL, 'blocking', test.rt.log);
  close.push(async () => redis.disconnect());
  return redis;
};

function startWorker(
  handle: Handler,
  finishVia: (finish: Finish, real: ReturnType<typeof createFinish>) => unknown,
): Pool {
  const { pool, log, metrics, redis } = test.rt;
  const prefix = test.config.REDIS_PREFIX;
  const subscriber = openRedis(test.config.REDIS_URL, 'commands', log);
  const leases = createLeases({ pool, subscriber, prefix, leaseMs, log, metrics });
  const finish = createFinish(pool);
  const master = createSecretKey(deriveKey(test.config.APP_SECRET, STREAM_KEY, 32));
  const run = createJobRun(contract, handle, {
    log,
    metrics,
    leases,
    claim: createClaim(pool, leaseMs),
    finish: async (given) => {
      await finishVia(given, finish);
      return finish(given);
    },
    openWriter: (jobId, attempt, onFenced) =>
      createStreamWriter({ emit: createEmit(redis), prefix, master, jobId, attempt, onFenced }),
  });
  const worker = startPool(contract, run, {
    redis: openQueueRedis(),
    prefix,
    leaseMs,
    refKey: deriveKey(test.config.APP_SECRET, JOB_REF_KEY, 32),
    concurrency: 5,
    log,
    metrics,
  });
  close.unshift(async () => {
    await worker.close();
    leases.close();
    subscriber.disconnect();
  });
  return worker;
}

describe('a reference', () => {
  it('that this installation did not sign is not run, and the job it names is run once', async () => {
    const key = await accept();
    const other = await aUser(test.rt);
    const queue = test.rt.producer.queues.find(({ name }) => name === 'ai-inference');
    const { mac } = signJobRef(deriveKey(test.config.APP_SECRET, JOB_REF_KEY, 32), {
      workspaceId: key.workspaceId,
      jobId: key.id,
    });
    const forged = [
      { workspaceId: key.workspaceId, jobId: key.id },
      { workspaceId: key.workspaceId, jobId: key.id, mac: 'A'.repeat(22) },
      { workspaceId: other.auth.workspaceId, jobId: key.id, mac },
      { workspaceId: key.workspaceId, jobId: crypto.randomUUID(), mac },
      'nothing at all',
    ];
    for (const [at, data] of forged.entries()) await queue?.add('ai-inference', data, { jobId: `forged-${at}` });
    const ran: string[] = [];
    startWorker(
      async ({ job }) => {
        ran.push(job.id);
        return { result: { text: 'once' } };
      },
      () => undefined,
    );
    await expect.poll(async () => (await queue?.getFailedCount()) ?? 0).toBe(forged.length);
    await expect.poll(async () => (await findJob(test.rt.pool, key))?.status).toBe('completed');
    expect(ran).toEqual([key.id]);
  });
});

describe('a job given back for a retry', () => {
  it('is run again though the database stored the hand-back and its answer was lost', async () => {
    let isLost = false;
    startWorker(
      async ({ job }) => {
        if (job.attempt === 1) throw new AppError(502, 'flaky', 'It failed.', { retry: 'later' });
        return { result: { text: 'in the end' } };
      },
      async (finish, real) => {
        if (isLost) return;
        isLost = true;
        await real(finish);
        throw Object.assign(new Error('Connection terminated unexpectedly'), { code: '08006' });
      },
    );
    const key = await accept();
    await expect.poll(async () => (await findJob(test.rt.pool, key))?.status).toBe('completed');
    expect(await findJob(test.rt.pool, key)).toMatchObject({ attempt: 2, result: { text: 'in the end' } });
  });
});

const ended = async (key: { workspaceId: string; id: string }) => {
  await expect.poll(async () => (await findJob(test.rt.pool, key))?.status).toBe('failed');
  const row = await findJob(test.rt.pool, key);
  return { row, tookMs: (row?.finished_at?.getTime() ?? NaN) - (row?.started_at?.getTime() ?? NaN) };
};

describe('the time a client gives a job', () => {
  const timedOut = {
    code: 'timed_out',
    detail: 'The job was not done within the 6000 ms of options.timeoutMs, counted from its first start.',
  };

  it('bounds all its attempts together: the second gets what the first has left', async () => {
    let left = Infinity;
    startWorker(
      async ({ job, signal }) => {
        if (job.attempt === 1) {
          await sleep(3000);
          throw new AppError(502, 'flaky', 'It failed.', { retry: 'later' });
        }
        left = timeLeftMs(job);
        await sleep(60_000, undefined, { signal });
        return { result: {} };
      },
      () => undefined,
    );
    const { row, tookMs } = await ended(await accept({ timeoutMs: 6000 }));
    expect(row).toMatchObject({ attempt: 2, problem: timedOut });
    expect(left).toBeLessThanOrEqual(3000);
    expect(tookMs).toBeGreaterThanOrEqual(5990);
    expect(tookMs).toBeLessThan(3000 + 6000);
  });

  it('is no way to read an answer for nothing: what had come by then is paid, as after a cancel', async () => {
    const openai = aCall('openai', 'failed');
    const anthropic = aCall('anthropic', 'cancelled');
    startWorker(
      async (attempt) => {
        // Stopped under way, and one that had failed when the time was over.
        attempt.called(attempt.job.requestId === 'r' ? anthropic : openai);
        await sleep(60_000, undefined, { signal: attempt.signal });
        return { result: {} };
      },
      () => undefined,
    );
    const before = await credits();
    const paid = { held: before?.held, balance: (before?.balance ?? NaN) - 400 };
    const { row } = await ended(await accept({ timeoutMs: 5000 }));
    expect(row?.problem).toMatchObject({ code: 'timed_out' });
    expect(await credits()).toEqual(paid);
    await ended(await accept({ timeoutMs: 5000 }, 'failed'));
    expect(await credits()).toEqual(paid);
  });

  it('can be over before an attempt begins, which then asks nobody', async () => {
    const asked: number[] = [];
    startWorker(
      async ({ job }) => {
        asked.push(job.attempt);
        // As if it had waited so long for a worker.
        await test.rt.systemPool.query(`update job set started_at = now() - interval '1 hour' where id = $1`, [job.id]);
        throw new AppError(502, 'flaky', 'It failed.', { retry: 'later' });
      },
      () => undefined,
    );
    const { row } = await ended(await accept({ timeoutMs: 6000 }));
    expect(row).toMatchObject({ attempt: 2, problem: timedOut });
    expect(asked).toEqual([1]);
  });
});

describe('an answer that does not fit', () => {
  const spent: Spent = {
    provider: 'openai',
    model: 'm',
    inputTokens: 1,
    outputTokens: 1,
    cachedInputTokens: 0,
    costUsd: 4e-7,
    estimated: true,
    degraded: false,
    fallbacks: [],
    timeToFirstTokenMs: 1,
  };
  const charged = async (failure: string, say: (output: Attempt['output']) => void) => {
    startWorker(
      async (attempt) => {
        say(attempt.output);
        attempt.called(aCall('openai', 'failed', failure));
        attempt.spent(spent);
        throw new AppError(502, failure, 'It does not fit.');
      },
      () => undefined,
    );
    const before = await credits();
    const { row } = await ended(await accept());
    const after = await credits();
    expect(after?.held).toBe(before?.held);
    expect(row?.usage?.credits).toBe(row?.streamed_text && failure === 'bad_output' ? 0.0004 : undefined);
    await Promise.all(close.splice(0).map((one) => one()));
    return { charge: (before?.balance ?? NaN) - (after?.balance ?? NaN), text: row?.streamed_text };
  };

  it('is paid where its text stays with the client, and not otherwise', async () => {
    expect(await charged('bad_output', (output) => output.text('All there is to know.'))).toEqual({
      charge: 400,
      text: 'All there is to know.',
    });
    expect(await charged('bad_output', () => undefined)).toEqual({ charge: 0, text: null });
    // Another answer was to take its place: what was shown is taken back.
    const takenBack = await charged('bad_output', (output) => {
      output.text('All there is to know.');
      output.restarted('bad_output');
    });
    expect(takenBack).toEqual({ charge: 0, text: null });
    expect(await charged('stream_truncated', (output) => output.text('All there'))).toEqual({
      charge: 0,
      text: 'All there',
    });
  });
});

describe('an answer that does not fit, and is shown while another is waited for,', () => {
  it('is paid when the client cancels in that wait', async () => {
    startWorker(
      async (attempt) => {
        attempt.output.text('All there is to know.');
        attempt.called(aCall('openai', 'failed', 'bad_output'));
        throw new Stop('cancelled');
      },
      () => undefined,
    );
    const before = await credits();
    const key = await accept();
    await expect.poll(async () => (await findJob(test.rt.pool, key))?.status).toBe('cancelled');
    expect(await findJob(test.rt.pool, key)).toMatchObject({ streamed_text: 'All there is to know.' });
    expect(await credits()).toEqual({ held: before?.held, balance: (before?.balance ?? NaN) - 400 });
  });
});

it('an answer that does not fit, and was shown, is paid once where who was asked next cannot answer, or was asked in vain', async () => {
  const [failed, cancelled] = [aCall('groq', 'failed', 'auth'), aCall('groq', 'cancelled')];
  const cases: [next: UsageCall, end: Error][] = [
    [{ ...failed, key_owner: 'workspace' }, new AppError(502, 'provider_bad_output', 'x')],
    [{ ...cancelled, key_owner: 'workspace' }, new Stop('cancelled')],
    [cancelled, new Stop('cancelled')],
  ];
  for (const [next, end] of cases) {
    const handle: Handler = async (attempt) => {
      attempt.output.text('All there is to know.');
      attempt.called(aCall('openai', 'failed', 'bad_output'));
      attempt.output.restarted('bad_output');
      attempt.called({ ...next, call_no: 2 });
      throw end;
    };
    startWorker(handle, () => undefined);
    const [before, key] = [await credits(), await accept()];
    await expect.poll(async () => (await findJob(test.rt.pool, key))?.finished_at ?? null).not.toBeNull();
    expect(await credits()).toEqual({ held: before?.held, balance: (before?.balance ?? NaN) - 400 });
    await Promise.all(close.splice(0).map((one) => one()));
  }
});

describe('a cancel', () => {
  it('that no worker has heard of ends a job at its hand-back, not after the wait for its retry', async () => {
    const key = await accept();
    const { pool, systemPool } = test.rt;
    const events: StreamEvent[] = [];
    const { promise: isOver, resolve: over } = Promise.withResolvers<void>();
    await test.rt.reader.watch(key, null, { deliver: (event) => events.push(event) > 0, over }, true);
    startWorker(
      async ({ job, output }) => {
        output.text('até aqui');
        // As when the message on the control channel is lost.
        await systemPool.query('update job set cancel_requested_at = now() where id = $1', [job.id]);
        throw new AppError(503, 'busy', 'Later.', { retry: 'delay', retryAfterMs: 60_000 });
      },
      () => undefined,
    );
    await isOver;
    expect(events.map(({ event }) => event)).toEqual(['job.chunk', 'job.cancelled']);
    expect(await findJob(pool, key)).toMatchObject({
      status: 'cancelled',
      problem: { code: 'cancelled' },
      streamed_text: 'até aqui',
    });
    expect(await findCredits(pool, key.workspaceId)).toMatchObject({ held: 0 });
  });
});

describe('the sweep', () => {
  it('puts a waiting job into Redis again where its entry had been ended', async () => {
    const key = await accept();
    const prefix = test.config.REDIS_PREFIX;
    // Ends the entry, as a process of an older version might.
    const ender = new Worker('ai-inference', async () => null, { connection: openQueueRedis(), prefix: `{${prefix}}` });
    await once(ender, 'completed');
    await ender.close();
    const { pool, systemPool, redis, producer, log, metrics } = test.rt;
    await systemPool.query(`update job set dispatched_at = now() - interval '1 minute' where id = $1`, [key.id]);
    const relay = createRelay({
      pool: systemPool,
      redis,
      producer,
      prefix,
      leaseMs,
      resultTtlSeconds: 60,
      log,
      metrics,
    });
    await relay.sweep();
    startWorker(
      async () => ({ result: { text: 'after all' } }),
      () => undefined,
    );
    await expect.poll(async () => (await findJob(pool, key))?.status).toBe('completed');
  });
});
