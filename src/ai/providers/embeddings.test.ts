import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSimulator, type Simulator } from '../../../simulator/server.ts';
import { KEYS, SIMULATED } from '#src/ai/__fixtures__/simulated.ts';
import type { EmbeddingRequest, Embeddings, ProviderName } from '#src/ai/model.ts';

let simulator: Simulator;
beforeAll(async () => {
  simulator = await createSimulator();
  // Loading an SDK holds the process up for longer than the simulator keeps an idle connection.
  for (const { make } of SIMULATED) await make(simulator.url, KEYS).warm?.();
});
afterAll(() => simulator.close());

const NONE: ReadonlySet<ProviderName> = new Set(['groq', 'anthropic']);
/** They say nothing of the tokens of embeddings. */
const UNCOUNTED: ReadonlySet<ProviderName> = new Set(['google']);
const TEXTS = ['Olá, bom dia', 'quanto custa o plano anual?'];
const { signal } = new AbortController();

test.each(SIMULATED.filter(({ name }) => NONE.has(name)))('$name has none', ({ make }) => {
  expect(make(simulator.url, KEYS)).not.toHaveProperty('embed');
});

describe.each(SIMULATED.filter(({ name }) => !NONE.has(name)))('$name', ({ name, make }) => {
  function embed(texts: string[], given = signal): Promise<Embeddings> {
    const provider = make(simulator.url, KEYS);
    const request: EmbeddingRequest = { model: 'embedding-model', texts };
    if (!provider.embed) throw new Error(`${name} has no embeddings.`);
    return provider.embed(request, given);
  }

  test('gives a vector for every text, in order, and counts', async () => {
    const { vectors, usage } = await embed(TEXTS);
    expect(vectors).toHaveLength(2);
    expect(vectors[0]?.length).toBeGreaterThan(100);
    expect(vectors[0]).not.toEqual(vectors[1]);
    expect((await embed(TEXTS.toReversed())).vectors).toEqual(vectors.toReversed());
    expect(usage).toMatchObject({ inputTokens: expect.any(Number), outputTokens: 0, estimated: UNCOUNTED.has(name) });
    expect(usage.inputTokens).toBeGreaterThan(5);
  });

  test('throws the reason of a signal that aborted before', async () => {
    const reason = new Error('too late');
    await expect(embed(TEXTS, AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  test.each([
    ['rate_limit', 'rate_limited'],
    ['unauthorized', 'auth'],
    ['html_502', 'transient'],
    ['truncated', 'stream_truncated'],
  ] as const)('%s → %s', async (fault, failure) => {
    simulator.script({ fault });
    await expect(embed(TEXTS)).rejects.toMatchObject({ name: 'ProviderError', provider: name, failure });
    simulator.script({});
  });
});
