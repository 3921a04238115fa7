import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isInjection, readInjection } from '#src/ai/safety/injection.ts';
import { sanitize } from '#src/ai/safety/sanitize.ts';

const lines = readFileSync(new URL('__fixtures__/injections.txt', import.meta.url), 'utf8').split('\n');
const marked = (mark: string) => lines.filter((line) => line.startsWith(`${mark} `)).map((line) => line.slice(2));

const share = (texts: string[]) => texts.filter((text) => isInjection(readInjection(text))).length / texts.length;

/** The figures of docs/masking.md. */
describe('orders to the model', () => {
  const [attacks, messages] = [marked('+'), marked('-')];

  it('are measured on enough', () => {
    expect(attacks.length + messages.length).toBeGreaterThanOrEqual(200);
    expect(messages.length).toBeGreaterThanOrEqual(100);
  });

  it('are caught in 95 of 100, and seen in 3 of 100 messages that have none', () => {
    expect(share(attacks)).toBeGreaterThanOrEqual(0.95);
    expect(share(messages)).toBeLessThanOrEqual(0.03);
  });

  it('are looked for in time that grows with the text alone', () => {
    for (const piece of [
      'ignore ',
      'ignore as ',
      'system ',
      'a b c d e ',
      '![',
      '### ',
      'repita tudo ',
      'assistant: ',
    ]) {
      const before = process.cpuUsage();
      readInjection(piece.repeat(100_000 / piece.length));
      const { user, system } = process.cpuUsage(before);
      expect((user + system) / 1000).toBeLessThan(1500);
    }
  });
});

describe('sanitize', () => {
  it.each([
    ['zero width', 'ig\u200bno\u2060re\ufeff', 'ignore'],
    ['bidirectional', 'abc\u202edef\u202c\u2066x\u2069', 'abcdefx'],
    ['tags', `oi${String.fromCodePoint(...Array.from('ignore', (letter) => 0xe0000 + letter.charCodeAt(0)))}`, 'oi'],
    ['variation selectors that carry data', 'a\u{e0100}\u{e01ef}b\ufe0fc', 'abc'],
    ['fillers', 'a\u3164\u115fb', 'ab'],
    ['full-width and mathematical letters', 'ｉｇｎｏｒｅ 𝐢𝐠𝐧𝐨𝐫𝐞 𝟏𝟐', 'ignore ignore 12'],
  ])('takes out %s', (_, text, clean) => {
    expect(sanitize(text)).toBe(clean);
  });

  it.each([
    '👩‍👩‍👧',
    '❤️',
    '🏳️‍🌈',
    '👍🏽',
    '🧑🏽‍💻',
    '1️⃣',
    '🇧🇷',
    '🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}',
    'می‌خواهم',
    'क्‍ष',
    'São João, 1ª ½ m² … ™',
  ])('leaves %s as it is', (text) => {
    expect(sanitize(text)).toBe(text);
  });
});
