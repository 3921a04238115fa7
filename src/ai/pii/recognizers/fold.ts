/** A text as the recognisers read it, and the way back to the text as it was. */
export interface Folded {
  text: string;
  /** The offsets in the original of a stretch of `text`. */
  original(start: number, end: number): { start: number; end: number };
}

/** What ordinary text does not have: digits, spaces and dashes of other scripts, full-width forms, invisible characters. */
const UNUSUAL =
  /[\u00a0\u00ad\u0660-\u0669\u06f0-\u06f9\u0966-\u0fff\u1040-\u1819\u1946-\u1c59\u180e\u2000-\u2015\u2028-\u202f\u205f-\u206f\u2212\u3000\ua620-\uabf9\ufe58\ufe63\ufeff\uff01-\uff5e\ud801-\ud83a\udb40]/g;
const INVISIBLE = /[\p{Cf}\u2028\u2029]/u;
const DIGIT = /\p{Nd}/u;
const SPACE = /\p{Zs}/u;
const DASH = /[\p{Pd}\u2212]/u;

// Decimal digits stand in rows of ten, from zero to nine, in every script (The Unicode Standard, chapter 4.6).
let zeros: Map<number, number> | undefined;
function digitOf(point: number): string {
  if (!zeros) {
    zeros = new Map();
    let zero = -1;
    for (let at = 0; at < 0x1ffff; at += 1) {
      if (!DIGIT.test(String.fromCodePoint(at))) zero = -1;
      else {
        if (zero < 0 || at - zero === 10) zero = at;
        zeros.set(at, zero);
      }
    }
  }
  return String(point - (zeros.get(point) ?? point));
}

function foldOne(character: string, point: number): string {
  if (point >= 0xff01 && point <= 0xff5e) return String.fromCharCode(point - 0xfee0);
  if (INVISIBLE.test(character)) return '';
  if (SPACE.test(character)) return ' ';
  if (DASH.test(character)) return '-';
  return DIGIT.test(character) ? digitOf(point) : character;
}

/** Line breaks written as in JSON end a word here too, since prompts quote messages as JSON. Keeps the length. */
function withoutEscapes(text: string): string {
  return text.includes('\\') ? text.replaceAll(/\\[nrt]/g, ' \n').replaceAll('\\"', ' "') : text;
}

/**
 * Digits of any script become ASCII, spaces and dashes of any kind the plain ones, invisible characters go. Ordinary text is returned as it
 * is.
 */
export function fold(original: string): Folded {
  const text = withoutEscapes(original);
  if (text.search(UNUSUAL) === -1) return { text, original: (start, end) => ({ start, end }) };
  // From each folded offset on, the original runs ahead by so much, until the next.
  const from: number[] = [0];
  const ahead: number[] = [0];
  let folded = '';
  let copied = 0;
  UNUSUAL.lastIndex = 0;
  for (let match = UNUSUAL.exec(text); match; match = UNUSUAL.exec(text)) {
    const point = text.codePointAt(match.index) ?? 0;
    const end = match.index + (point > 0xffff ? 2 : 1);
    UNUSUAL.lastIndex = end;
    const character = text.slice(match.index, end);
    const replaced = foldOne(character, point);
    if (replaced === character) continue;
    folded += text.slice(copied, match.index) + replaced;
    copied = end;
    if (replaced.length === end - match.index) continue;
    from.push(folded.length);
    ahead.push(end - folded.length);
  }
  folded += text.slice(copied);
  const originalOf = (offset: number) => offset + (ahead[lastAtOrBelow(from, offset)] ?? 0);
  return {
    text: folded,
    original(start, end) {
      const last = originalOf(end - 1);
      return { start: originalOf(start), end: last + ((text.codePointAt(last) ?? 0) > 0xffff ? 2 : 1) };
    },
  };
}

/** The index of the last element that is not above `value`, in a rising list whose first is not. */
function lastAtOrBelow(list: number[], value: number): number {
  let low = 0;
  let high = list.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((list[middle] ?? 0) <= value) low = middle;
    else high = middle;
  }
  return low;
}
