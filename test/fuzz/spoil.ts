import type { Random } from '#test/fuzz/random.ts';
import { isRecord } from '#src/lib/record.ts';

const deep = (levels: number): unknown => {
  let value: unknown = 1;
  for (let level = 0; level < levels; level += 1) value = level % 2 ? [value] : { a: value };
  return value;
};

const NASTY_TEXTS = [
  '',
  ' ',
  '\0',
  'a\0b',
  '\ud800',
  'an emoji cut \ud83d',
  '\udfff\ud800',
  '\u202e',
  '\ufeff',
  '1',
  'NaN',
  '2026-02-30T25:00:00Z',
  '../../etc/passwd',
  '%00',
  "' or 1=1 --",
  '${7*7}',
  '__proto__',
  'İ@x.co',
  'null',
  'x'.repeat(20_001),
  'Ω'.repeat(5000),
] as const;

const NASTY = [
  ...NASTY_TEXTS,
  null,
  true,
  0,
  -1,
  0.5,
  1e308,
  -1e308,
  2 ** 31,
  2 ** 53 + 2,
  -(2 ** 63),
  [],
  {},
  [[]],
  [null],
  { toString: 'x' },
  { length: 1e9 },
  { $ne: null },
  Object.fromEntries([['__proto__', { isAdmin: true }]]),
  { constructor: { prototype: { isAdmin: true } } },
  Array.from({ length: 1001 }, () => 'a'),
  Object.fromEntries(Array.from({ length: 1001 }, (_, index) => [`key${index}`, index])),
] as const;

const KEYS = [
  'extra',
  '__proto__',
  'constructor',
  'prototype',
  'hasOwnProperty',
  'id',
  'workspaceId',
  '',
  'a\0',
  '\ud800',
];

export const nastyText = (random: Random): string => random.pick(NASTY_TEXTS);
/** What no field should be able to choke on. */
export const nasty = (random: Random): unknown =>
  random.one([12, (): unknown => random.pick(NASTY)], [1, () => deep(random.pick([10, 60, 70, 500]))]);

type Place = [holder: Record<string, unknown> | unknown[], key: string | number];

function placesIn(value: unknown, found: Place[] = []): Place[] {
  if (found.length > 200) return found;
  if (Array.isArray(value)) {
    value.slice(0, 20).forEach((item, index) => {
      found.push([value, index]);
      placesIn(item, found);
    });
  } else if (isRecord(value)) {
    for (const [key, item] of Object.entries(value)) {
      found.push([value, key]);
      placesIn(item, found);
    }
  }
  return found;
}

/** Spoils a value in one place: something wrong, missing, doubled, wrapped or extra. @returns a copy */
export function spoil(value: unknown, random: Random): unknown {
  const copy: unknown = structuredClone(value);
  const place = random.pick(placesIn(copy));
  if (!place || random.chance(0.06)) return nasty(random);
  const [holder, key] = place;
  const at: unknown = Reflect.get(holder, key);
  const put = (item: unknown): void => void Reflect.set(holder, key, item);
  random.one(
    [8, () => put(nasty(random))],
    [3, () => void Reflect.deleteProperty(holder, key)],
    [3, () => addKey(isRecord(at) ? at : holder, random)],
    [1, () => put([at])],
    [1, () => put({ value: at })],
    [2, () => put(typeof at === 'string' ? spoilText(at, random) : (JSON.stringify(at) ?? ''))],
    [1, () => put(Array.isArray(at) ? Array.from({ length: 300 }, () => at).flat() : nasty(random))],
    [1, () => put(typeof at === 'number' ? random.pick([at + 0.5, -at, at * 1e6, 1e21]) : null)],
  );
  return copy;
}

function addKey(holder: object, random: Random): void {
  if (Array.isArray(holder)) return void holder.push(nasty(random));
  // Defined, not assigned: `__proto__` has to be a key like any other on its way out.
  const options = { value: nasty(random), enumerable: true, configurable: true, writable: true };
  Object.defineProperty(holder, random.pick(KEYS) ?? 'extra', options);
}

function spoilText(text: string, random: Random): string {
  const cut = random.int(text.length + 1);
  const put = (what: string) => text.slice(0, cut) + what + text.slice(cut);
  return random.one(
    [1, () => put('\0')],
    [1, () => put('\ud83d')],
    [1, () => put(nastyText(random))],
    [1, () => text.slice(0, cut)],
    [1, () => text.toUpperCase()],
    [1, () => ` ${text}\n`],
    [1, () => text.repeat(50)],
  );
}

/** The bytes of a body spoiled as text: no longer JSON, or JSON that readers disagree about. */
export function spoilJson(json: string, random: Random): string | Buffer {
  const put = (what: string) => json.replace(/^\{/, `{${what}${json === '{}' ? '' : ','}`);
  const at = random.int(json.length + 1);
  return random.one<string | Buffer>(
    [6, () => json.slice(0, at)],
    [2, () => put(random.pick(['"a":1,"a":2', '"__proto__":{"a":1}', '"constructor":{"prototype":1}']))],
    [3, () => put(`"n":${random.pick(['NaN', '1e999', '-1e999', 'Infinity', '01', '0x1', '1e-999', '-'])}`)],
    [2, () => json.replace(/:("[^"]*"|\d+)/, random.pick([':1e999', ':NaN', ':undefined', ":'x'", ':"\\ud800"']))],
    [1, () => `\ufeff${json}`],
    [1, () => `${json}${random.pick(['x', '{}', '\0', ',', ' // end'])}`],
    [
      2,
      () =>
        Buffer.concat([
          Buffer.from(json.slice(0, at)),
          Buffer.from([0xff, 0xc0, 0xaf, 0xed, 0xa0]),
          Buffer.from(json.slice(at)),
        ]),
    ],
    [1, () => Buffer.from(json, 'utf16le')],
    [1, () => random.pick(['', ' ', 'null', '[]', '""', '0', '\0', 'undefined', '<a/>', 'a=1&b=2'])],
    [1, () => '['.repeat(5000)],
    [1, () => `${'{"a":['.repeat(1500)}1${']}'.repeat(1500)}`],
  );
}
