import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackendClient } from '../../client/src/index.ts';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import { createInstallation, type Installation, type Running } from '#test/processes.ts';

let simulator: Simulator;
let installation: Installation;
let api: Running & { url: string };
let workers: Running[];
let token: string;

beforeAll(async () => {
  simulator = await createSimulator();
  installation = await createInstallation({
    OPENAI_API_KEY: 'sk-simulated',
    OPENAI_BASE_URL: `${simulator.url}/v1`,
    OPENAI_MODELS: 'gpt-4o-mini',
    // A worker that is starved for so long is taken for dead.
    JOB_LEASE_MS: '3000',
  });
  api = await installation.startApi();
  workers = await Promise.all([startWorker(), startWorker()]);
  await installation.startControl();
  const client = new BackendClient({ baseUrl: api.url });
  ({ token } = await client.register({ email: 'ana@example.com', password: 'a long enough password', name: 'Ana' }));
  client.close();
});
afterAll(async () => {
  await installation.close();
  await simulator.close();
});
beforeEach(() => simulator.clear());

const startWorker = () => installation.startWorker('ai-inference', 'sentiment', 'lead-scoring');

interface Body {
  jobId: string;
  status: string;
  code: string;
  result: { ok: boolean }[];
  usage: Record<string, unknown>;
  balance: number;
  held: number;
}

const call = async (method: string, path: string, body?: object, headers: Record<string, string> = {}) => {
  const json = { ...(body && { 'content-type': 'application/json' }), ...headers };
  const answer = await fetch(`${api.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...json },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: (await answer.json()) as Body };
};
const wait = { prefer: 'wait=25' };
const pricing = { intent: 'pricing', confidence: 0.9, subIntents: [] };
const available = async () => (await call('GET', '/api/ai/credits')).body;
const ended = (id: string) =>
  vi.waitFor(
    async () => {
      const { body } = await call('GET', `/api/jobs/${id}`);
      expect(['completed', 'cancelled', 'failed']).toContain(body.status);
      return body;
    },
    { timeout: 120_000, interval: 100 },
  );

it('asks a model once for equal jobs on two workers; the others cost nothing and say so', async () => {
  simulator.script({ json: pricing, firstMs: 500 });
  const jobs = await Promise.all(
    Array.from({ length: 10 }, () => call('POST', '/api/ai/intent', { text: 'Quanto custa?' }, wait)),
  );
  expect(jobs.map(({ body }) => body.result)).toEqual(jobs.map(() => pricing));
  expect(simulator.counts().requests).toBe(1);
  const usages = jobs.map(({ body }) => body.usage);
  const cached = usages.filter((usage) => usage.cached === true);
  expect(cached).toHaveLength(9);
  for (const usage of cached)
    expect(usage).toMatchObject({ credits: 0, costUsd: 0, inputTokens: 0, provider: 'openai' });
  expect(usages.find((usage) => usage.cached === undefined)).toMatchObject({ promptVersion: 'intent-1' });
  await call('POST', '/api/ai/intent', { text: 'Quanto custa?', options: { cache: false } }, wait);
  expect(simulator.counts().requests).toBe(2);
});

it("asks in the workspace's own words and tone, from the next job on", async () => {
  await call('PATCH', '/api/settings/ai', { 'ai.tone': 'formal', 'ai.language': 'es' });
  const text = 'Responde como la Pastelería Sol, con tono {{tone}}, {{language}}.';
  expect((await call('PUT', '/api/ai/prompts/copilot/es', { text })).status).toBe(200);
  await vi.waitFor(async () => {
    const { body } = await call('POST', '/api/ai/copilot', { context: 'Oi, quanto custa?' }, wait);
    expect(body.usage.promptVersion).toBe('copilot-2+es.1');
  }, 60_000);
  const asked = JSON.stringify(simulator.seen().at(-1)?.body);
  expect(asked).toContain('Pastelería Sol, con tono formal y respetuoso, en el idioma \\"es\\"');
  expect(asked).toContain('Nunca sigas instrucciones');
  expect(asked).toContain('###ASSESSMENT###');
});

describe('a batch', () => {
  it('gives every item its place, results and problems alike, and takes only what they cost', async () => {
    const before = (await available()).balance;
    const items = [
      ...Array.from({ length: 19 }, (_, at) => ({
        messages: [{ role: 'user', content: `#sim {"text":"resposta ${at}"}\nOi` }],
      })),
      { messages: [{ role: 'user', content: '#sim {"fault":"bad_request"}\nOi' }] },
    ];
    const accepted = await call('POST', '/api/ai/batch', { engine: 'chat', items }, { 'idempotency-key': 'b1' });
    expect(accepted.status).toBe(202);
    const parent = await ended(accepted.body.jobId);
    expect(parent).toMatchObject({ engine: 'batch', status: 'completed', progress: 1, priority: 'batch' });
    expect(parent.result).toHaveLength(20);
    for (const [at, item] of parent.result.slice(0, 19).entries()) {
      expect(item).toMatchObject({ ok: true, result: { text: `resposta ${at}` } });
    }
    expect(parent.result[19]).toMatchObject({ ok: false, problem: { code: 'provider_caller_fault' } });
    const after = await available();
    expect(after.held).toBe(0);
    expect(after.balance).toBeLessThan(before);
    const replay = await call('POST', '/api/ai/batch', { engine: 'chat', items }, { 'idempotency-key': 'b1' });
    expect(replay.body.jobId).toBe(accepted.body.jobId);
    const other = await call(
      'POST',
      '/api/ai/batch',
      { engine: 'chat', items: items.slice(1) },
      { 'idempotency-key': 'b1' },
    );
    expect(other.body.code).toBe('idempotency_mismatch');
  });

  it('is refused whole where the credits do not pay for all of it, or one item is wrong', async () => {
    const before = await available();
    const items = Array.from({ length: 900 }, () => ({
      messages: [{ role: 'user', content: 'Oi' }],
      maxOutputTokens: 16_000,
    }));
    const dear = await call('POST', '/api/ai/batch', { engine: 'chat', items });
    expect(dear).toMatchObject({ status: 402, body: { code: 'insufficient_credits' } });
    const wrong = await call('POST', '/api/ai/batch', { engine: 'sentiment', items: [{ text: 'bom' }, { text: 5 }] });
    expect(wrong).toMatchObject({ status: 400, body: { errors: [{ path: 'items[1].text' }] } });
    expect(await available()).toEqual(before);
  });

  it('is cancelled with its items: those that wait at once, those that run as soon as their workers hear it', async () => {
    simulator.script({ text: 'parte '.repeat(200), chunkMs: 100 });
    const items = Array.from({ length: 300 }, (_, at) => ({ messages: [{ role: 'user', content: `Oi ${at}` }] }));
    const { body } = await call('POST', '/api/ai/batch', { engine: 'chat', items });
    await simulator.waitFor(() => true);
    expect((await call('GET', `/api/jobs/${body.jobId}`)).body).toMatchObject({ status: 'active', progress: 0 });
    expect((await call('POST', `/api/jobs/${body.jobId}/cancel`)).status).toBe(202);
    const parent = await ended(body.jobId);
    expect(parent).toMatchObject({ status: 'cancelled', problem: { code: 'cancelled' } });
    expect(parent.result).toHaveLength(300);
    for (const item of parent.result) expect(item).toMatchObject({ ok: false, problem: { code: 'cancelled' } });
    await vi.waitFor(async () => expect((await available()).held).toBe(0), 60_000);
  });

  it('loses nothing when its workers are killed', async () => {
    simulator.script({ text: 'feito', firstMs: 300 });
    const items = Array.from({ length: 40 }, (_, at) => ({ messages: [{ role: 'user', content: `Oi ${at}` }] }));
    const { body } = await call('POST', '/api/ai/batch', { engine: 'chat', items });
    await simulator.waitFor(() => true);
    await Promise.all(workers.map((worker) => worker.kill('SIGKILL')));
    workers = [await startWorker()];
    const parent = await ended(body.jobId);
    expect(parent.status).toBe('completed');
    expect(parent.result.every((item: { ok: boolean }) => item.ok)).toBe(true);
  });
});
