import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let owner: TestUser;
let viewer: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  owner = await aUser(test.rt);
  viewer = await aUser(test.rt);
  await aMember(test.rt, owner.workspace.id, viewer.user.id, 'viewer');
});
afterAll(() => test.close());

const send = (method: 'GET' | 'POST' | 'PUT', path: string, payload?: object, of: TestUser = owner) =>
  test.app.inject({
    method,
    url: `/api/ai/prompts${path}`,
    headers: { ...of.headers, 'x-workspace-id': owner.workspace.id },
    ...(payload && { payload }),
  });
const write = (text: string, at = '/copilot/pt') => send('PUT', at, { text });
const history = async () => (await send('GET', '/copilot/pt/versions')).json().data;
const text = (mark: string) => `Responda como a Doceria ${mark} responde, {{tone}}.`;

it('lists every prompt in every language, with its variables and the format that cannot be changed', async () => {
  const { data } = (await send('GET', '', undefined, viewer)).json();
  expect(data).toHaveLength(24);
  expect(
    data.find((one: { engine: string; language: string }) => one.engine === 'translate' && one.language === 'en'),
  ).toMatchObject({
    default: { version: 'translate-1', text: expect.stringContaining('{{targetLanguage}}') },
    format: expect.stringContaining('<<<{{mark}}'),
    variables: [
      { name: 'targetLanguage', required: true },
      { name: 'sourceLanguage', required: false },
    ],
    active: null,
  });
});

it('keeps every text, uses the newest, goes back to any, and to ours', async () => {
  expect((await write(text('A'))).json().active).toMatchObject({
    version: 1,
    variables: ['tone'],
    createdBy: owner.user.id,
  });
  expect((await write(text('B'))).json().active).toMatchObject({ version: 2, text: text('B') });
  const restored = await send('POST', '/copilot/pt/activate', { version: 1 });
  expect(restored.json().active).toMatchObject({ version: 1, text: text('A') });
  expect(
    (await history()).map(({ version, isActive }: { version: number; isActive: boolean }) => [version, isActive]),
  ).toEqual([
    [2, false],
    [1, true],
  ]);
  expect((await send('POST', '/copilot/pt/deactivate')).json().active).toBeNull();
  expect((await send('POST', '/copilot/pt/activate', { version: 9 })).statusCode).toBe(404);
  expect((await write(text('C'))).json().active.version).toBe(3);
  const audit = await test.app.inject({ method: 'GET', url: '/api/audit?limit=10', headers: owner.headers });
  const actions = audit.json().data.filter(({ action }: { action: string }) => action.startsWith('prompt.'));
  expect(
    actions.map(({ action, after }: { action: string; after: { version: number } }) => [action, after.version]),
  ).toEqual([
    ['prompt.written', 3],
    ['prompt.deactivated', null],
    ['prompt.activated', 1],
    ['prompt.written', 2],
    ['prompt.written', 1],
  ]);
});

it('keeps the last hundred texts, and the one in use whatever its age', async () => {
  for (let at = 0; at < 3; at += 1) await write(text(`n${at}`), '/intent/es').catch(() => undefined);
  await test.rt.systemPool.query(
    `insert into prompt (workspace_id, engine, language, version, text, variables, is_active)
     select $1, 'sentiment', 'pt', n, 'x', '{}', n = 1 from generate_series(1, 130) n`,
    [owner.workspace.id],
  );
  const { active } = (await write('Diga o sentimento de {{messages}}, sem rodeios.', '/sentiment/pt')).json();
  expect(active.version).toBe(131);
  expect((await send('GET', '/sentiment/pt/versions')).json().data).toHaveLength(100);
});

describe('a text', () => {
  it.each([
    ['/copilot/pt', 'Use {{mark}} como quiser, por favor.', 'unknown_variable'],
    ['/copilot/pt', 'Use {{nome}} como quiser, por favor.', 'unknown_variable'],
    ['/copilot/pt', 'Use {{tone como quiser, por favor.', 'invalid_variable'],
    ['/translate/pt', 'Traduza tudo bem direitinho.', 'missing_variable'],
    ['/copilot/pt', 'curto', 'too_small'],
  ])('for %s is refused: %j', async (path, bad, code) => {
    for (const answer of [await write(bad, path), await send('POST', `${path}/preview`, { text: bad })]) {
      expect(answer.statusCode).toBe(400);
      expect(answer.json().errors[0]).toMatchObject({ path: 'text', code });
    }
  });

  it.each(['/chat/pt', '/nothing/pt', '/copilot/fr'])('has no place at %s', async (path) => {
    expect((await write(text('X'), path)).statusCode).toBe(400);
  });
});

it('previews a draft, the text in use or ours, with sample values and the format', async () => {
  const draft = (
    await send('POST', '/copilot/en/preview', { text: 'Write like a poet, {{language}}.' }, viewer)
  ).json();
  expect(draft.text).toMatch(/^Write like a poet, no idioma do cliente\.\nThe material stands between <<<0123456789ab/);
  expect(draft.promptTokens).toBeGreaterThan(50);
  expect((await send('POST', '/copilot/en/preview', {})).json().text).toMatch(/^You help a company/);
  await write(text('P'));
  expect((await send('POST', '/copilot/pt/preview', {})).json().text).toContain('Doceria P responde, amigável');
});

it('is read by everybody and changed by admins alone', async () => {
  expect((await send('GET', '/copilot/pt/versions', undefined, viewer)).statusCode).toBe(200);
  expect((await send('PUT', '/copilot/pt', { text: text('V') }, viewer)).statusCode).toBe(403);
  expect((await send('POST', '/copilot/pt/deactivate', undefined, viewer)).statusCode).toBe(403);
});
