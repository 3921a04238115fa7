import { isSupportedCountry, parsePhoneNumberFromString, type CountryCode } from 'libphonenumber-js/max';

/** What a phone number is taken for that says no country. */
export const DEFAULT_COUNTRY = 'BR';

/** ISO 3166-1 alpha-2, of a country whose numbers are known. */
export const isCountry = (text: string): text is CountryCode => isSupportedCountry(text);

/** Brazil's mobiles got a ninth digit, a 9 before the old eight that begin with 6 to 9 (Anatel, Resolução 553/2010). */
const BRAZIL_WITHOUT_NINTH = /^(\+55)([1-9]\d)([6-9]\d{7})$/;
const BRAZIL_WITH_NINTH = /^(\+55)([1-9]\d)9([6-9]\d{7})$/;

/**
 * Reads a phone number in any national or international spelling.
 * @param country ISO 3166-1 alpha-2, for numbers without a country code
 * @returns it in E.164, a Brazilian mobile always with its ninth digit; null for what is no number that can be called
 */
export function parsePhone(text: string, country: CountryCode = DEFAULT_COUNTRY): string | null {
  const parsed = parsePhoneNumberFromString(text.slice(0, 60), country);
  if (!parsed) return null;
  const number = canonicalPhone(parsed.number);
  return parsePhoneNumberFromString(number)?.isValid() ? number : null;
}

/** @returns the one form of a number in E.164 that is stored: a Brazilian mobile with its ninth digit */
export const canonicalPhone = (phone: string): string => phone.replace(BRAZIL_WITHOUT_NINTH, '$1$29$3');

/**
 * The forms under which one number is known: itself, and for a Brazilian mobile the form without the ninth digit, under which WhatsApp knows
 * older accounts. For finding people, never for sending: only the channel knows which form has an account.
 * @param phone in E.164 as `parsePhone` gives it
 */
export function phoneForms(phone: string): string[] {
  return BRAZIL_WITH_NINTH.test(phone) ? [phone, phone.replace(BRAZIL_WITH_NINTH, '$1$2$3')] : [phone];
}

/** @returns the phone number of a WhatsApp id (its digits, as in `5511987654321@c.us`), or null where it has none, as a `lid` */
export function phoneOfWaId(waId: string): string | null {
  const digits = /^(\d{7,15})(@(c\.us|s\.whatsapp\.net))?$/.exec(waId)?.[1];
  return digits === undefined ? null : parsePhone(`+${digits}`);
}
