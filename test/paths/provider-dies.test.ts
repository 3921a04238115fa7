import { afterAll, beforeAll, expect, it } from 'vitest';
import { BackendClient } from '../../client/src/index.ts';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import { createInstallation, type Installation } from '#test/processes.ts';

const DYING = 'sim:fault=reset_after_20';
const LIVING = 'claude-haiku-4-5';
const ANSWER = Array.from({ length: 40 }, (_, at) => `palavra${at}`).join(' ');

let simulator: Simulator;
let installation: Installation;
let client: BackendClient;

beforeAll(async () => {
  simulator = await createSimulator();
  simulator.script({ text: ANSWER, chunkMs: 10 });
  installation = await createInstallation({
    OPENAI_API_KEY: 'sk-simulated',
    OPENAI_BASE_URL: `${simulator.url}/v1`,
    OPENAI_MODELS: DYING,
    ANTHROPIC_API_KEY: 'sk-simulated',
    ANTHROPIC_BASE_URL: `${simulator.url}/anthropic`,
    ANTHROPIC_MODELS: LIVING,
    AI_STRATEGY: 'failover',
  });
  const [api] = await Promise.all([
    installation.startApi(),
    installation.startWorker('ai-inference'),
    installation.startControl(),
  ]);
  client = new BackendClient({ baseUrl: api.url });
  await client.register({ email: 'ana@example.com', password: 'a long enough password', name: 'Ana' });
});
afterAll(async () => {
  client.close();
  await installation.close();
  await simulator.close();
});

it('a provider that dies after 20 tokens: the draft is cleared, and another gives the whole answer, which alone is paid', async () => {
  const run = client.jobs.run('chat', { messages: [{ role: 'user', content: 'Conte até quarenta' }] });
  const cleared: string[] = [];
  let shown = '';
  for await (const update of run) {
    if (update.restarted) cleared.push(shown);
    shown = update.text;
  }
  const job = await run.result;
  expect(cleared).toEqual([expect.stringMatching(/^palavra0( palavra\d+)+\s?$/)]);
  expect(shown).toBe(ANSWER);
  expect(job).toMatchObject({
    status: 'completed',
    attempts: 1,
    result: { text: ANSWER },
    usage: { provider: 'anthropic', model: LIVING, fallbacks: [{ provider: 'openai' }] },
  });
  expect(simulator.seen().map(({ provider, contents }) => [provider, contents])).toEqual([
    ['openai', 20],
    ['anthropic', 40],
  ]);
  const { rows } = await installation.pool.query(
    `select u.provider, u.outcome, u.fallback_from, u.credits = j.credit_charged as pays
     from ai_usage_log u join job j on j.workspace_id = u.workspace_id and j.id = u.job_id where j.id = $1 order by u.call_no`,
    [job.id],
  );
  expect(rows).toEqual([
    { provider: 'openai', outcome: 'failed', fallback_from: null, pays: false },
    { provider: 'anthropic', outcome: 'delivered', fallback_from: `openai/${DYING}`, pays: true },
  ]);
});
