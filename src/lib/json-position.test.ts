import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonErrorIndex, lineAndColumn } from '#src/lib/json-position.ts';

describe('jsonErrorIndex', () => {
  it.each([
    ['', 0],
    ['{', 1],
    ['{"a":1', 6],
    ['{"a":1,}', 7],
    ['{"a" 1}', 5],
    ['{a:1}', 1],
    ['[1,2,,3]', 5],
    ['[1 2]', 3],
    ['nope', 0],
    ['{"a":tru}', 5],
    ['{"a":01}', 5],
    ['"line\nbreak"', 0],
    ['{"a":1} x', 8],
    ['[[]]]', 4],
    ["{'a':1}", 1],
  ])('%j stops being JSON at %i', (text, index) => {
    expect(jsonErrorIndex(text)).toBe(index);
  });

  it('walks a million brackets without recursion', () => {
    const text = '['.repeat(1_000_000);
    expect(jsonErrorIndex(text)).toBe(text.length);
  });

  it('reads a long string that never ends without running out of stack', () => {
    expect(jsonErrorIndex(`{"a":"${String.raw`x\n`.repeat(300_000)}`)).toBe(5);
  });

  it('always answers, inside the text, and reads valid JSON to its end', () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(), (json, cut) => {
        expect(jsonErrorIndex(json)).toBe(json.length);
        const broken = json.slice(0, cut % (json.length + 1));
        expect(jsonErrorIndex(broken)).toBeLessThanOrEqual(broken.length);
      }),
    );
  });
});

it('counts lines and columns from one', () => {
  expect(lineAndColumn('{\n  "a": x', 9)).toEqual({ line: 2, column: 8 });
  expect(lineAndColumn('x', 0)).toEqual({ line: 1, column: 1 });
});
