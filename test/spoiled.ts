import * as fc from 'fast-check';

export type Json = Record<string, unknown>;

export const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
/** What stands at the end of a path of keys, where there is such a path. */
export const jsonAt = (value: unknown, ...keys: string[]): unknown =>
  keys.reduce<unknown>((at, key) => (isJson(at) ? at[key] : undefined), value);

const NASTY: unknown[] = [
  null,
  true,
  0,
  -1,
  0.5,
  1e308,
  Number.MAX_SAFE_INTEGER + 2,
  '',
  ' ',
  '\0',
  'a\0b',
  '\ud800',
  'emoji cut \ud83d',
  '\u202e',
  '1',
  '2026-02-30T25:00:00Z',
  '../../etc/passwd',
  '%00',
  "' or 1=1 --",
  '__proto__',
  'x'.repeat(20_001),
  [],
  {},
  [[]],
  { toString: 'x' },
  Array.from({ length: 101 }, () => 'a'),
];
export const nastyText = fc.constantFrom(...NASTY.filter((value) => typeof value === 'string'));
const deep = fc.integer({ min: 10, max: 3000 }).map((levels) => {
  let value: unknown = 1;
  for (let level = 0; level < levels; level += 1) value = level % 2 ? [value] : { a: value };
  return value;
});
/** What no field should be able to choke on. */
export const nasty: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...NASTY) },
  { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  { weight: 1, arbitrary: deep },
);
/** Puts a nasty value in place of one in a while. */
const spoiled = (good: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 25, arbitrary: good }, { weight: 1, arbitrary: nasty });

/** Where the schemas of a document stand, and the ids worth trying. */
export interface Surroundings {
  document: Json;
  ids: fc.Arbitrary<string>;
}

/** Values that fit a JSON Schema, each spoiled here and there. */
export function fitting(schema: unknown, around: Surroundings, depth = 0): fc.Arbitrary<unknown> {
  if (!isJson(schema) || depth > 6) return nasty;
  const { $ref: reference, type } = schema;
  if (typeof reference === 'string')
    return fitting(jsonAt(around.document, ...reference.split('/').slice(1)), around, depth + 1);
  const choices = schema['oneOf'] ?? schema['anyOf'];
  if (Array.isArray(choices)) return fc.oneof(...choices.map((choice: unknown) => fitting(choice, around, depth + 1)));
  if ('const' in schema) return spoiled(fc.constant(schema['const']));
  if (Array.isArray(schema['enum'])) return spoiled(fc.constantFrom(...(schema['enum'] as unknown[])));
  if (type === 'object') return spoiled(objectOf(schema, around, depth));
  if (type === 'array') {
    const minLength = Number(schema['minItems'] ?? 0);
    return spoiled(fc.array(fitting(schema['items'], around, depth + 1), { minLength, maxLength: minLength + 3 }));
  }
  if (type === 'integer' || type === 'number') {
    const min = Math.ceil(Number(schema['minimum'] ?? 0));
    const max = Math.floor(Math.min(Number(schema['maximum'] ?? 1000), 1_000_000));
    return spoiled(fc.integer({ min: Math.min(min, max) - 1, max: Math.max(min, max) + 1 }));
  }
  if (type === 'boolean') return spoiled(fc.boolean());
  if (type === 'string') return spoiled(textOf(schema, around));
  return nasty;
}

function textOf(schema: Json, { ids }: Surroundings): fc.Arbitrary<string> {
  if (schema['format'] === 'uuid') return ids;
  if (schema['format'] === 'email') return fc.emailAddress();
  const minLength = Math.min(Number(schema['minLength'] ?? 0), 50);
  const atLimit = Math.min(Number(schema['maxLength'] ?? 300), 21_000);
  return fc.oneof(
    { weight: 6, arbitrary: fc.string({ unit: 'binary', minLength, maxLength: minLength + 30 }) },
    { weight: 2, arbitrary: fc.constantFrom('pt-BR', 'friendly', 'local', 'rules', 'a long enough text') },
    { weight: 1, arbitrary: fc.constantFrom('é'.repeat(atLimit), 'é'.repeat(atLimit + 1)) },
  );
}

function objectOf(schema: Json, around: Surroundings, depth: number): fc.Arbitrary<unknown> {
  const properties = isJson(schema['properties']) ? schema['properties'] : {};
  const known = Object.fromEntries(
    Object.entries(properties).map(([key, item]) => [key, fitting(item, around, depth + 1)]),
  );
  const required = Array.isArray(schema['required']) ? schema['required'].map(String) : [];
  const good = fc.record(known, { requiredKeys: required.filter((key) => key in known) });
  const keys = fc.constantFrom('extra', '__proto__', 'constructor', '', 'a\0', '\ud800');
  return fc
    .tuple(good, fc.oneof({ weight: 12, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: keys }), nasty)
    .map(([value, key, extra]) =>
      key === null ? value : Object.fromEntries([...Object.entries(value), ['extra', 1], [key, extra]]),
    );
}
