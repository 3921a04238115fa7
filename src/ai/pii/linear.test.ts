import { expect, it } from 'vitest';
import { recognize } from '#src/ai/pii/recognizers/index.ts';

const HALF = 250_000;

/** Processor time in milliseconds, the least of three: what else the machine does must not count. */
function costOf(text: string): number {
  const costs = [1, 2, 3].map(() => {
    const before = process.cpuUsage();
    recognize(text);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  return Math.min(...costs);
}

// The bench has more and the figures; a quadratic recogniser would need minutes for these.
it.each([
  '1',
  '1 ',
  '12.',
  '11 98765-4321 ',
  '529.982.247-2.',
  '@',
  `${'a'.repeat(64)}@`,
  'a@a.',
  'http://',
  '000201',
  'a:',
  '1.1.',
  'BR12 ',
  'Sr. Aa Bb ',
  'eyJa.',
  'sk-',
  '-----BEGIN PRIVATE KEY-----\n',
  '\\n',
  'cpf ',
  'nasc 1/1/',
  '1\u200b',
  '１',
  '👩‍👩‍👧',
  '[[',
])('takes time in proportion to the text: %j over and over', (piece) => {
  const text = piece.repeat(Math.ceil((2 * HALF) / piece.length)).slice(0, 2 * HALF);
  const half = costOf(text.slice(0, HALF));
  const whole = costOf(text);
  expect(whole).toBeLessThan(500);
  expect(whole).toBeLessThan(Math.max(200, half * 5));
});
