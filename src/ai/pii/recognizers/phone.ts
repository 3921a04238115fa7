import type { DigitRun } from '#src/ai/pii/recognizers/digit-runs.ts';
import type { Subject } from '#src/ai/pii/recognizers/context.ts';
import { found } from '#src/ai/pii/recognizers/documents.ts';
import type { Found } from '#src/ai/pii/span.ts';

/** The area codes in use (Anatel). */
const AREA = /^(?:1[1-9]|2[12478]|3[1-578]|4[1-9]|5[1345]|6[1-9]|7[134579]|8[1-9]|9[1-9])/;
/** The country codes assigned (ITU-T E.164), but Brazil's. */
const COUNTRY =
  /^(?:1|7|2[07]|2[1-6]\d|29[0179]|3[0-469]|3[578]\d|4[0-13-9]|42[0137]|5[1-46-8]|5[09]\d|6[0-6]|6[7-9]\d|8[1246]|8[058]\d|9[0-58]|96[0-8]|97\d|99[2-8])/;

// Of digits alone, so a look at the first and the length is enough.
const isMobile = (number: string): boolean => number.length === 9 && number.startsWith('9');
const isLandline = (number: string): boolean => number.length === 8 && number >= '2' && number < '6';

const HALVES = [2, 6];
const HALVES_OF_MOBILE = [2, 3, 7];
const THREES = [2, 5, 8];
const LOCAL_THREES = [3, 6];

/** Where a national number is cut: after the area code, the nine, and the first half; or in threes. */
function isUsuallyCut(run: DigitRun, before: number, national: number): boolean {
  if (national !== 11) return run.isCutAt(HALVES, before);
  return run.isCutAt(HALVES_OF_MOBILE, before) || run.isCutAt(THREES, before);
}

/** What of 10 to 13 digits stands before the area code. */
function prefixOf(digits: string): string {
  if (digits.length > 11 && digits.startsWith('55')) return '55';
  return digits.length > 10 && digits.length < 13 && digits.startsWith('0') && digits.charAt(1) !== '0' ? '0' : '';
}

/** A Brazilian number with its area code, after 55 or a 0 or neither. */
function brazilian(run: DigitRun, { text, contexts }: Subject): Found | undefined {
  const prefix = prefixOf(run.digits);
  const national = run.digits.slice(prefix.length);
  const number = national.slice(2);
  if (!(isMobile(number) || isLandline(number)) || !AREA.test(national)) return undefined;
  const isPlus = text.charAt(run.start - 1) === '+';
  if (isPlus && prefix !== '55') return undefined;
  const weight = contexts.weight('phone', run.start);
  const isUsual = isUsuallyCut(run, prefix.length, national.length);
  if (!isUsual && weight === 0) return undefined;
  const isBracketed = text.charAt(run.start - 1) === '(' || run.hasInGap(')');
  const isFormatted = isPlus || isBracketed || (isUsual && (run.lastCut?.at ?? 0) >= prefix.length + 2);
  if (!isFormatted && !isMobile(number) && prefix !== '55' && weight === 0) return undefined;
  const base = isPlus || isBracketed ? 0.9 : isFormatted ? 0.8 : 0.6;
  return found('phone', widened(run, text, `+55${national}`), base + 0.35 * weight);
}

/** Without its area code: nine digits from 9 on or eight, with a dash in the middle or named by the words before. */
function local(run: DigitRun, { contexts }: Subject): Found | undefined {
  const { digits } = run;
  if (!isMobile(digits) && !isLandline(digits)) return undefined;
  const weight = contexts.weight('phone', run.start);
  const half = digits.length - 4;
  const isUsual = run.isCutAt([half, half - 4]) || run.isCutAt(LOCAL_THREES);
  if (!isUsual) return undefined;
  if (weight > 0) return found('phone', run, 0.45 + 0.45 * weight);
  const isDashed = run.lastCut?.gap === '-' && run.lastCut.at === half;
  return isDashed && isMobile(digits) ? found('phone', run, 0.55) : undefined;
}

/** `+`, a country code in use, 8 to 15 digits (E.164); Brazil's must be Brazilian, North America's has eleven. */
function international(run: DigitRun, { text }: Subject): Found | undefined {
  const { digits } = run;
  if (text.charAt(run.start - 1) !== '+' || !COUNTRY.test(digits)) return undefined;
  if (digits.startsWith('1') && !/^1[2-9]\d{2}[2-9]\d{6}$/.test(digits)) return undefined;
  // What follows eight digits in one piece is the next number.
  const { cuts } = run;
  const isTwo = cuts.some((cut, at) => cut >= 8 && (cuts[at + 1] ?? digits.length) - cut > 5);
  return isTwo ? undefined : found('phone', widened(run, text, `+${digits}`), 0.85);
}

/** The `+` and the bracket belong to the number; the bracket only if it closes within. */
function widened(run: DigitRun, text: string, normalized: string): Pick<DigitRun, 'start' | 'end' | 'digits'> {
  let { start } = run;
  const closes = run.hasInGap(')', '(');
  if (closes && text.charAt(start - 1) === '(') start -= 1;
  if (text.charAt(start - 1) === '+') start -= 1;
  return { start, end: run.end, digits: normalized };
}

/** The counts of digits a phone number can have. */
export const isPhoneLength = (count: number): boolean => count >= 8 && count <= 15;

/** @returns the phone number a run of digits is, if it is one; `normalized` is E.164, or the bare digits where the area is not known. */
export function phone(run: DigitRun, subject: Subject): Found | undefined {
  const { length } = run.digits;
  return (
    (length >= 10 && length <= 13 ? brazilian(run, subject) : undefined) ??
    international(run, subject) ??
    (length <= 9 ? local(run, subject) : undefined)
  );
}
