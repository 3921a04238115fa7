import { expect, test } from 'vitest';
import { CATALOG, factsOf, findModel } from '#src/ai/catalog.ts';
import { worstCaseNanoUsd } from '#src/ai/cost.ts';

test('every model of the catalogue is sane', () => {
  for (const facts of CATALOG) {
    expect(facts.inputUsdPerMtok).toBeGreaterThan(0);
    expect(facts.outputUsdPerMtok).toBeGreaterThanOrEqual(facts.inputUsdPerMtok);
    expect(facts.cachedInputUsdPerMtok ?? 0).toBeLessThan(facts.inputUsdPerMtok);
    expect(facts.contextWindow).toBeGreaterThanOrEqual(facts.maxOutputTokens);
  }
  expect(new Set(CATALOG.map((facts) => `${facts.provider}/${facts.model}`)).size).toBe(CATALOG.length);
});

test('everything on own machines is known, and costs nothing there', () => {
  expect(findModel('ollama', 'whatever:7b')).toMatchObject({ inputUsdPerMtok: 0, priced: true });
});

test('a configured name outside the catalogue costs as much as the dearest known model', () => {
  const own = factsOf('openai', 'my-own');
  expect(findModel('openai', 'my-own')).toBeUndefined();
  expect(own.priced).toBe(false);
  for (const facts of CATALOG.filter(({ provider }) => provider === 'openai')) {
    for (const input of [1000, 500_000]) {
      expect(worstCaseNanoUsd(own, input, 1000)).toBeGreaterThanOrEqual(worstCaseNanoUsd(facts, input, 1000));
    }
  }
});
