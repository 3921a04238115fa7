import { expect, test } from 'vitest';
import { readApiKeys } from '#src/ai/api-keys.ts';
import { createEmbedder } from '#src/ai/embedder.ts';
import { MemoryHealth } from '#src/ai/health.ts';
import { createOpenai } from '#src/ai/providers/openai.ts';
import { embeddingsHold } from '#src/modules/ai/embeddings.ts';

const keys = readApiKeys(['sk-test'], 'installation');
const provider = createOpenai({ keys, baseUrl: 'http://127.0.0.1:9/v1', models: [] });
const embedder = createEmbedder({ providers: [provider], health: new MemoryHealth(() => Date.now()) });
const input = { model: 'text-embedding-3-large', texts: ['quanto custa o frete? '.repeat(50)] };

test('holds what the texts can cost at most, within the limit of the workspace', () => {
  const hold = embeddingsHold(embedder, input, { keys: {} });
  expect(hold).toBeGreaterThan(50 * 4 * 130);
  expect(embeddingsHold(embedder, input, { keys: {}, maxCostUsd: hold / 1e9 })).toBe(hold);
  expect(() => embeddingsHold(embedder, input, { keys: {}, maxCostUsd: hold / 2e9 })).toThrow(/the workspace allows/);
});

test('names the models that may have been meant', () => {
  const misspelt = { ...input, model: 'text-embedding-3-larg' };
  expect(() => embeddingsHold(embedder, misspelt, { keys: {} })).toThrow(/text-embedding-3-large/);
});
