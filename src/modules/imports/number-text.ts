/** What stands before the part of a number that is less than one. */
export type DecimalMark = ',' | '.';

/** How a country writes numbers, by the language most of it speaks (Unicode CLDR). @param country ISO 3166-1 alpha-2 */
export function decimalMarkOf(country: string): DecimalMark {
  const { language } = new Intl.Locale('und', { region: country }).maximize();
  const parts = new Intl.NumberFormat(`${language}-${country}`, { numberingSystem: 'latn' }).formatToParts(0.5);
  return parts.find(({ type }) => type === 'decimal')?.value === ',' ? ',' : '.';
}

const MONEY = /R\$|US\$|[$€£%]|BRL|USD|EUR/gi;
/** Sums of these are written as at home, wherever the file is from. */
const OF_MONEY: [RegExp, DecimalMark][] = [
  [/R\$|BRL/i, ','],
  [/US\$|USD/i, '.'],
];
const PLAIN = /^\d+$/;
const ONE_MARK = /^\d*([.,])\d+$|^\d+([.,])$/;
/** `1.500`: one and a half, or one and a half thousand. */
const EITHER = /^[1-9]\d{0,2}([.,])\d{3}$/;
const GROUPED = /^[1-9]\d{0,2}([.,'’ ])\d{3}(?:\1\d{3})*(?:(?!\1)[.,]\d*)?$/;
const SCIENTIFIC = /^\d+(?:[.,]\d+)?e[+-]?\d{1,3}$/i;

/** What a text says without its sign, as JavaScript writes it. */
function digitsOf(body: string, mark: DecimalMark): string | null {
  if (PLAIN.test(body)) return body;
  const either = EITHER.exec(body)?.[1];
  if (either !== undefined) return body.replace(either, either === mark ? '.' : '');
  if (ONE_MARK.test(body) || SCIENTIFIC.test(body)) return body.replace(',', '.');
  const group = GROUPED.exec(body)?.[1];
  return group === undefined ? null : body.replaceAll(group, '').replace(',', '.');
}

/**
 * Reads a number as people write it: `1.234,56`, `1,234.56`, `1 234,56`, `R$ 1.500`, `(12,5)`, `1.5e3`.
 * @param mark the country's, for what would be a number both ways
 * @returns null for what is none, or is written in no known way
 */
export function readNumber(text: string, mark: DecimalMark): number | null {
  const own = OF_MONEY.find(([money]) => money.test(text))?.[1] ?? mark;
  const bare = text.replaceAll(MONEY, '').replaceAll(/\s+/g, ' ').replaceAll('−', '-').trim();
  const [, before = '', body = '', after = ''] =
    /^([-+(]?) ?([^-+() ].*?) ?([-)]?)$/.exec(bare.replaceAll(/([-+(]) /g, '$1')) ?? [];
  const isClosed = (before === '(') === (after === ')') && !(before !== '' && after === '-');
  const digits = isClosed ? digitsOf(body, own) : null;
  const value = digits === null ? Number.NaN : Number(digits);
  if (!Number.isFinite(value)) return null;
  return value !== 0 && (before === '-' || before === '(' || after === '-') ? -value : value;
}
