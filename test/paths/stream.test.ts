import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BackendClient, type JobUpdate } from '../../client/src/index.ts';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import { createInstallation, type Installation } from '#test/processes.ts';

let simulator: Simulator;
let installation: Installation;
let first: BackendClient;
let second: BackendClient;

const ask = (content: string) => ({ messages: [{ role: 'user' as const, content }] });
const password = 'a long enough password';

beforeAll(async () => {
  simulator = await createSimulator();
  installation = await createInstallation({
    OPENAI_API_KEY: 'sk-simulated',
    OPENAI_BASE_URL: `${simulator.url}/v1`,
    OPENAI_MODELS: 'gpt-4o-mini',
  });
  const [one, two] = await Promise.all([
    installation.startApi(),
    installation.startApi(),
    installation.startWorker('ai-inference'),
    installation.startWorker('ai-inference'),
    installation.startControl(),
  ]);
  first = new BackendClient({ baseUrl: one.url });
  const { token, refreshToken, expiresIn } = await first.register({ email: 'ana@example.com', password, name: 'Ana' });
  second = new BackendClient({
    baseUrl: two.url,
    tokens: { token, refreshToken, expiresAt: Date.now() + expiresIn * 1000 },
  });
});
afterAll(async () => {
  first.close();
  second.close();
  await installation.close();
  await simulator.close();
});

/** A WebSocket whose connections the test cuts as a lost network would. */
function createCutter() {
  const open = new Set<WebSocket>();
  let cuts = 0;
  class CuttableSocket extends WebSocket {
    constructor(url: string | URL) {
      super(url);
      open.add(this);
      this.addEventListener('close', () => open.delete(this));
    }
  }
  return {
    CuttableSocket,
    cuts: () => cuts,
    cut() {
      for (const socket of open) {
        if (socket.readyState !== WebSocket.OPEN) continue;
        cuts += 1;
        socket.close(4999, 'cut by the test');
      }
    },
  };
}

interface Booked {
  outcome: string;
  failure: string | null;
  cost: number;
  credits: number;
}
/** What a job was charged, and the calls that were booked for it, in order; in micro-credits. */
async function bookedFor(jobId: string): Promise<{ charged: number; calls: Booked[] }> {
  const { pool } = installation;
  const job = await pool.query<{ charged: number }>('select credit_charged::int as charged from job where id = $1', [
    jobId,
  ]);
  const { rows: calls } = await pool.query<Booked>(
    `select outcome, failure, cost_nano::int as cost, credits::int as credits from ai_usage_log where job_id = $1
     order by attempt_no, call_no`,
    [jobId],
  );
  return { charged: job.rows[0]?.charged ?? -1, calls };
}

/** Cancels a job at the other API while its text comes. @returns it, and how long its provider was held on */
async function cancel(content: string) {
  simulator.script({ text: 'isto demora muito para acabar', chunkMs: 300 });
  const run = first.jobs.run('chat', ask(content));
  const started = run[Symbol.asyncIterator]();
  await started.next();
  const cancelledAt = Date.now();
  await second.request('POST', `/api/jobs/${await run.jobId}/cancel`);
  await expect(run.result).rejects.toMatchObject({ code: 'cancelled' });
  const seen = await simulator.waitFor(
    (request) => request.clientGone && JSON.stringify(request.body).includes(content),
  );
  return { run, tookMs: (seen.clientClosedAt ?? Infinity) - cancelledAt };
}

describe('a job submitted at one API', () => {
  it('streams at another, and its text is the result', async () => {
    const text = 'Olá! O frete para Campinas é R$ 12,90 e chega em dois dias. 🚚 Posso separar para você?';
    simulator.script({ text, chunkMs: 5 });
    const { id } = await first
      .request<{ jobId: string; id?: string }>('POST', '/api/ai/chat', ask('Quanto é o frete?'))
      .then(({ jobId }) => ({ id: jobId }));
    const updates: JobUpdate[] = [];
    const run = second.jobs.follow(id);
    for await (const update of run) updates.push(update);
    const job = await run.result;
    expect(updates.length).toBeGreaterThan(1);
    expect(updates.map((update) => update.delta).join('')).toBe(text);
    expect(job).toMatchObject({
      status: 'completed',
      attempts: 1,
      result: { text, toolCalls: [], finishReason: 'stop' },
      usage: { provider: 'openai', model: 'gpt-4o-mini', degraded: false },
    });
    expect(job.usage?.costUsd).toBeGreaterThan(0);

    const overSse = second.jobs.follow(id, { transport: 'sse' });
    let replayed = '';
    for await (const update of overSse) replayed = update.text;
    expect(replayed).toBe(text);
  });

  it('loses and doubles no character when the socket drops two hundred times', async () => {
    const words = Array.from({ length: 120 }, (_, at) => `palavra${at}é`).join(' ');
    simulator.script({ text: words, chunks: 120, chunkMs: 25 });
    const cutter = createCutter();
    const { token, refreshToken, expiresIn } = await first.request<{
      token: string;
      refreshToken: string;
      expiresIn: number;
    }>('POST', '/api/auth/login', { email: 'ana@example.com', password });
    const clients = Array.from(
      { length: 10 },
      () =>
        new BackendClient({
          baseUrl: second.baseUrl,
          tokens: { token, refreshToken, expiresAt: Date.now() + expiresIn * 1000 },
          WebSocket: cutter.CuttableSocket,
          backoffBaseMs: 5,
          backoffCapMs: 20,
        }),
    );
    const cutting = setInterval(() => cutter.cut(), 90);
    try {
      await Promise.all(
        clients.map(async (client, at) => {
          for (let turn = 0; turn < 2 || cutter.cuts() < 200; turn += 1) {
            const run = client.jobs.run('chat', ask(`pergunta ${at}.${turn}`));
            let joined = '';
            for await (const update of run) joined = update.restarted ? update.delta : joined + update.delta;
            const job = await run.result;
            expect(job.result).toMatchObject({ text: words });
            expect(joined).toBe(words);
          }
        }),
      );
    } finally {
      clearInterval(cutting);
      for (const client of clients) client.close();
    }
    expect(cutter.cuts()).toBeGreaterThanOrEqual(200);
  });

  it('is one job, however often the same request is sent at once', async () => {
    simulator.script({ text: 'uma vez', chunkMs: 1 });
    const key = crypto.randomUUID();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        (at % 2 ? first : second).request<{ jobId: string }>('POST', '/api/ai/chat', ask('uma vez só'), {
          idempotencyKey: key,
        }),
      ),
    );
    expect(new Set(answers.map((answer) => answer.jobId)).size).toBe(1);
    await first.jobs.wait(answers[0]?.jobId ?? '');
    const { rows } = await installation.pool.query(
      `select count(*)::int as jobs from job where input::text like '%uma vez só%'`,
    );
    expect(rows[0].jobs).toBe(1);
    await expect(
      first.request('POST', '/api/ai/chat', ask('outra coisa'), { idempotencyKey: key }),
    ).rejects.toMatchObject({ status: 422, code: 'idempotency_mismatch' });
  });

  it('restarts in front of the client when the provider cuts off, and still ends whole', async () => {
    simulator.script({ text: 'um dois três quatro cinco', chunkMs: 40, fault: 'reset', after: 3, times: 1 });
    const run = first.jobs.run('chat', ask('conte'));
    const restarts: string[] = [];
    let shown = '';
    for await (const update of run) {
      if (update.restarted) restarts.push(shown);
      shown = update.text;
    }
    expect((await run.result).result).toMatchObject({ text: 'um dois três quatro cinco' });
    expect(shown).toBe('um dois três quatro cinco');
    expect(restarts).toHaveLength(1);
    // Both calls are booked; the workspace pays the one that was delivered.
    const { charged, calls } = await bookedFor(await run.jobId);
    expect(calls.map(({ outcome, failure }) => [outcome, failure])).toEqual([
      ['failed', 'transient'],
      ['delivered', null],
    ]);
    expect(calls.map(({ credits }) => credits)).toEqual([0, charged]);
    expect(charged).toBe(calls[1]?.cost);
    expect(charged).toBeGreaterThan(0);
  });

  it('is cancelled while it runs: the provider sees the close within 200 ms', async () => {
    // Two more may show that it was the machine which was busy.
    const tries = [await cancel('demora um')];
    while (tries.length < 3 && tries.every(({ tookMs }) => tookMs >= 200))
      tries.push(await cancel(`demora ${tries.length}`));
    expect(Math.min(...tries.map(({ tookMs }) => tookMs))).toBeLessThan(200);
    const run = tries[0]?.run;
    if (!run) throw new Error('Nothing was cancelled');
    const { rows } = await installation.pool.query('select credit_held, credit_charged, usage from job where id = $1', [
      await run.jobId,
    ]);
    expect(Number(rows[0].credit_charged)).toBeGreaterThan(0);
    const { charged, calls } = await bookedFor(await run.jobId);
    expect(calls).toEqual([{ outcome: 'cancelled', failure: 'cancelled', cost: charged, credits: charged }]);
    expect(rows[0].usage).toMatchObject({ estimated: true });
  });
});
