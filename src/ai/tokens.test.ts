import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { estimateMessageTokens, estimateRequestTokens, estimateTokens } from '#src/ai/tokens.ts';
import { anyChar } from '#test/any-char.ts';
import { cpuMs } from '#test/cpu-ms.ts';

test('counts prose at about a token per word, leaning up', () => {
  expect(estimateTokens('')).toBe(0);
  expect(estimateTokens('Hello, how are you?')).toBe(7);
  expect(estimateTokens('Olá, tudo bem? Quero saber o preço.')).toBeGreaterThanOrEqual(9);
  expect(estimateTokens('123456')).toBe(2);
  expect(estimateTokens('東京都')).toBe(3);
});

test('more text is never fewer tokens, and no text is more tokens than bytes', () => {
  fc.assert(
    fc.property(fc.string({ unit: anyChar }), fc.string({ unit: anyChar }), (text, more) => {
      expect(estimateTokens(text + more)).toBeGreaterThanOrEqual(estimateTokens(text));
      expect(estimateTokens(text)).toBeLessThanOrEqual(Buffer.byteLength(text));
    }),
  );
});

test.each(['a'.repeat(2_000_000), ' '.repeat(1_000_000) + '!'.repeat(1_000_000), '<|endoftext|>'.repeat(150_000)])(
  'takes linear time for hostile text',
  (text) => {
    expect(cpuMs(() => estimateTokens(text))).toBeLessThan(500);
  },
);

test('messages, tools and schema all count', () => {
  const messages = [{ role: 'user' as const, content: 'Hello there' }];
  const plain = estimateMessageTokens(messages);
  expect(plain).toBe(3 + 4 + estimateTokens('Hello there'));
  expect(estimateRequestTokens({ messages })).toBe(plain);
  const tools = [{ name: 'find', parameters: { type: 'object' } }];
  expect(estimateRequestTokens({ messages, tools })).toBeGreaterThan(plain + 10);
  const called = {
    role: 'assistant' as const,
    content: '',
    toolCalls: [{ id: '1', name: 'find', arguments: '{"a":1}' }],
  };
  expect(estimateMessageTokens([called])).toBeGreaterThan(3 + 4 + 4);
});
