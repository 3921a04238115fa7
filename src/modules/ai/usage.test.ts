import { expect, test } from 'vitest';
import type { AttemptRecord } from '#src/ai/attempt.ts';
import { usageCall } from '#src/modules/ai/usage.ts';

const record = (fields: Partial<AttemptRecord> = {}): AttemptRecord => ({
  provider: 'openai',
  model: 'gpt-5.6-sol',
  startedAt: Date.parse('2026-10-01'),
  strategy: 'failover',
  latencyMs: 20,
  timeToFirstTokenMs: 5,
  keyOwner: 'installation',
  usage: {
    inputTokens: 100,
    cachedInputTokens: 0,
    cacheWriteTokens: 0,
    outputTokens: 10,
    reasoningTokens: 4,
    estimated: false,
  },
  ...fields,
});

test('is costed by the price in force when it began, reasoning as the output it is part of', () => {
  expect(usageCall(record(), [])).toMatchObject({ cost_nano: 100 * 4000 + 10 * 20_000, call_no: 1 });
  const before = usageCall(record({ startedAt: Date.parse('2026-08-02') }), []);
  expect(before).toMatchObject({ cost_nano: 100 * 5000 + 10 * 30_000 });
  expect(before.price_version).toMatch(/^2026-08-01#/);
});

test('names what failed before it, and calls a repair no fallback', () => {
  const first = usageCall(record({ failure: 'bad_output' }), []);
  const repair = usageCall(record({ failure: 'bad_output' }), [first]);
  const other = usageCall(record({ provider: 'groq', model: 'openai/gpt-oss-20b' }), [first, repair]);
  expect(
    [first, repair, other].map(({ outcome, failure, fallback_from }) => [outcome, failure, fallback_from]),
  ).toEqual([
    ['failed', 'bad_output', null],
    ['failed', 'bad_output', null],
    ['delivered', null, 'openai/gpt-5.6-sol'],
  ]);
  expect(other.call_no).toBe(3);
});

test('of which nothing arrived costs nothing, and a server’s nonsense fits the table', () => {
  const { usage: _, ...silent } = record({ failure: 'timeout' });
  expect(usageCall(silent, [])).toMatchObject({ cost_nano: 0, input_tokens: 0, failure: 'timeout' });
  const huge = record();
  if (huge.usage) huge.usage.outputTokens = Number.MAX_SAFE_INTEGER;
  expect(usageCall(huge, []).cost_nano).toBe(Number.MAX_SAFE_INTEGER);
});
