import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decimalMarkOf, readNumber } from '#src/modules/imports/number-text.ts';

/** As read in a workspace of Brazil, and in one of the United States. */
const SPELLINGS: [text: string, brazil: number | null, states: number | null][] = [
  ['1500', 1500, 1500],
  ['R$ 1.500', 1500, 1500],
  ['R$1.500,50', 1500.5, 1500.5],
  ['R$\u00a01.234.567,89', 1_234_567.89, 1_234_567.89],
  ['R$ 12,5', 12.5, 12.5],
  ['R$ 1,500', 1.5, 1.5],
  ['-R$ 1.500', -1500, -1500],
  ['R$ -1.500,00', -1500, -1500],
  ['1.500 BRL', 1500, 1500],
  ['US$ 1,500', 1500, 1500],
  ['US$ 1.500', 1.5, 1.5],
  ['$1,234.56', 1234.56, 1234.56],
  ['1.500', 1500, 1.5],
  ['1,500', 1.5, 1500],
  ['-1.500', -1500, -1.5],
  ['€ 1.500', 1500, 1.5],
  ['999.999', 999_999, 999.999],
  ['0.500', 0.5, 0.5],
  ['0,500', 0.5, 0.5],
  ['1.5', 1.5, 1.5],
  ['1,5', 1.5, 1.5],
  ['1.50', 1.5, 1.5],
  ['1234.567', 1234.567, 1234.567],
  ['1234,567', 1234.567, 1234.567],
  ['1.2345', 1.2345, 1.2345],
  ['1.234,56', 1234.56, 1234.56],
  ['1,234.56', 1234.56, 1234.56],
  ['1.234.567', 1_234_567, 1_234_567],
  ['1,234,567.8', 1_234_567.8, 1_234_567.8],
  ['1 234,56', 1234.56, 1234.56],
  ['1\u202f234', 1234, 1234],
  ["1'234.50", 1234.5, 1234.5],
  ['(1.234,50)', -1234.5, -1234.5],
  ['R$ (12,50)', -12.5, -12.5],
  ['1.234,50-', -1234.5, -1234.5],
  ['+7', 7, 7],
  ['−3,5', -3.5, -3.5],
  ['12,5%', 12.5, 12.5],
  ['12.5 %', 12.5, 12.5],
  [',5', 0.5, 0.5],
  ['.5', 0.5, 0.5],
  ['5,', 5, 5],
  ['1.5e3', 1500, 1500],
  ['1,5E+03', 1500, 1500],
  ['0', 0, 0],
  ['-0', 0, 0],
  ['', null, null],
  ['R$', null, null],
  ['-', null, null],
  ['1.2.3', null, null],
  ['1.23,456.7', null, null],
  ['1,234,56', null, null],
  ['12 34', null, null],
  ['1.500.00', null, null],
  ['(5', null, null],
  ['--5', null, null],
  ['-5-', null, null],
  ['26/11/2026', null, null],
  ['0x10', null, null],
  ['Infinity', null, null],
  ['1e999', null, null],
  ['mil', null, null],
];

describe('a number in a file', () => {
  it.each(SPELLINGS)('%j', (text, brazil, states) => {
    expect([readNumber(text, ','), readNumber(text, '.')]).toEqual([brazil, states]);
  });

  it('is read as its country writes it', () => {
    const marks = ['BR', 'PT', 'DE', 'AR', 'US', 'GB', 'MX', 'JP', 'CH', 'EG'].map((country) => decimalMarkOf(country));
    expect(marks.join('')).toBe(',,,,......');
    const languages = { ',': 'pt-BR', '.': 'en-US' } as const;
    fc.assert(
      fc.property(
        fc.constantFrom(',', '.'),
        fc.integer({ min: -1e12, max: 1e12 }),
        fc.nat(3),
        (mark, whole, places) => {
          const value = whole / 10 ** places;
          const options = { minimumFractionDigits: places };
          expect(readNumber(value.toLocaleString(languages[mark], options), mark)).toBe(value === 0 ? 0 : value);
        },
      ),
    );
  });
});
