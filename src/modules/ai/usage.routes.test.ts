import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '#src/lib/ids.ts';
import { createAccept } from '#src/modules/jobs/accept.query.ts';
import { createClaim } from '#src/modules/jobs/claim.query.ts';
import { createFinish, type UsageCall } from '#src/modules/jobs/finish.query.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let owner: TestUser;
let member: TestUser;
beforeAll(async () => {
  test = await openTestApp({ OPENAI_API_KEY: 'k', OPENAI_MODELS: 'gpt-4o,gpt-4o-mini,gpt-5.6-luna' });
  owner = await aUser(test.rt);
  member = await aUser(test.rt);
  await aMember(test.rt, owner.workspace.id, member.user.id, 'member');
});
afterAll(() => test.close());

const call = (fields: Partial<UsageCall> = {}): UsageCall => ({
  call_no: 1,
  strategy: 'failover',
  provider: 'openai',
  model: 'gpt-4o',
  key_owner: 'installation',
  outcome: 'delivered',
  failure: null,
  fallback_from: null,
  input_tokens: 100,
  cached_input_tokens: 40,
  cache_write_tokens: 0,
  output_tokens: 10,
  reasoning_tokens: 2,
  is_estimated: false,
  is_paid: false,
  cost_nano: 500_000,
  price_version: 'v',
  latency_ms: 5,
  ttft_ms: 2,
  started_at_ms: Date.parse('2026-03-01T02:00:00Z'),
  ...fields,
});

/** A job that was done, with its calls. */
async function done(
  userId: string,
  engine: string,
  calls: UsageCall[],
  charge: number,
  workspaceId = owner.workspace.id,
) {
  const key = { workspaceId, id: newId() };
  const leaseToken = newId();
  await createAccept(test.rt.pool)({
    ...key,
    userId,
    queue: 'ai-inference',
    engine,
    band: 'interactive',
    input: {},
    options: {},
    requestId: 'r',
    maxAttempts: 3,
    hold: 10_000_000,
    idempotency: null,
  });
  await createClaim(test.rt.pool, 60_000)({ ...key, leaseToken });
  const end = { status: 'completed', result: {}, problem: null, streamedText: null, usage: null } as const;
  await createFinish(test.rt.pool)({ ...key, ...end, leaseToken, calls, charge, delayMs: 0, isFailure: false });
}

const get = async (url: string, { headers }: { headers: TestUser['headers'] }, workspace = owner.workspace.id) =>
  test.app.inject({ url, headers: { ...headers, 'x-workspace-id': workspace } });

const count = (payload: object) =>
  test.app.inject({ method: 'POST', url: '/api/ai/count-tokens', headers: owner.headers, payload });

describe('GET /api/ai/usage', () => {
  const period = 'from=2026-02-01&to=2026-04-01';
  beforeAll(async () => {
    await done(
      owner.user.id,
      'chat',
      [
        call({ outcome: 'failed', failure: 'timeout', provider: 'groq', model: 'x' }),
        call({ call_no: 2, is_paid: true }),
      ],
      500_000,
    );
    await done(
      member.user.id,
      'copilot',
      [call({ is_paid: true, started_at_ms: Date.parse('2026-03-02T12:00:00Z') })],
      500_000,
    );
    await done(member.user.id, 'copilot', [call({ is_paid: true, key_owner: 'workspace' })], 0);
    const stranger = await aUser(test.rt);
    await done(stranger.user.id, 'chat', [call({ is_paid: true })], 1, stranger.workspace.id);
  });

  it('adds up the whole workspace’s calls for those who may see them', async () => {
    const byEngine = (await get(`/api/ai/usage?${period}&groupBy=engine`, owner)).json();
    expect(byEngine).toMatchObject({ scope: 'workspace', groupBy: 'engine' });
    const row = {
      cachedInputTokens: 80,
      outputTokens: 20,
      reasoningTokens: 4,
      inputTokens: 200,
      calls: 2,
      costUsd: 0.001,
    };
    expect(byEngine.data).toEqual([
      { ...row, key: 'chat', failures: 1, ownKeyCostUsd: 0, credits: 0.5 },
      // On the workspace's own key the cost is noted, and no credits are taken.
      { ...row, key: 'copilot', failures: 0, ownKeyCostUsd: 0.0005, credits: 0.5 },
    ]);
    const byModel = (await get(`/api/ai/usage?${period}&groupBy=model`, owner)).json();
    expect(byModel.data.map(({ key, calls }: { key: string; calls: number }) => [key, calls])).toEqual([
      ['openai/gpt-4o', 3],
      ['groq/x', 1],
    ]);
    const byUser = (await get(`/api/ai/usage?${period}&groupBy=user`, owner)).json();
    expect(byUser.data.map(({ key }: { key: string }) => key).toSorted()).toEqual(
      [owner.user.id, member.user.id].toSorted(),
    );
  });

  it('counts days by the clock of the workspace', async () => {
    await test.app.inject({
      method: 'PATCH',
      url: `/api/workspaces/${owner.workspace.id}`,
      headers: owner.headers,
      payload: { timeZone: 'America/Sao_Paulo' },
    });
    const { data } = (await get(`/api/ai/usage?${period}`, owner)).json();
    expect(data.map(({ key, calls }: { key: string; calls: number }) => [key, calls])).toEqual([
      ['2026-02-28', 3],
      ['2026-03-02', 1],
    ]);
  });

  it('shows a member only what is their own', async () => {
    const { scope, data } = (await get(`/api/ai/usage?${period}&groupBy=user`, member)).json();
    expect(scope).toBe('own');
    expect(data).toMatchObject([{ key: member.user.id, calls: 2 }]);
  });

  it('is empty outside its period, and refuses one that is none', async () => {
    expect((await get('/api/ai/usage?from=2025-01-01&to=2025-02-01', owner)).json()).toMatchObject({ data: [] });
    for (const query of [
      'from=2026-04-01&to=2026-02-01',
      'from=2020-01-01&to=2026-01-01',
      'from=yesterday',
      'groupBy=mood',
    ])
      expect([query, (await get(`/api/ai/usage?${query}`, owner)).statusCode]).toEqual([query, 400]);
  });
});

describe('GET /api/ai/models', () => {
  it('lists what can be asked here, with price, quality and where they come from', async () => {
    const { data } = (await get('/api/ai/models', member)).json();
    expect(data.map(({ provider, model }: { provider: string; model: string }) => `${provider}/${model}`)).toEqual(
      expect.arrayContaining(['openai/gpt-4o', 'openai/gpt-5.6-luna']),
    );
    const luna = data.find(({ model }: { model: string }) => model === 'gpt-5.6-luna');
    expect(luna).toMatchObject({
      price: {
        inputUsdPerMtok: 0.2,
        cacheWriteUsdPerMtok: 0.25,
        isKnown: true,
        longContext: { aboveInputTokens: 272_000 },
      },
      capabilities: { reasoning: true, temperature: false },
      qualitySource: expect.stringContaining('guess'),
      deprecatedOn: null,
    });
  });
});

describe('POST /api/ai/count-tokens', () => {
  it('counts by the vocabulary where one is published, else estimates and says so', async () => {
    expect((await count({ model: 'gpt-4o', text: 'Hello, world!' })).json()).toEqual({
      tokens: 4,
      method: 'tokenizer',
      tokenizer: 'o200k_base',
      provider: 'openai',
      model: 'gpt-4o',
    });
    const messages = [{ role: 'user', content: 'Hello, world!' }];
    expect((await count({ model: 'gpt-4o', messages })).json()).toMatchObject({ tokens: 4 + 4 + 3 });
    const guessed = (await count({ model: 'claude-3-5-sonnet', text: 'Hello, world!' })).json();
    expect(guessed).toMatchObject({ method: 'estimate', provider: 'anthropic', model: 'claude-sonnet-5' });
    expect(guessed).not.toHaveProperty('tokenizer');
  });

  it('guesses what a mistyped model was meant to be', async () => {
    const answer = await count({ model: 'gpt4o', text: 'x' });
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ code: 'unknown_model', errors: [{ path: 'model' }] });
    expect(answer.json().detail).toContain('Did you mean gpt-4o');
    expect((await count({ model: 'gpt-4o', provider: 'groq', text: 'x' })).statusCode).toBe(400);
    expect((await count({ model: 'gpt-4o' })).statusCode).toBe(400);
    expect((await count({ model: 'gpt-4o', text: 'x'.repeat(400_001) })).statusCode).toBe(400);
  });
});

describe('a job', () => {
  it('may name a model by an alias, and is told what a wrong name may have meant', async () => {
    const payload = { messages: [{ role: 'user', content: 'Oi' }], options: { model: 'gpt-4o-min' } };
    const answer = await test.app.inject({ method: 'POST', url: '/api/ai/chat', headers: owner.headers, payload });
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ code: 'unknown_model', errors: [{ path: 'options.model' }] });
    expect(answer.json().detail).toContain('gpt-4o-mini');
  });
});

it('is told by user, engine and provider of the month for a licence, to the micro-credit', async () => {
  const [ana, bia] = [await aUser(test.rt), await aUser(test.rt)];
  const { id } = ana.workspace;
  await aMember(test.rt, id, bia.user.id, 'member');
  const now = { started_at_ms: Date.now() };
  const calls = [
    [ana, 'chat', 'openai', 333_333],
    [ana, 'summary', 'groq', 1],
    [bia, 'chat', 'groq', 2_000_001],
    [bia, 'chat', 'openai', 999_999],
  ] as const;
  for (const [who, engine, provider, charge] of calls)
    await done(who.user.id, engine, [call({ ...now, provider, is_paid: true })], charge, id);
  await done(
    bia.user.id,
    'chat',
    [call({ started_at_ms: Date.now() - 32 * 86_400_000, is_paid: true })],
    5_000_000,
    id,
  );
  const { credits } = (await get('/api/license/usage', ana, id)).json();
  const { rows } = await test.rt.systemPool.query(
    `select user_id as "user", engine, provider, credits::int as micro from ai_usage_log where workspace_id = $1
      and started_at >= date_trunc('month', now(), 'UTC')`,
    [id],
  );
  expect(rows.map(({ micro }) => micro).toSorted((a, b) => a - b)).toEqual([1, 333_333, 999_999, 2_000_001]);
  for (const [list, by] of [
    ['byUser', 'user'],
    ['byEngine', 'engine'],
    ['byProvider', 'provider'],
  ] as const) {
    const sums = new Map<string, number>();
    for (const row of rows) sums.set(row[by], (sums.get(row[by]) ?? 0) + row.micro);
    const told = credits[list].map(({ key, credits: some }: { key: string; credits: number }) => [
      key,
      Math.round(some * 1e6),
    ]);
    expect(new Map(told)).toEqual(sums);
  }
});
