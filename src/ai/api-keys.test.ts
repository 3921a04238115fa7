import { expect, test } from 'vitest';
import { readApiKeys } from '#src/ai/api-keys.ts';

test('keys are read with their weights, each once, and named by a hash', () => {
  const keys = readApiKeys(['sk-a*3', 'sk-b', 'sk-a', 'sk*c'], 'installation');
  expect(keys.map(({ secret, weight }) => [secret, weight])).toEqual([
    ['sk-a', 3],
    ['sk-b', 1],
    ['sk*c', 1],
  ]);
  expect(keys[0]?.id).toMatch(/^[0-9a-f]{12}$/);
  expect(JSON.stringify(keys.map(({ id }) => id))).not.toContain('sk');
});
