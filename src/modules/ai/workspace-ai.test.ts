import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { aUser, onPlan, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { createWorkspaceAi, withMaxCost } from '#src/modules/ai/workspace-ai.ts';

let test: TestApp;
let owner: TestUser;
beforeAll(async () => {
  test = await openTestApp({ OPENAI_API_KEY: 'sk-installation' });
  owner = await aUser(test.rt);
  await onPlan(test.rt, owner.workspace.id, 'pro');
});
afterAll(() => test.close());

const set = (payload: object) =>
  test.app.inject({ method: 'PATCH', url: '/api/settings/ai', headers: owner.headers, payload });
const readFresh = () => createWorkspaceAi(test.rt.pool, test.rt.vault)(owner.workspace.id);

it('is what the defaults say, where nothing was chosen', async () => {
  expect(await readFresh()).toEqual({
    keys: {},
    tone: 'friendly',
    language: undefined,
    prompts: new Map(),
    privacy: { pii: {}, allow: [], maskOllama: true },
    safety: { injection: 'note', moderation: 'off', onFailure: 'open' },
  });
});

it('has all that was chosen, secrets opened', async () => {
  const keys = { 'ai.providerKey.anthropic': 'sk-ant-first, sk-ant-second*3', 'ai.providerKey.cohere': 'co-secret-1' };
  const chosen = {
    'ai.tone': 'formal',
    'ai.language': 'es',
    'ai.maxCostUsd': 0.5,
    'ai.allowedProviders': ['anthropic', 'local'],
  };
  expect((await set({ ...keys, ...chosen })).statusCode).toBe(200);
  const url = '/api/ai/prompts/intent/en';
  const payload = { text: 'Tell what they want, in one word of these: {{labels}}.' };
  await test.app.inject({ method: 'PUT', url, headers: owner.headers, payload });
  const workspace = await readFresh();
  expect(workspace).toMatchObject({
    tone: 'formal',
    language: 'es',
    maxCostUsd: 0.5,
    allowedProviders: ['anthropic', 'local'],
  });
  expect(workspace.keys.anthropic?.map(({ secret, weight, owner: whose }) => [secret, weight, whose])).toEqual([
    ['sk-ant-first', 1, 'workspace'],
    ['sk-ant-second', 3, 'workspace'],
  ]);
  expect(workspace.keys.cohere).toHaveLength(1);
  expect(workspace.prompts?.get('intent/en')).toEqual({ language: 'en', version: 1, text: payload.text });
});

it('is asked for once a second, whoever asks, and sees a change within two', async () => {
  const read = createWorkspaceAi(test.rt.pool, test.rt.vault);
  const connect = vi.spyOn(test.rt.pool, 'connect');
  await Promise.all(Array.from({ length: 50 }, () => read(owner.workspace.id)));
  await read(owner.workspace.id);
  expect(connect).toHaveBeenCalledTimes(1);
  connect.mockRestore();
  await set({ 'ai.tone': 'neutral' });
  await vi.waitFor(async () => expect((await read(owner.workspace.id)).tone).toBe('neutral'), 60_000);
});

it('limits what a job may cost to the lower of what it and the workspace say, when it is priced', async () => {
  expect(withMaxCost({}, { keys: {}, maxCostUsd: 0.5 })).toEqual({ maxCostUsd: 0.5 });
  expect(withMaxCost({ maxCostUsd: 2 }, { keys: {}, maxCostUsd: 0.5 }).maxCostUsd).toBe(0.5);
  expect(withMaxCost({ maxCostUsd: 0.1 }, { keys: {}, maxCostUsd: 0.5 }).maxCostUsd).toBe(0.1);
  await set({ 'ai.maxCostUsd': 0.000001, 'ai.allowedProviders': null });
  await vi.waitFor(async () => {
    const payload = { text: 'Adorei!', options: { provider: 'openai' } };
    const answer = await test.app.inject({ method: 'POST', url: '/api/ai/sentiment', headers: owner.headers, payload });
    expect(answer.json()).toMatchObject({ status: 422, code: 'max_cost_too_low' });
  }, 60_000);
});

it('has what was chosen about personal data and safety, and jobs are refused by it', async () => {
  const privacy = { 'privacy.pii': { cpf: 'block' }, 'privacy.allow': ['Ana'], 'privacy.maskOllama': false };
  const safety = { 'safety.injection': 'block', 'safety.moderation': 'on', 'safety.onFailure': 'closed' };
  const patch = { method: 'PATCH' as const, url: '/api/settings/workspace', headers: owner.headers };
  expect((await test.app.inject({ ...patch, payload: { ...privacy, ...safety } })).statusCode).toBe(200);
  expect(await readFresh()).toMatchObject({
    privacy: { pii: { cpf: 'block' }, allow: ['Ana'], maskOllama: false },
    safety: { injection: 'block', moderation: 'on', onFailure: 'closed' },
  });
  await set({ 'ai.maxCostUsd': null });
  await vi.waitFor(async () => {
    const payload = { text: 'Meu CPF é 529.982.247-25' };
    const answer = await test.app.inject({ method: 'POST', url: '/api/ai/sentiment', headers: owner.headers, payload });
    expect(answer.json()).toMatchObject({ status: 422, code: 'pii_blocked' });
  }, 60_000);
});
