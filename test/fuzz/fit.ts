import * as fc from 'fast-check';
import { z } from 'zod';
import type { Random } from '#test/fuzz/random.ts';
import type { Words } from '#test/fuzz/words.ts';
import { isRecord } from '#src/lib/record.ts';

export type Json = Record<string, unknown>;

/** What values are made of; `root` is where the references of a schema lead. */
export interface Making {
  random: Random;
  words: Words;
  root: Json;
}

const DEEPEST = 8;
const LONGEST = 21_000;
const TEXTS = [
  'friendly',
  'Oi, tudo bem?',
  'Quanto custa?',
  'local',
  'pt-BR',
  'x',
  '🙂',
  'a long enough text',
] as const;
const UUIDS = ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'] as const;

/** The JSON Schema of what a zod schema takes in, so that every future schema can be read in the same few words. */
export function jsonSchemaOf(schema: unknown): Json | undefined {
  if (!(schema instanceof z.ZodType)) return undefined;
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
}

/** A value that fits a JSON Schema, as far as the schema tells. */
export function fit(schema: unknown, making: Making, name = '', depth = 0): unknown {
  if (!isRecord(schema) || depth > DEEPEST) return null;
  const { random } = making;
  const { $ref: reference, type } = schema;
  if (typeof reference === 'string') return fit(resolve(making.root, reference), making, name, depth + 1);
  if ('const' in schema) return schema['const'];
  if (Array.isArray(schema['enum'])) return random.pick(schema['enum']);
  const choices = schema['anyOf'] ?? schema['oneOf'];
  if (Array.isArray(choices)) return fit(random.pick(choices), making, name, depth + 1);
  if (Array.isArray(schema['allOf'])) {
    const parts = schema['allOf'].map((part: unknown) => fit(part, making, name, depth + 1));
    return parts.every(isRecord) ? Object.assign({}, ...parts) : parts[0];
  }
  if (type === 'object') return objectOf(schema, making, depth);
  if (type === 'array') return arrayOf(schema, making, name, depth);
  if (type === 'null') return null;
  if (type === 'boolean') return random.chance(0.5);
  const known = random.chance(0.4) ? making.words.recall(name, random) : undefined;
  if (type === 'string') return typeof known === 'string' ? known : textOf(schema, making, name);
  if (type === 'integer' || type === 'number') return typeof known === 'number' ? known : numberOf(schema, random);
  // Anything goes.
  return known ?? random.pick<unknown>([null, true, 7, 'text', [1, 'a'], { a: { b: [] } }]);
}

const resolve = (root: Json, reference: string): unknown =>
  reference
    .split('/')
    .slice(1)
    .reduce<unknown>((at, key) => (isRecord(at) ? at[key] : undefined), root);

function objectOf(schema: Json, making: Making, depth: number): Json {
  const { random } = making;
  const required: unknown[] = Array.isArray(schema['required']) ? schema['required'] : [];
  const properties = isRecord(schema['properties']) ? Object.entries(schema['properties']) : [];
  const made = properties
    .filter(([name]) => required.includes(name) || random.chance(0.4))
    .map(([name, property]): [string, unknown] => [name, fit(property, making, name, depth + 1)]);
  const { additionalProperties: others, propertyNames } = schema;
  if (isRecord(others)) {
    for (let count = random.int(3); count > 0; count -= 1) {
      const key = isRecord(propertyNames) ? fit(propertyNames, making, '', depth + 1) : random.pick(TEXTS);
      made.push([String(key), fit(others, making, '', depth + 1)]);
    }
  }
  return Object.fromEntries(made);
}

function arrayOf(schema: Json, making: Making, name: string, depth: number): unknown[] {
  const { prefixItems, items, minItems, maxItems } = schema;
  if (Array.isArray(prefixItems)) return prefixItems.map((item: unknown) => fit(item, making, name, depth + 1));
  const least = Number(minItems ?? 0);
  const length = Math.min(least + making.random.int(4), Number(maxItems ?? Infinity));
  return Array.from({ length: Math.min(length, 1000) }, () => fit(items, making, name, depth + 1));
}

function numberOf(schema: Json, random: Random): number {
  const isWhole = schema['type'] === 'integer';
  const least = Math.max(Number(schema['minimum'] ?? schema['exclusiveMinimum'] ?? -10), -Number.MAX_SAFE_INTEGER);
  const most = Math.min(Number(schema['maximum'] ?? schema['exclusiveMaximum'] ?? 1000), Number.MAX_SAFE_INTEGER);
  const between = least + (Math.max(most, least) - least) * (random.int(1001) / 1000);
  return random.one(
    [6, () => Math.min(Math.ceil(least) + random.int(20), most)],
    [2, () => (isWhole ? Math.round(between) : between)],
    [1, () => random.pick([least, most])],
  );
}

function textOf(schema: Json, { random, words }: Making, name: string): string {
  const { pattern } = schema;
  // What is trimmed or otherwise changed before it is checked has no format here, only a name.
  const format = schema['format'] ?? BY_NAME.find(([names]) => names.test(name))?.[1];
  if (typeof format === 'string' && format in FORMATS) return FORMATS[format]?.(random, words) ?? '';
  if (typeof pattern === 'string') return matching(pattern, random);
  const least = Math.min(Number(schema['minLength'] ?? 0), LONGEST);
  const most = Math.min(Number(schema['maxLength'] ?? 2000), LONGEST);
  const padded = (text: string) => text.padEnd(least, 'abc ').slice(0, Math.max(most, 1));
  return random.one(
    [12, () => padded(random.pick(TEXTS))],
    [2, () => padded('Ωß漢🙂é'.repeat(random.int(20) + 1))],
    [1, () => 'é'.repeat(random.pick([least, most]))],
  );
}

const instant = (random: Random) => new Date(Date.UTC(2020 + random.int(12), random.int(12), 1 + random.int(28)));

const FORMATS: Record<string, (random: Random, words: Words) => string> = {
  uuid: (random, words) =>
    random.one([6, () => String(words.recall('uuid', random) ?? UUIDS[0])], [1, () => random.pick(UUIDS)]),
  email: (random) => `fuzz-${random.int(1e9)}@example.com`,
  'date-time': (random) => instant(random).toISOString(),
  date: (random) => instant(random).toISOString().slice(0, 10),
  time: () => '12:30:00',
  phone: (random) => `+55119${10_000_000 + random.int(80_000_000)}`,
  duration: () => 'P1D',
  uri: (random) => random.pick(['https://example.com/a?b=c#d', 'http://127.0.0.1:1/', 'https://[::1]/']),
  ipv4: () => '192.0.2.1',
  ipv6: () => '2001:db8::1',
};

const BY_NAME: [names: RegExp, format: string][] = [
  [/e-?mail$/i, 'email'],
  [/ur[il]$/i, 'uri'],
  [/(?:At|date)$/, 'date-time'],
  [/phone/i, 'phone'],
];

const samples = new Map<string, string[]>();

/** A text that a pattern matches; a pattern that nobody can invert gets any text. */
function matching(pattern: string, random: Random): string {
  let found = samples.get(pattern);
  if (!found) {
    try {
      found = fc.sample(fc.stringMatching(new RegExp(pattern, 'u')), { numRuns: 20, seed: 1 });
    } catch {
      found = [...TEXTS];
    }
    samples.set(pattern, found);
  }
  return random.pick(found) ?? '';
}
