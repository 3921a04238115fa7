import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolClient } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackendClient, type JobEvent } from '../../client/src/index.ts';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import { checkLedger } from '#test/drills/books.ts';
import { whileLocked } from '#test/drills/ledger-points.ts';
import { createInstallation, startRedis, type Installation, type Running } from '#test/processes.ts';

/** A worker that is starved for so long is taken for dead. */
const LEASE_MS = 2000;
const password = 'a long enough password';
const ask = (content: string) => ({ messages: [{ role: 'user' as const, content }] });
const answer = Array.from({ length: 30 }, (_, at) => `parte${at}`).join(' ');

let simulator: Simulator;
let redis: Awaited<ReturnType<typeof startRedis>>;
let installation: Installation;
let api: Running & { url: string };
let client: BackendClient;
let workspaceId: string;
let token: string;
const workers: Running[] = [];

beforeAll(async () => {
  simulator = await createSimulator();
  await open();
});
afterAll(async () => {
  await close();
  await simulator.close();
});

// Everybody's workspace is their own; the API, the control process, Redis and one worker go on, unless a test ends one of them.
beforeEach(async () => {
  simulator.clear();
  client = new BackendClient({ baseUrl: api.url });
  const email = `ana-${randomUUID()}@example.com`;
  const session = await client.register({ email, password, name: 'Ana' });
  workspaceId = session.workspace.id;
  token = session.token;
});
afterEach(async () => {
  client.close();
  // The last that was started is there for the next test.
  await Promise.all(workers.splice(0, workers.length - 1).map((worker) => worker.kill('SIGKILL')));
  await expect.poll(() => checkLedger(installation.pool)).toEqual([]);
});

async function open(): Promise<void> {
  redis = await startRedis();
  installation = await createInstallation({
    REDIS_URL: redis.url,
    OPENAI_API_KEY: 'sk-simulated',
    OPENAI_BASE_URL: `${simulator.url}/v1`,
    OPENAI_MODELS: 'gpt-4o-mini',
    JOB_LEASE_MS: `${LEASE_MS}`,
  });
  [api] = await Promise.all([installation.startApi(), installation.startControl()]);
}

async function close(): Promise<void> {
  await installation.close();
  await redis.stop();
}

/** The worker that an earlier test left, else a fresh one. */
const aWorker = async (): Promise<Running> => workers[0] ?? startWorker();

async function startWorker(): Promise<Running> {
  const worker = await installation.startWorker('ai-inference');
  workers.push(worker);
  return worker;
}

const metric = async (name: string): Promise<number> => {
  const authorization = `Basic ${Buffer.from('ops:only-for-this-test').toString('base64')}`;
  const text = await (await fetch(`${api.url}/metrics`, { headers: { authorization } })).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(name))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
};

/** Not by the client, which would ask again where no answer came. */
const post = (path: string, body: object) =>
  fetch(`${api.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

/** Follows a job and keeps its events; resolves `shown` when the first text has come. */
function follow(content: string) {
  const events: JobEvent[] = [];
  const shown = Promise.withResolvers<void>();
  const run = client.jobs.run('chat', ask(content), {
    onEvent: (event) => {
      events.push(event);
      if (event.event === 'job.chunk') shown.resolve();
    },
  });
  const text = (async () => {
    let joined = '';
    for await (const update of run) joined = update.restarted ? update.delta : joined + update.delta;
    return joined;
  })();
  return { run, events, text, shown: shown.promise };
}

const held = async () =>
  (await installation.pool.query<{ held: string }>('select sum(held) as held from credit_account')).rows[0]?.held;

/** How many jobs of the test's workspace there are of which that holds. */
async function jobsThat(holds: string): Promise<number | undefined> {
  const sql = `select count(*)::int as n from job where workspace_id = $1 and ${holds}`;
  return (await installation.pool.query<{ n: number }>(sql, [workspaceId])).rows[0]?.n;
}

// These begin without a worker.
describe('a job that waits', () => {
  it('is cancelled at once: the client hears it, the credits come back, and no provider is ever asked', async () => {
    const events: JobEvent[] = [];
    const run = client.jobs.run('chat', ask('desisto'), { onEvent: (event) => events.push(event) });
    const jobId = await run.jobId;
    expect(Number(await held())).toBeGreaterThan(0);
    await client.jobs.cancel(jobId);
    await expect(run.result).rejects.toMatchObject({ code: 'cancelled' });
    expect(events.map((event) => event.event)).toEqual(['job.queued', 'job.cancelled']);
    expect(Number(await held())).toBe(0);
    await startWorker();
    simulator.script({ text: 'o seguinte' });
    await follow('o seguinte').run.result;
    await Promise.all(workers.splice(0).map((worker) => worker.kill('SIGTERM')));
    expect(simulator.counts().requests).toBe(1);
  });
});

describe('Redis, while jobs wait', () => {
  it('killed with a backlog and started empty is filled again from Postgres', async () => {
    simulator.script({ text: 'feito' });
    const accepted = await Promise.all(
      Array.from({ length: 100 }, (_, at) =>
        client.request<{ jobId: string }>('POST', '/api/ai/chat', ask(`fila ${at}`)),
      ),
    );
    await expect.poll(() => jobsThat('dispatched_at is not null')).toBe(accepted.length);
    await redis.stop();
    await redis.restart();
    await startWorker();
    await expect.poll(() => jobsThat(`status = 'completed'`)).toBe(accepted.length);
  });
});

describe('a worker', () => {
  it('that is killed while it streams is replaced: the client is told, and gets the whole answer', async () => {
    simulator.script({ text: answer, chunkMs: 60 });
    const doomed = await aWorker();
    const { run, events, text, shown } = follow('morre');
    await shown;
    await doomed.kill('SIGKILL');
    await startWorker();
    const job = await run.result;
    expect(await text).toBe(answer);
    expect(job).toMatchObject({ status: 'completed', attempts: 2, result: { text: answer } });
    expect(events.filter((event) => event.event === 'job.restarted')).toEqual([
      { event: 'job.restarted', data: { jobId: job.id, reason: 'worker_lost' } },
    ]);
    expect(Number(await held())).toBe(0);
  });

  it('that wakes when its job has gone to another is refused, by the stream and by the database', async () => {
    simulator.script({ text: answer, chunkMs: 60 });
    const zombie = await aWorker();
    const { run, text, shown } = follow('zumbi');
    await shown;
    await zombie.kill('SIGSTOP');
    await startWorker();
    const job = await run.result;
    expect(await text).toBe(answer);
    const refusedBefore = await metric('wh_refused_total');
    await zombie.kill('SIGCONT');
    await zombie.line((line) => String(line['msg']).includes('refused') || String(line['msg']).includes('dropped'));
    await expect.poll(() => metric('wh_refused_total'), { interval: 250 }).toBeGreaterThan(refusedBefore);
    expect(await client.jobs.get(job.id)).toEqual(job);
    expect(Number(await held())).toBe(0);
  });

  it('that is told to go hands its job over at once, and no attempt is lost by it', async () => {
    // Slow enough that a worker which waited for the end would be found out.
    simulator.script({ text: answer, chunkMs: 1000 });
    const leaving = await aWorker();
    const { run, text, shown } = follow('entrega');
    await shown;
    await startWorker();
    simulator.script({ text: answer, chunkMs: 20 });
    const askedAt = performance.now();
    await leaving.kill('SIGTERM');
    expect(performance.now() - askedAt).toBeLessThan(15_000);
    const job = await run.result;
    expect(await text).toBe(answer);
    const { rows } = await installation.pool.query('select failures from job where id = $1', [job.id]);
    expect(rows[0].failures).toBe(0);
  });
});

/** The books of one job whose worker was killed while its end stood before a lock that the test held. */
describe('a worker that is killed when the answer is whole', () => {
  const books = async (jobId: string) => {
    const { rows } = await installation.pool.query<{ status: string }>(
      `select j.status, j.attempt, j.credit_charged > 0 as "isCharged", a.held::int as held,
         a.balance + j.credit_charged = $2 and coalesce(sum(u.credits), 0) = j.credit_charged as "isEven",
         count(*) filter (where u.credits > 0)::int as paid, array_agg(u.attempt_no || ' ' || u.outcome) as calls
       from job j join credit_account a using (workspace_id)
       left join ai_usage_log u on u.workspace_id = j.workspace_id and u.job_id = j.id
       where j.id = $1 group by j.workspace_id, j.id, a.workspace_id`,
      [jobId, started],
    );
    return rows[0];
  };
  let started: string;

  /** Runs a job until the worker's statement that ends it waits for the job's row, and kills the worker there. */
  async function killAtTheEnd(content: string, then: (lock: PoolClient, backend: number) => Promise<unknown>) {
    const before = await installation.pool.query<{ balance: string }>(
      'select balance from credit_account where workspace_id = $1',
      [workspaceId],
    );
    started = before.rows[0]?.balance ?? '';
    simulator.script({ text: answer, chunkMs: 20 });
    const doomed = await aWorker();
    const { run, shown } = follow(content);
    void run.result.catch(() => undefined);
    const jobId = await run.jobId;
    await shown;
    const lock = await installation.pool.connect();
    try {
      await lock.query('begin');
      await lock.query('select from job where id = $1 for update', [jobId]);
      const backend = await vi.waitFor(
        async () => {
          const { rows } = await installation.pool.query<{ pid: number }>(
            `select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%job_finish(%'`,
          );
          if (!rows[0]) throw new Error('nobody ends the job yet');
          return rows[0].pid;
        },
        { timeout: 60_000, interval: 50 },
      );
      await doomed.kill('SIGKILL');
      await then(lock, backend);
      await lock.query('rollback');
    } finally {
      lock.release();
    }
    await startWorker();
    await expect.poll(async () => (await books(jobId))?.status, { interval: 100 }).toBe('completed');
    // Long enough for the queue to hand it out once more, if it would.
    await sleep(3 * LEASE_MS);
    return books(jobId);
  }

  it('before its end is written: it is answered anew, and charged once', async () => {
    const done = await killAtTheEnd('antes do fim', (lock, backend) =>
      lock.query('select pg_terminate_backend($1)', [backend]),
    );
    expect(simulator.counts().requests).toBe(2);
    expect(done).toEqual({
      status: 'completed',
      attempt: 2,
      isCharged: true,
      held: 0,
      isEven: true,
      paid: 1,
      calls: ['2 delivered'],
    });
  });

  it('after its end is written, before the queue knows: nobody answers it again', async () => {
    const done = await killAtTheEnd('depois do fim', async () => undefined);
    expect(simulator.counts().requests).toBe(1);
    expect(done).toEqual({
      status: 'completed',
      attempt: 1,
      isCharged: true,
      held: 0,
      isEven: true,
      paid: 1,
      calls: ['1 delivered'],
    });
  });
});

describe('an API', () => {
  it('that is killed between the 202 and the dispatch has lost nothing', async () => {
    simulator.script({ text: 'apesar de tudo' });
    // Redis stands still: the job is accepted, and cannot have been dispatched.
    await redis.running.kill('SIGSTOP');
    const { jobId } = await client.request<{ jobId: string }>('POST', '/api/ai/chat', ask('sobrevive'));
    await api.kill('SIGKILL');
    await redis.running.kill('SIGCONT');
    api = await installation.startApi();
    await aWorker();
    await expect
      .poll(async () => (await installation.pool.query('select status from job where id = $1', [jobId])).rows[0].status)
      .toBe('completed');
  });

  it('that is killed while its accept or a cancel waits for the ledger: each is done whole or not at all', async () => {
    simulator.script({ text: 'nem metade' });
    const blow = async () => {
      await api.kill('SIGKILL');
      api = await installation.startApi();
    };
    const { jobId } = await client.request<{ jobId: string }>('POST', '/api/ai/chat', ask('desisto'));
    await whileLocked(installation.pool, 'credit_resolve', {
      start: () => post(`/api/jobs/${jobId}/cancel`, {}),
      blow,
    });
    await whileLocked(installation.pool, 'job_accept', {
      start: () => post('/api/ai/chat', ask('sem resposta')),
      blow,
    });
    expect(await checkLedger(installation.pool)).toEqual([]);
    await aWorker();
    await expect.poll(() => jobsThat('finished_at is null')).toBe(0);
    expect(Number(await held())).toBe(0);
  });
});

describe('Redis', () => {
  it('killed and started empty: every accepted job still ends, and so does the one that was streaming', async () => {
    simulator.script({ text: answer, chunkMs: 100 });
    await aWorker();
    const streaming = follow('no meio');
    await streaming.shown;
    await redis.stop();
    const accepted = await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        client.request<{ jobId: string }>('POST', '/api/ai/chat', ask(`sem redis ${at}`)),
      ),
    );
    await redis.restart();
    const job = await streaming.run.result;
    expect(await streaming.text).toBe(answer);
    expect(job.attempts).toBe(1);
    await expect
      .poll(
        async () =>
          (await installation.pool.query(`select count(*)::int as left from job where finished_at is null`)).rows[0]
            .left,
      )
      .toBe(0);
    for (const { jobId } of accepted) expect((await client.jobs.get(jobId)).status).toBe('completed');
    expect(Number(await held())).toBe(0);
  });
});
