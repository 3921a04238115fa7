import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { canonicalJson } from '#src/lib/canonical-json.ts';

it('is the same text for the same value, in whatever order its keys were written', () => {
  expect(canonicalJson({ b: [{ d: 1, c: undefined }], a: 'x' })).toBe('{"a":"x","b":[{"d":1}]}');
  const shuffled = (value: unknown): unknown =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(
          Object.entries(value)
            .toReversed()
            .map(([key, inner]) => [key, shuffled(inner)]),
        )
      : value;
  fc.assert(
    fc.property(fc.dictionary(fc.stringMatching(/^[a-zé]+$/u), fc.jsonValue()), (value) => {
      expect(canonicalJson(shuffled(value))).toBe(canonicalJson(value));
      expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});
