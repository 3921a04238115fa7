/** What JSON can hold. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const REDACTED = '[redacted]';
const MAX_DEPTH = 8;
const MAX_NODES = 2000;
const MAX_TEXT = 1000;
/** Texts are searched this far; what is beyond is dropped unseen. */
const MAX_SEARCHED = 8000;

const SECRET_PARTS = /passw|passphrase|secret|token|credential|authoriz|cookie|signature|bearer|recovery|apikey/;
const SECRET_WORDS = new Set([
  'key',
  'keys',
  'hash',
  'seed',
  'salt',
  'pin',
  'otp',
  'totp',
  'cvv',
  'cvc',
  'pass',
  'pwd',
  'jwt',
]);
const CONTACT_WORDS = new Set([
  'phone',
  'phones',
  'mobile',
  'whatsapp',
  'telefone',
  'celular',
  'tel',
  'msisdn',
  'cpf',
  'cnpj',
  'rg',
]);

/** Ids and times are kept whole, and so come first; then addresses, then runs of digits long enough to call somebody or be a CPF. */
const FOUND = new RegExp(
  [
    '(?<kept>\\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\\b|(?<!\\d)(?:19|20)\\d\\d-[01]\\d-[0-3]\\d(?:T\\d\\d:\\d\\d(?::\\d\\d(?:\\.\\d{1,9})?)?(?:Z|[+-]\\d\\d:?\\d\\d)?)?(?!\\d))',
    '(?<email>[^\\s@<>"\'(),;:]{1,64}@[^\\s@<>"\'(),;]{1,255})',
    '(?<digits>\\+?\\(?\\d(?:[\\s().\\-/]{0,3}\\d){7,30})',
  ].join('|'),
  'giu',
);

/**
 * A copy of any value that may be kept and shown: secrets are gone, by the name of their field; e-mail addresses, phone numbers and CPFs
 * are masked wherever they stand (`a***@example.com`, `***21`). Cycles, depth and size are cut, so it always ends and is always JSON.
 */
export function redact(value: unknown): Json {
  const state = { left: MAX_NODES, parents: new Set<object>() };
  return redactValue(value, state, 0);
}

interface State {
  left: number;
  parents: Set<object>;
}

function redactValue(value: unknown, state: State, depth: number): Json {
  if (value === null || value === undefined || typeof value === 'boolean') return value ?? null;
  if (typeof value === 'string') return maskText(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (typeof value === 'bigint') return maskText(String(value));
  if (typeof value !== 'object') return null;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (state.parents.has(value)) return '[circular]';
  if (depth >= MAX_DEPTH) return '[deep]';
  state.parents.add(value);
  const copy = Array.isArray(value) ? redactList(value, state, depth) : redactFields(value, state, depth);
  state.parents.delete(value);
  return copy;
}

function redactList(list: unknown[], state: State, depth: number): Json[] {
  const copy: Json[] = [];
  for (const item of list) {
    if (state.left <= 0) {
      copy.push('[more]');
      break;
    }
    state.left -= 1;
    copy.push(redactValue(item, state, depth + 1));
  }
  return copy;
}

function redactFields(fields: object, state: State, depth: number): { [key: string]: Json } {
  const entries: [string, Json][] = [];
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined || typeof value === 'function' || typeof value === 'symbol') continue;
    if (state.left <= 0) {
      entries.push(['[more]', true]);
      break;
    }
    state.left -= 1;
    entries.push([maskText(key), redactField(key, value, state, depth)]);
  }
  return Object.fromEntries(entries);
}

function redactField(key: string, value: unknown, state: State, depth: number): Json {
  // Whether a secret is set may be told.
  if (value === null || typeof value === 'boolean') return value;
  const words = wordsOf(key);
  if (SECRET_PARTS.test(words.join('')) || words.some((word) => SECRET_WORDS.has(word))) return REDACTED;
  const isText = typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint';
  if (isText && words.some((word) => CONTACT_WORDS.has(word))) return maskDigits(String(value));
  return redactValue(value, state, depth + 1);
}

const wordsOf = (key: string): string[] =>
  key
    .slice(0, 200)
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter(Boolean);

/** A text with the contact data in it masked, cut to 1000 characters, and safe for Postgres. */
export function maskText(text: string): string {
  let seen = text.toWellFormed().replaceAll('\0', '');
  if (seen.length > MAX_SEARCHED) {
    // What is cut in the middle could no longer be recognised: the last word goes too.
    seen = seen.slice(0, MAX_SEARCHED).toWellFormed();
    seen = seen.slice(0, Math.max(seen.lastIndexOf(' '), 0));
  }
  const masked = seen.replaceAll(FOUND, (found, kept?: string, email?: string) => {
    if (kept !== undefined) return found;
    return email === undefined ? maskDigits(found) : maskEmail(found);
  });
  const isCut = masked.length > MAX_TEXT || text.length > MAX_SEARCHED;
  return isCut ? `${masked.slice(0, MAX_TEXT).toWellFormed()}…` : masked;
}

const maskEmail = (email: string): string => `${/^./u.exec(email)?.[0] ?? ''}***${email.slice(email.lastIndexOf('@'))}`;

function maskDigits(text: string): string {
  const digits = text.replaceAll(/\D/g, '');
  return digits.length > 4 ? `***${digits.slice(-2)}` : '***';
}
