/** Letters that Unicode takes for letters of their own, and people write without. */
const PLAIN: Record<string, string> = {
  Ø: 'O',
  Ł: 'L',
  Đ: 'D',
  Ð: 'D',
  Ħ: 'H',
  Ŧ: 'T',
  Æ: 'AE',
  Œ: 'OE',
  Þ: 'TH',
  ẞ: 'SS',
};
// Signs over and under letters, and points of Arabic and Hebrew. Not the vowels of Indic scripts, without which a name is another.
const ACCENTS = /[\p{M}&&[\p{Script=Inherited}\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670]]|\u0640/gv;
const MARKS = '[\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u0640\u064b-\u065f\u0670\u1dc0-\u1dff\u3099\u309a]*';
const WIDE = /[\uff01-\uff5e]/g;
/** Scripts that are written without spaces, or with endings right after a name. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}]/u;
const SPACE = String.raw`(?:[\s` + '\u00a0\u3000' + String.raw`]|\\[nrt])`;

const bare = (text: string): string => text.normalize('NFD').replaceAll(ACCENTS, '');

/** What all spellings of a text have in common: its letters in upper case without accents (of a Turkish ı and İ the I), in signs of one kind. */
function keyOf(text: string): string {
  const narrow = text.replaceAll(WIDE, (sign) => String.fromCharCode(sign.charCodeAt(0) - 0xfe_e0));
  return bare(bare(narrow).toUpperCase()).replaceAll(/[ØŁĐÐĦŦÆŒÞẞ]/g, (letter) => PLAIN[letter] ?? letter);
}

/** The letters of each key; not of Han and Hangul, which have neither case nor accents. */
function readLetters(): Map<string, string> {
  const letters = new Map<string, string>();
  for (const [from, to] of [
    [0x41, 0x33_ff],
    [0xa0_00, 0xab_ff],
    [0xfb_00, 0xff_dc],
  ] as const)
    for (let code = from; code <= to; code += 1) {
      const letter = String.fromCharCode(code);
      if (!/\p{L}/u.test(letter)) continue;
      const key = keyOf(letter);
      letters.set(key, (letters.get(key) ?? '') + letter);
    }
  return letters;
}
let letters: Map<string, string> | undefined;

const literal = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);

/** A sign that is written in one way, or as JSON has it. */
function sign(one: string): string {
  if (/["“”„]/.test(one)) return String.raw`(?:\\?["“”„])?`;
  if (/['’‘´`]/.test(one)) return "['’‘´`]";
  return one === '\\' ? String.raw`\\{1,2}` : literal(one);
}

/**
 * A word as a regular expression of Postgres: in any case, with or without its accents, in one sign or more (NFC, NFD), in a text or in JSON.
 */
export function spelled(word: string): string {
  letters ??= readLetters();
  const key = Array.from(keyOf(word));
  const one = (at: number): string => {
    const known = letters?.get(key[at] ?? '');
    return (known === undefined ? sign(key[at] ?? '') : `[${known}]`) + MARKS;
  };
  let pattern = '';
  for (let at = 0; at < key.length;) {
    const [length, other] = joined(key, at, letters);
    const apart = Array.from({ length }, (_, next) => one(at + next)).join('');
    pattern += other === null ? apart : `(?:${other}${MARKS}|${apart})`;
    at += length;
  }
  return pattern;
}

/** How many signs from a place on may also be one, and which. */
function joined(key: readonly string[], at: number, known: ReadonlyMap<string, string>): [number, string | null] {
  for (const length of [3, 2]) {
    const part = key.slice(at, at + length).join('');
    const syllable = part.normalize('NFC');
    if (/^[가-힣]$/.test(syllable) && at + length <= key.length) return [length, syllable];
    const found = known.get(part);
    if (found !== undefined && at + length <= key.length) return [length, `[${found}]`];
  }
  return [1, null];
}

/** A text without what stands around its letters and digits. */
export const trimmed = (text: string): string =>
  text.normalize('NFC').replaceAll(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}\p{M}]+$/gu, '');

/** Whether a text is of a script in which names are short, and end where the next word begins. */
export const isUnspaced = (text: string): boolean => UNSPACED.test(text);

// In JSON a line may begin with \n, of which the n is no part of a word; and what follows a backslash is not to be taken apart.
const START = String.raw`(?:(?<![\w\\])|(?<=\\[nrtbf]))`;
const END = String.raw`(?!\w)`;
const DIGITS_START = String.raw`(?:(?<![0-9A-Za-z\\])|(?<=\\[nrtbf]))`;
const DIGITS_END = '(?![0-9A-Za-z])';

/** A pattern of numbers, that are no part of a longer one or of an id. */
export const apart = (pattern: string): string => DIGITS_START + pattern + DIGITS_END;

/**
 * A pattern without what must stand around it, which finds more. Postgres tells much sooner that it is not in a text, since looking around keeps
 * it from reading the text just once: ask this first.
 */
export const loose = (pattern: string): string =>
  [START, END, DIGITS_START, DIGITS_END].reduce((text, around) => text.replaceAll(around, ''), pattern);

/** A name, an address or an id as a whole, words apart as they may be. Empty where there is nothing to look for. */
export function spelledWhole(text: string): string {
  const words = trimmed(text)
    .split(/\s+/)
    .filter((word) => word !== '');
  if (words.length === 0) return '';
  const isBare = isUnspaced(text);
  const whole = words.map(spelled).join(SPACE + (isBare ? '*' : '+'));
  return isBare ? whole : START + whole + END;
}
