import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { factsOf, listModels, useOverrides } from '#src/ai/catalog.ts';
import { readModelFile } from '#src/modules/ai/models.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

const file = (content: unknown) => {
  const path = join(mkdtempSync(join(tmpdir(), 'wh-models-')), 'models.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
};
const price = (effectiveFrom: string, inputUsdPerMtok: number, outputUsdPerMtok: number) => ({
  effectiveFrom,
  inputUsdPerMtok,
  outputUsdPerMtok,
});

let test: TestApp;
let user: TestUser;
beforeAll(async () => {
  test = await openTestApp({
    OPENAI_API_KEY: 'k',
    OPENAI_MODELS: 'gpt-4o,gpt-4o-mini,from-file',
    MODEL_CATALOG_FILE: file([
      {
        provider: 'openai',
        model: 'from-file',
        prices: [price('2026-01-01', 1, 2)],
        contextWindow: 10_000,
        maxOutputTokens: 1000,
        aliases: ['the-file'],
      },
    ]),
  });
  user = await aUser(test.rt);
});
afterAll(async () => {
  await test.close();
  // The catalogue is the process's, and other tests may follow in it.
  useOverrides([]);
});

const ops = (method: 'GET' | 'PUT' | 'DELETE', url: string, payload?: object) =>
  test.app.inject({
    method,
    url,
    headers: {
      authorization: `Basic ${Buffer.from(`${test.config.OPS_USER}:${test.config.OPS_PASSWORD}`).toString('base64')}`,
    },
    ...(payload && { payload }),
  });
const chat = (model: string) =>
  test.app.inject({
    method: 'POST',
    url: '/api/ai/chat',
    headers: user.headers,
    payload: { messages: [{ role: 'user', content: 'Oi' }], options: { model } },
  });

describe('/ops/models', () => {
  it('takes operators only', async () => {
    expect((await test.app.inject({ url: '/ops/models', headers: user.headers })).statusCode).toBe(401);
  });

  it('changes a price from a moment on, at once and in the audit log, and takes it back', async () => {
    const past = '2026-11-01T12:00:00Z';
    const changed = await ops('PUT', '/ops/models/openai/gpt-4o', {
      prices: [price(past, 7, 8)],
      quality: { chat: 12 },
    });
    expect(changed.statusCode).toBe(200);
    expect(changed.json()).toMatchObject({ price: { inputUsdPerMtok: 7, source: 'operator' }, quality: { chat: 12 } });
    expect(factsOf('openai', 'gpt-4o').inputUsdPerMtok).toBe(7);
    expect(factsOf('openai', 'gpt-4o', Date.parse(past) - 1).inputUsdPerMtok).toBe(2.5);
    const { rows } = await test.rt.systemPool.query(
      `select action, target_id from audit_log where action like 'model.%'`,
    );
    expect(rows).toEqual([{ action: 'model.changed', target_id: 'openai/gpt-4o' }]);
    expect((await ops('DELETE', '/ops/models/openai/gpt-4o')).json()).toEqual({ deleted: true });
    expect(factsOf('openai', 'gpt-4o').inputUsdPerMtok).toBe(2.5);
    expect((await ops('DELETE', '/ops/models/openai/gpt-4o')).statusCode).toBe(404);
  });

  it('reaches a process that did not make the change within seconds', async () => {
    await test.rt.systemPool.query(
      `insert into model_override (provider, model, body) values ('openai', 'gpt-4-turbo', $1)`,
      [JSON.stringify({ prices: [price('2026-01-01', 1, 1), price('2026-09-01', 99, 99)] })],
    );
    await expect.poll(() => factsOf('openai', 'gpt-4-turbo').inputUsdPerMtok).toBe(99);
  });

  it('adds a model with a slash in its name, and hides one', async () => {
    const body = { prices: [price('2026-01-01', 1, 2)], contextWindow: 9000, maxOutputTokens: 900 };
    expect((await ops('PUT', '/ops/models/groq/new%2Fmodel', body)).json()).toMatchObject({ model: 'new/model' });
    expect(listModels().some(({ model }) => model === 'new/model')).toBe(true);
    const { data } = (await ops('GET', '/ops/models')).json();
    expect(data.find(({ model }: { model: string }) => model === 'new/model')).toMatchObject({ override: body });
    expect((await chat('gpt-4o-mini')).statusCode).toBe(202);
    await ops('PUT', '/ops/models/openai/gpt-4o-mini', { isHidden: true });
    expect((await chat('gpt-4o-mini')).json()).toMatchObject({ code: 'unknown_model' });
    const { data: shown } = (await test.app.inject({ url: '/api/ai/models', headers: user.headers })).json();
    expect(shown.map(({ model }: { model: string }) => model)).not.toContain('gpt-4o-mini');
    const hidden = (await ops('GET', '/ops/models')).json().data;
    expect(hidden.find(({ model }: { model: string }) => model === 'gpt-4o-mini')).toMatchObject({ isHidden: true });
  });

  it.each([
    [{}, 'body'],
    [{ prices: [price('2026-01-01', -1, 0)] }, 'prices[0].inputUsdPerMtok'],
    [{ prices: [price('2026-01-01', 0.123_456_78, 0)] }, 'prices[0].inputUsdPerMtok'],
    [{ unknown: 1 }, 'unknown'],
    [{ replacedBy: 'nobody' }, 'replacedBy'],
    [{ maxOutputTokens: 100_000_000 }, 'maxOutputTokens'],
    [{ quality: { chat: 101 } }, 'quality.chat'],
  ])('refuses %j', async (body, path) => {
    const answer = await ops('PUT', '/ops/models/openai/gpt-4o', body);
    expect(answer.json()).toMatchObject({ status: 400, errors: [{ path }] });
  });

  it('names all that a new model lacks, and knows the providers', async () => {
    const answer = await ops('PUT', '/ops/models/openai/brand-new', { aliases: [] });
    expect(
      answer
        .json()
        .errors.map(({ path }: { path: string }) => path)
        .toSorted(),
    ).toEqual(['contextWindow', 'maxOutputTokens', 'prices']);
    expect((await ops('PUT', '/ops/models/acme/gpt-4o', { aliases: [] })).statusCode).toBe(404);
  });

  it('does not let a model go that another is replaced by', async () => {
    const body = { prices: [price('2026-01-01', 1, 2)], contextWindow: 9000, maxOutputTokens: 900 };
    await ops('PUT', '/ops/models/openai/next', body);
    await ops('PUT', '/ops/models/openai/gpt-3.5-turbo', { replacedBy: 'next' });
    expect((await ops('DELETE', '/ops/models/openai/next')).statusCode).toBe(400);
    expect((await ops('DELETE', '/ops/models/openai/gpt-3.5-turbo')).statusCode).toBe(200);
    expect((await ops('DELETE', '/ops/models/openai/next')).statusCode).toBe(200);
  });
});

describe('MODEL_CATALOG_FILE', () => {
  it('adds models and aliases that jobs can ask for', async () => {
    expect((await chat('the-file')).statusCode).toBe(202);
    expect(factsOf('openai', 'from-file')).toMatchObject({ inputUsdPerMtok: 1, priced: true });
  });

  it('is refused with every problem named', () => {
    const wrong = file([
      { provider: 'acme', model: 'x' },
      { provider: 'openai', model: 'y', prices: [price('soon', 1, 1)] },
    ]);
    expect(() => readModelFile(wrong)).toThrow(/0\.provider(.|\n)*1\.prices\.0\.effectiveFrom/);
    expect(() => readModelFile(file([{ provider: 'openai', model: 'half' }]))).toThrow('openai/half.contextWindow');
    expect(() => readModelFile(file('{'))).toThrow('MODEL_CATALOG_FILE');
    expect(() => readModelFile('/nowhere/models.json')).toThrow('ENOENT');
  });
});
