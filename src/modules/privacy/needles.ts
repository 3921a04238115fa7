import { canonicalPhone, phoneForms, phoneOfWaId } from '#src/modules/contacts/phone.ts';

/** What is known of a person that could stand in a text. */
export interface Person {
  names: string[];
  emails: string[];
  /** Numbers in E.164. */
  phones: string[];
  /** Other ids under which channels and other systems know them. */
  handles: string[];
}

/** Regular expressions of Postgres, for `~*`; null where there is nothing to look for. */
export interface Needles {
  /** Names, addresses and ids. */
  words: string | null;
  /** Numbers; apart, since in JSON one may stand without quotes. */
  digits: string | null;
}

const ACCENTED: Record<string, string> = {
  a: 'aàáâãäåāăą',
  c: 'cçćč',
  d: 'dďđ',
  e: 'eèéêëēęě',
  g: 'gğ',
  i: 'iìíîïī',
  l: 'lł',
  n: 'nñńň',
  o: 'oòóôõöøō',
  r: 'rř',
  s: 'sśşš',
  t: 'tť',
  u: 'uùúûüūů',
  y: 'yýÿ',
  z: 'zźżž',
};
const MARKS = '[\u0300-\u036f]*';

const literal = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);

/** A word in any case, with or without its accents, in one sign or two. */
function spelled(text: string): string {
  const plain = text.normalize('NFD').replaceAll(/\p{M}/gu, '').toLowerCase();
  return Array.from(plain)
    .map((sign) => {
      if (/\s/.test(sign)) return '';
      const both = ACCENTED[sign];
      if (both === undefined) return sign === sign.toUpperCase() ? literal(sign) : `[${sign}${sign.toUpperCase()}]`;
      return `[${both}${both.toUpperCase()}]${MARKS}`;
    })
    .join('');
}

const named = (name: string): string =>
  name
    .trim()
    .split(/\s+/)
    .map(spelled)
    .filter((part) => part !== '')
    .join(String.raw`\s+`);

/** Words of a name that alone say little. */
const SMALL = new Set(['das', 'dos', 'del', 'van', 'von', 'der', 'the', 'and']);

/** A number as people write it: with signs between its digits, or none; never as a part of a longer one, or of an id. */
const dialled = (digits: string): string => `\\+?\\(?${digits.split('').join(String.raw`[\s().\-]{0,3}`)}`;

const either = (parts: readonly string[], before: string, after: string): string | null => {
  const all = [...new Set(parts)].filter((part) => part !== '').toSorted((a, b) => b.length - a.length);
  return all.length === 0 ? null : `(?<!${before})(?:${all.join('|')})(?!${after})`;
};

/**
 * What to look for to find a person in texts, in every spelling: names and addresses in any case, with or without accents; numbers with and
 * without the country, Brazil's also without the ninth digit.
 * @param isTheirs whether the texts are about them, so that a single name in them is theirs; elsewhere it may be anybody's
 */
export function needlesOf({ names, emails, phones, handles }: Person, isTheirs: boolean): Needles {
  const whole = names.filter((name) => name.trim().length >= 3 && (isTheirs || /\S\s+\S|\S{6}/.test(name.trim())));
  const parts = isTheirs ? names.flatMap((name) => name.trim().split(/\s+/)) : [];
  const single = parts.filter((part) => part.length >= 3 && !SMALL.has(part.toLowerCase()));
  const words = [...whole.map(named), ...single.map(named), ...emails.map((one) => spelled(one.trim()))];
  const known = handles.filter((one) => one.length >= 5);
  const ids = known.filter((one) => /\D/.test(one)).map(spelled);
  const numbers = phones.flatMap((phone) => phoneForms(canonicalPhone(phone))).map((phone) => phone.slice(1));
  const national = numbers.flatMap((digits) => (/^55\d{10,11}$/.test(digits) ? [digits.slice(2)] : []));
  return {
    words: either([...words, ...ids], String.raw`\w`, String.raw`\w`),
    digits: either(
      [...[...numbers, ...national].map(dialled), ...known.filter((one) => !/\D/.test(one))],
      '[0-9A-Za-z]',
      '[0-9A-Za-z]',
    ),
  };
}

/** The numbers of a person among what they are known by. */
export function phonesOf(known: readonly { kind: string; value: string }[], phone: string | null): string[] {
  const found = known.flatMap(({ kind, value }) => {
    if (kind === 'phone') return [value];
    const ofWa = kind === 'wa_id' ? phoneOfWaId(value) : null;
    return ofWa === null ? [] : [ofWa];
  });
  return [...new Set([...(phone === null ? [] : [phone]), ...found].map(canonicalPhone))];
}
