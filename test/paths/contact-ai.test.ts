import { afterAll, beforeAll, expect, it } from 'vitest';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import { createInstallation, type Installation, type Running } from '#test/processes.ts';

let simulator: Simulator;
let all: Installation;
let api: Running & { url: string };
let token: string;
let workspaceId: string;
beforeAll(async () => {
  simulator = await createSimulator();
  all = await createInstallation({
    OPENAI_API_KEY: 'sk-simulated',
    OPENAI_BASE_URL: `${simulator.url}/v1`,
    OPENAI_MODELS: 'gpt-4o-mini',
    AUTO_AI_QUIET_MS: '2500',
  });
  [api] = await Promise.all([all.startApi(), all.startControl(), all.startWorker('sentiment', 'lead-scoring')]);
  const account = { email: 'ana@example.com', password: 'a long enough password', name: 'Ana' };
  const signedIn = await call<{ token: string; workspace: { id: string } }>('POST', 'auth/register', account);
  [token, workspaceId] = [signedIn.token, signedIn.workspace.id];
});
afterAll(async () => {
  await all?.close();
  await simulator?.close();
});

async function call<Answer>(method: string, path: string, body?: object): Promise<Answer> {
  const answer = await fetch(`${api.url}/api/${path}`, {
    method,
    headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), 'content-type': 'application/json' },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Answer;
}

let count = 0;
/** Has a contact write. @returns their id */
async function write(waId: string, ...bodies: string[]): Promise<string> {
  const messages = bodies.map((body) => ({
    clientId: `m${(count += 1)}`,
    chat: { waId },
    direction: 'inbound',
    body,
    sentAt: new Date().toISOString(),
  }));
  const { results } = await call<{ results: { messageId: string }[] }>('POST', 'messages/sync', {
    channel: { externalId: '5511900000000' },
    messages,
  });
  return (await call<{ contactId: string }>('GET', `messages/${results[0]?.messageId}`)).contactId;
}

const feelingOf = async (id: string): Promise<string | null> =>
  (await all.pool.query('select sentiment from contact where id = $1', [id])).rows[0].sentiment;
const jobsOf = async (engine: string): Promise<{ provider: string }[]> =>
  (
    await all.pool.query(
      `select usage ->> 'provider' as provider from job where workspace_id = $1 and engine = $2 and status = 'completed' order by id`,
      [workspaceId, engine],
    )
  ).rows;
const asIs = (method: 'GET', path: string) => call<Record<string, unknown>>(method, path);

interface Scored {
  score: number | null;
  components: { feature: string; points: number }[];
  history: { score: number; before: number | null }[];
}
const scoreOf = (id: string) => call<Scored>('GET', `contacts/${id}/score`);

it('a burst of messages is one look at the mood and one score, which cost nothing', async () => {
  const credits = await asIs('GET', 'ai/credits');
  const id = await write('5511987654321', 'Que atendimento péssimo', 'Estou muito irritado com vocês');
  await write('5511987654321', 'Quero cancelar tudo, que horror');
  await expect.poll(() => feelingOf(id)).toBe('negative');
  await expect.poll(async () => (await scoreOf(id)).score).not.toBeNull();
  const { score, components, history } = await scoreOf(id);
  expect(components.reduce((sum, { points }) => sum + Math.round(points * 10), 0)).toBe((score ?? 0) * 10);
  expect(components.map(({ feature }) => feature)).toContain('last_message');
  expect(history).toHaveLength(1);
  expect(await jobsOf('sentiment')).toEqual([{ provider: 'local' }]);
  expect(await asIs('GET', 'ai/credits')).toEqual(credits);
  const told = async () =>
    (await all.pool.query(`select type, data from outbox_event where subject_id = $1 order by id`, [id])).rows;
  expect(await told()).toContainEqual({
    type: 'contact.scored',
    data: { contactId: id, ownerId: null, score, before: null },
  });
});

it('asks models where the workspace says so, and nobody where it says that', async () => {
  await call('PATCH', 'settings/ai', { 'ai.autoSentiment': 'models', 'ai.autoScore': 'off' });
  simulator.script({ json: { sentiment: 'positive', score: 0.9, confidence: 0.9, emotions: [] } });
  const id = await write('5521912345678', 'Tanto faz');
  await expect.poll(() => feelingOf(id)).toBe('positive');
  expect(await jobsOf('sentiment')).toEqual([{ provider: 'local' }, { provider: 'openai' }]);
  expect((await scoreOf(id)).score).toBeNull();
  await call('PATCH', 'settings/ai', { 'ai.autoSentiment': 'off' });
  const other = await write('5531998765432', 'Adorei, perfeito!');
  const isSettled = async () =>
    (await all.pool.query('select due_at, job_id from contact_ai where contact_id = $1', [other])).rows.every(
      (row) => row.due_at === null && row.job_id === null,
    );
  await expect
    .poll(async () => (await all.pool.query('select 1 from contact_ai where contact_id = $1', [other])).rows.length)
    .toBe(2);
  await expect.poll(isSettled).toBe(true);
  expect(await feelingOf(other)).toBeNull();
  expect(await jobsOf('sentiment')).toHaveLength(2);
});

it('scores a contact that is asked for by id, and nothing of one that is erased meanwhile', async () => {
  const id = await write('5541998765432', 'Quero comprar dez unidades hoje, qual o preço?');
  const score = async (contactId: string) =>
    call<{ jobId: string }>('POST', 'ai/score-lead', { contactId, options: { provider: 'local' } });
  await score(id);
  await expect.poll(async () => (await scoreOf(id)).score).not.toBeNull();
  const gone = await write('5551998765432', 'Oi, tudo bem?');
  const { jobId } = await score(gone);
  await all.pool.query('update contact set erased_at = now(), deleted_at = now() where id = $1', [gone]);
  await expect.poll(async () => (await asIs('GET', `jobs/${jobId}`))['status']).toBe('completed');
  await score(id);
  await expect.poll(async () => (await jobsOf('score-lead')).length).toBe(4);
  const { rows } = await all.pool.query('select lead_score from contact where id = $1', [gone]);
  expect(rows).toEqual([{ lead_score: null }]);
  await expect(score(crypto.randomUUID())).rejects.toThrow('404');
  await expect(call('POST', 'ai/score-lead', { contactId: id, features: { budget: 1e6 } })).rejects.toThrow('400');
});
