import { canonicalPhone, phoneForms, phoneOfWaId } from '#src/modules/contacts/phone.ts';
import { apart, isUnspaced, spelledWhole, trimmed } from '#src/modules/privacy/spelling.ts';

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

/** Words of a name that alone say little. */
const SMALL = new Set(['das', 'dos', 'del', 'van', 'von', 'der', 'the', 'and']);

/** A number as people write it: with signs between its digits, or none; never as a part of a longer one, or of an id. */
const dialled = (digits: string): string => `\\+?\\(?${digits.split('').join(String.raw`[\s().\-]{0,3}`)}`;

const either = (parts: readonly string[]): string | null => {
  const all = [...new Set(parts)].filter((part) => part !== '').toSorted((a, b) => b.length - a.length);
  return all.length === 0 ? null : `(?:${all.join('|')})`;
};

/** Whether a whole name is one person's: two words, or a long one; a short one is anybody's, but where names are written in one. */
const isTelling = (name: string): boolean => /\S\s+\S|\S{6}/.test(name) || (isUnspaced(name) && name.length >= 3);

/**
 * What to look for to find a person in texts, in every spelling: names and addresses in any case, with or without accents; numbers with and
 * without the country, Brazil's also without the ninth digit.
 * @param isTheirs whether the texts are about them, so that a single name in them is theirs; elsewhere it may be anybody's
 */
export function needlesOf({ names, emails, phones, handles }: Person, isTheirs: boolean): Needles {
  const known = names.map(trimmed);
  const whole = known.filter((name) => (name.length >= 3 || isUnspaced(name)) && (isTheirs || isTelling(name)));
  const parts = isTheirs ? known.flatMap((name) => name.split(/\s+/)).map(trimmed) : [];
  const single = parts.filter((part) => part.length >= (isUnspaced(part) ? 2 : 3) && !SMALL.has(part.toLowerCase()));
  const ids = handles.filter((one) => one.length >= 5);
  const numbers = phones.flatMap((phone) => phoneForms(canonicalPhone(phone))).map((phone) => phone.slice(1));
  const national = numbers.flatMap((digits) => (/^55\d{10,11}$/.test(digits) ? [digits.slice(2)] : []));
  const digits = either([...[...numbers, ...national].map(dialled), ...ids.filter((one) => !/\D/.test(one))]);
  return {
    words: either([...whole, ...single, ...emails, ...ids.filter((one) => /\D/.test(one))].map(spelledWhole)),
    digits: digits === null ? null : apart(digits),
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
