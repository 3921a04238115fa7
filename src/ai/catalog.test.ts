import { afterEach, describe, expect, it, test } from 'vitest';
import { closestModels, factsOf, findModel, listModels, livingName, useOverrides } from '#src/ai/catalog.ts';
import { ModelOverride } from '#src/ai/catalog-entry.ts';
import { costNanoUsd, worstCaseNanoUsd } from '#src/ai/cost.ts';
import { cpuMs } from '#test/cpu-ms.ts';

afterEach(() => useOverrides([]));

const override = (fields: object): ModelOverride => ModelOverride.parse(fields);
const price = (effectiveFrom: string, inputUsdPerMtok: number, outputUsdPerMtok: number) => ({
  effectiveFrom,
  inputUsdPerMtok,
  outputUsdPerMtok,
});

test('every model of the catalogue is sane', () => {
  const models = listModels();
  expect(models.filter(({ kind }) => kind === 'embedding').length).toBeGreaterThanOrEqual(9);
  for (const facts of models.filter(({ provider }) => provider !== 'ollama')) {
    expect(facts.inputUsdPerMtok).toBeGreaterThan(0);
    expect(facts.cachedInputUsdPerMtok ?? 0).toBeLessThan(facts.inputUsdPerMtok);
    expect(facts.cacheWriteUsdPerMtok ?? Infinity).toBeGreaterThan(facts.inputUsdPerMtok);
    if (facts.kind === 'chat') expect(facts.outputUsdPerMtok).toBeGreaterThanOrEqual(facts.inputUsdPerMtok);
    else expect(facts.maxOutputTokens).toBe(0);
  }
  for (const facts of models) {
    expect(facts.contextWindow).toBeGreaterThanOrEqual(facts.maxOutputTokens);
    for (const mark of Object.values(facts.quality)) expect(mark).toBeGreaterThanOrEqual(0);
  }
  expect(new Set(models.map((facts) => `${facts.provider}/${facts.model}`)).size).toBe(models.length);
});

test('everything on own machines is known, and costs nothing there', () => {
  expect(findModel('ollama', 'whatever:7b')).toMatchObject({ inputUsdPerMtok: 0, priced: true });
});

test('a configured name outside the catalogue costs as much as the dearest known model', () => {
  const own = factsOf('openai', 'my-own');
  expect(findModel('openai', 'my-own')).toBeUndefined();
  expect(own).toMatchObject({ priced: false, model: 'my-own' });
  for (const facts of listModels().filter(({ provider, kind }) => provider === 'openai' && kind === 'chat')) {
    for (const input of [1000, 500_000]) {
      expect(worstCaseNanoUsd(own, input, 1000)).toBeGreaterThanOrEqual(worstCaseNanoUsd(facts, input, 1000));
    }
  }
});

const at = (day: string) => factsOf('openai', 'gpt-5.6-sol', Date.parse(day));

describe('a price', () => {
  it('is the one in force at the moment that is asked for', () => {
    expect(at('2026-08-15')).toMatchObject({ inputUsdPerMtok: 5, outputUsdPerMtok: 30 });
    expect(at('2026-09-22T23:59:59.999Z').inputUsdPerMtok).toBe(5);
    expect(at('2026-09-23')).toMatchObject({ inputUsdPerMtok: 4, outputUsdPerMtok: 20, cacheWriteUsdPerMtok: 5 });
    // Older than any price: the oldest one that is known.
    expect(at('2020-01-01').inputUsdPerMtok).toBe(5);
    expect(at('2026-09-23').priceVersion).toMatch(/^2026-09-23#[0-9a-f]{6}$/);
  });

  it('of the operator comes into force from its day on, and has a version of its own', () => {
    const before = factsOf('openai', 'gpt-4o').priceVersion;
    useOverrides([override({ provider: 'openai', model: 'gpt-4o', prices: [price('2027-01-01', 1, 4)] })]);
    expect(factsOf('openai', 'gpt-4o').priceVersion).toBe(before);
    expect(factsOf('openai', 'gpt-4o', Date.parse('2027-01-02'))).toMatchObject({
      inputUsdPerMtok: 1,
      source: 'operator',
    });
    useOverrides([override({ provider: 'openai', model: 'gpt-4o', prices: [price('2026-08-01', 9, 9)] })]);
    const corrected = factsOf('openai', 'gpt-4o');
    expect(corrected.inputUsdPerMtok).toBe(9);
    expect(corrected.priceVersion.slice(0, 10)).toBe(before.slice(0, 10));
    expect(corrected.priceVersion).not.toBe(before);
  });
});

describe('names', () => {
  it.each([
    ['anthropic', 'claude-3-5-sonnet', 'claude-sonnet-5'],
    ['anthropic', 'claude-3-5-sonnet-20241022', 'claude-sonnet-5'],
    ['anthropic', 'claude-3-opus', 'claude-opus-5'],
    ['anthropic', 'claude-3-haiku', 'claude-haiku-4-5'],
    ['google', 'gemini-1.5-pro', 'gemini-2.5-pro'],
    ['google', 'gemini-1.5-flash', 'gemini-2.5-flash'],
    ['groq', 'llama-3.1-70b', 'llama-3.3-70b-versatile'],
    ['groq', 'mixtral-8x7b-32768', 'openai/gpt-oss-20b'],
    ['mistral', 'mistral-large', 'mistral-large-latest'],
    ['openai', 'gpt-4o', 'gpt-4o'],
    ['openai', 'my-own', 'my-own'],
  ] as const)('of %s: %s is answered by %s', (provider, asked, model) => {
    expect(livingName(provider, asked)).toBe(model);
    if (asked !== 'my-own') expect(findModel(provider, model)?.replacedBy).toBeNull();
  });

  it('lead to the one in its place only from the day on which a model is switched off', () => {
    expect(livingName('anthropic', 'claude-sonnet-4-5', Date.parse('2026-11-29'))).toBe('claude-sonnet-4-5');
    expect(livingName('anthropic', 'claude-sonnet-4-5', Date.parse('2026-11-30'))).toBe('claude-sonnet-5');
  });

  it('of a ring of replacements end at the name itself', () => {
    useOverrides([
      override({ provider: 'openai', model: 'gpt-4o', replacedBy: 'gpt-4o-mini' }),
      override({ provider: 'openai', model: 'gpt-4o-mini', replacedBy: 'gpt-4o' }),
    ]);
    expect(livingName('openai', 'gpt-4o')).toBe('gpt-4o');
  });

  it('that are mistyped are guessed, aliases too', () => {
    const here = [
      { name: 'openai', models: ['gpt-5.6-luna', 'gpt-4o', 'gpt-4o-mini'] },
      { name: 'anthropic', models: ['claude-sonnet-5', 'claude-3-5-sonnet-20241022'] },
    ] as const;
    expect(closestModels('gpt4o', here)[0]).toBe('gpt-4o');
    expect(closestModels('luna', here)).toContain('gpt-5.6-luna');
    expect(closestModels('claude-3.5-sonet', here)[0]).toBe('claude-3.5-sonnet');
    expect(closestModels('zzzzzzzz', here)).toEqual([]);
    expect(closestModels('a'.repeat(100_000), here)).toEqual([]);
  });
});

describe('an operator', () => {
  it('adds a model, hides one, marks one, and is refused a half one', () => {
    const added = { provider: 'groq', model: 'new/one', contextWindow: 8000, maxOutputTokens: 4000 };
    expect(() => useOverrides([override(added)])).toThrow('prices');
    expect(findModel('groq', 'new/one')).toBeUndefined();
    useOverrides([
      override({ ...added, prices: [price('2026-01-01', 1, 2)], aliases: ['newest'], quality: { chat: 99 } }),
      override({ provider: 'openai', model: 'gpt-4-turbo', isHidden: true }),
    ]);
    const usage = { inputTokens: 1000, cachedInputTokens: 0, cacheWriteTokens: 0, outputTokens: 0 };
    expect(costNanoUsd(factsOf('groq', 'new/one'), usage)).toBe(1_000_000);
    expect(findModel('groq', 'new/one')?.quality).toMatchObject({ chat: 99, copilot: 62 });
    expect(livingName('groq', 'newest')).toBe('new/one');
    expect(listModels().map(({ model }) => model)).not.toContain('gpt-4-turbo');
    expect(findModel('openai', 'gpt-4-turbo')).toBeDefined();
  });
});

test('looking facts up is cheap: once per job and candidate', () => {
  const spent = cpuMs(() => {
    for (let at = 0; at < 100_000; at++) factsOf('openai', 'gpt-5.6-luna');
  });
  expect(spent / 100).toBeLessThan(20);
});
