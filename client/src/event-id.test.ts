import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { compareEventIds } from './event-id.ts';

it('orders attempt and sequence as numbers of any size', () => {
  const part = fc.bigInt({ min: 0n, max: 2n ** 70n });
  fc.assert(
    fc.property(part, part, part, part, (a, b, c, d) => {
      const expected = a === c ? (b < d ? -1 : b > d ? 1 : 0) : a < c ? -1 : 1;
      expect(Math.sign(compareEventIds(`${a}-${b}`, `${c}-${d}`))).toBe(expected);
    }),
  );
});

it('orders other ids as text', () => {
  expect(compareEventIds('019a-b', '019a-c')).toBeLessThan(0);
  expect(compareEventIds('x', 'x')).toBe(0);
});
