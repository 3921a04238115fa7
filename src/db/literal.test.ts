import fc from 'fast-check';
import { escapeLiteral as ofDriver } from 'pg';
import { expect, it } from 'vitest';
import { escapeLiteral } from '#src/db/literal.ts';
import { anyChar } from '#test/any-char.ts';

it('writes every text as the driver does', () => {
  const letters = fc.constantFrom("'", '\\', '"', '?', '\n', 'a', 'ã', '😀', '\u{d800}', '$');
  const texts = fc.oneof(fc.string({ unit: anyChar }), fc.string({ unit: letters }));
  fc.assert(
    fc.property(texts, (text) => {
      expect(escapeLiteral(text)).toBe(ofDriver(text));
    }),
    { numRuns: 5000 },
  );
});
