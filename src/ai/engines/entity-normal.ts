import { sameness } from '#src/ai/engines/answer-text.ts';

export const ENTITY_TYPES = [
  'person',
  'email',
  'phone',
  'company',
  'date',
  'money',
  'document',
  'address',
  'url',
] as const;
export type EntityType = (typeof ENTITY_TYPES)[number];

const digitsOf = (text: string): string => text.replaceAll(/\D/gu, '');
const MIN_PHONE_DIGITS = 8;
const E164 = /^\+[1-9]\d{7,14}$/u;
const ISO_DATE =
  /^\d{4}-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12]\d|3[01])(?:T\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?)?)?$/u;
const MULTIPLE = /\d\s*(?:k\b|mil|mi\b|bi|thousand|million)/iu;
const MONEY = /^[A-Z]{3} \d+(?:\.\d{1,2})?$/u;

/** Whether the digits of a normal form are those the text has, so that a model cannot change a number while spelling it anew. */
function keepsDigits(value: string, written: string): boolean {
  const own = digitsOf(value).replace(/^0+/u, '');
  return own.length >= MIN_PHONE_DIGITS ? digitsOf(written).endsWith(own.slice(-MIN_PHONE_DIGITS)) : false;
}

const whole = (digits: string): string => digits.replace(/^0+/u, '');
const significant = (digits: string): string => whole(digits).replace(/0+$/u, '');

function isSameAmount(value: string, written: string): boolean {
  const [units = '', cents = ''] = written.slice(4).split('.');
  const own = whole(digitsOf(value));
  // "Cinquenta reais" has no digits to be kept.
  if (!/\d/u.test(value)) return true;
  // "5 mil", "R$ 1,5 milhão", "20k": the digits agree but for zeros at their end.
  if (MULTIPLE.test(value)) {
    return own !== '' && significant(own) === significant(units + cents);
  }
  return own === whole(units) || own === whole(units + cents.padEnd(2, '0'));
}

function phoneOf(value: string, written: string): string {
  if (E164.test(written) && keepsDigits(value, written)) return written;
  const digits = digitsOf(value);
  return `${value.trim().startsWith('+') ? '+' : ''}${digits}` || value;
}

function urlOf(value: string): string {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:/iu.test(value) ? value : `https://${value}`);
  return url?.href ?? value;
}

/**
 * One spelling for all that mean the same. What a model wrote counts only where it has the form and the digits of the text; otherwise the form
 * is computed where it can be, or is the value as it stands.
 * @param value as the text has it
 * @param written the normal form a model or a rule gave
 */
export function normalizedOf(type: EntityType, value: string, written = ''): string {
  switch (type) {
    case 'email':
      return value.toLowerCase();
    case 'phone':
      return phoneOf(value, written);
    case 'document':
      return value.replaceAll(/[^\p{L}\p{N}]/gu, '').toUpperCase() || value;
    case 'url':
      return urlOf(value);
    case 'date':
      return ISO_DATE.test(written) ? written : value;
    case 'money':
      return MONEY.test(written) && isSameAmount(value, written) ? written : value;
    case 'person':
    case 'company':
    case 'address':
      return (sameness(written) === sameness(value) ? written : value).trim().replaceAll(/\s+/gu, ' ');
    default:
      return type satisfies never;
  }
}
