import { hash, sentenceFor } from './answer.ts';

type Schema = Record<string, unknown>;

interface Place {
  root: Schema;
  prompt: string;
  name: string;
  turn: number;
  depth: number;
}

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const schemas = (value: unknown): Schema[] => (Array.isArray(value) ? value.filter(isSchema) : []);
const number = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);

/** A value that meets the JSON schema, the same for the same prompt; texts are in the language of the prompt. */
export function instanceOf(schema: Schema, prompt: string): unknown {
  return make(schema, { root: schema, prompt, name: '', turn: 0, depth: 0 });
}

function make(schema: Schema, place: Place): unknown {
  if (place.depth > 32) return null;
  const deeper = { ...place, depth: place.depth + 1 };
  if (typeof schema['$ref'] === 'string') return make(resolve(schema['$ref'], place.root), deeper);
  if ('const' in schema) return schema['const'];
  if (Array.isArray(schema['enum']))
    return schema['enum'][hash(place.prompt + place.name + place.turn) % schema['enum'].length];
  const parts = schemas(schema['allOf']);
  if (parts.length > 0) return make(merge(schema, parts), deeper);
  const choices = [...schemas(schema['anyOf']), ...schemas(schema['oneOf'])];
  const choice = choices.find((one) => one['type'] !== 'null') ?? choices[0];
  if (choice) return make(choice, deeper);
  switch (typeOf(schema)) {
    case 'object':
      return makeObject(schema, deeper);
    case 'array':
      return makeArray(schema, deeper);
    case 'number':
      return makeNumber(schema, false);
    case 'integer':
      return makeNumber(schema, true);
    case 'boolean':
      return hash(place.prompt + place.name) % 2 === 0;
    case 'null':
      return null;
    default:
      return makeText(schema, place);
  }
}

function typeOf(schema: Schema): unknown {
  const type = schema['type'];
  if (Array.isArray(type)) return type.find((one) => one !== 'null') ?? 'null';
  return type ?? (isSchema(schema['properties']) ? 'object' : isSchema(schema['items']) ? 'array' : 'string');
}

function resolve(ref: string, root: Schema): Schema {
  let at: unknown = root;
  for (const step of ref.replace(/^#\/?/, '').split('/').filter(Boolean)) {
    at = isSchema(at) ? at[decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')] : undefined;
  }
  return isSchema(at) ? at : {};
}

function merge(schema: Schema, parts: Schema[]): Schema {
  const { allOf: _, ...merged } = schema;
  const properties: Schema = {};
  for (const part of [merged, ...parts]) {
    if (isSchema(part['properties'])) Object.assign(properties, part['properties']);
    Object.assign(merged, part);
  }
  return Object.keys(properties).length > 0 ? { ...merged, properties } : merged;
}

function makeObject(schema: Schema, place: Place): Schema {
  const properties = isSchema(schema['properties']) ? Object.entries(schema['properties']) : [];
  return Object.fromEntries(
    properties.map(([name, one]) => [name, make(isSchema(one) ? one : {}, { ...place, name })]),
  );
}

function makeArray(schema: Schema, place: Place): unknown[] {
  const items = isSchema(schema['items']) ? schema['items'] : {};
  const first = schemas(schema['prefixItems']).map((one, turn) => make(one, { ...place, turn }));
  const length = Math.max(number(schema['minItems']) ?? Math.min(2, number(schema['maxItems']) ?? 2), first.length);
  const rest = Array.from({ length: length - first.length }, (_, at) =>
    make(items, { ...place, turn: place.turn * 7 + first.length + at }),
  );
  return [...first, ...rest];
}

function makeNumber(schema: Schema, whole: boolean): number {
  const step = number(schema['multipleOf']);
  const above = number(schema['exclusiveMinimum']);
  const below = number(schema['exclusiveMaximum']);
  const unit = whole ? 1 : 1e-6;
  const low = number(schema['minimum']) ?? (above === undefined ? undefined : above + unit);
  const high = number(schema['maximum']) ?? (below === undefined ? undefined : below - unit);
  const from = low ?? Math.min(0, high ?? 0);
  // Zod marks plain integers with the safe-integer bounds; the middle of those is no sensible answer.
  const to = Math.min(high ?? from + 1, from > -1e9 ? from + 1e6 : 1e6);
  const wish = from <= -1e9 ? 1 : from + (to - from) * 0.8;
  const value = whole ? Math.floor(wish) : Math.round(wish * 1e6) / 1e6;
  const fit = Math.max(value, whole ? Math.ceil(from) : from);
  return step ? Math.ceil(from / step) * step : fit;
}

const FORMATS: Record<string, string> = {
  'date-time': '2026-11-23T12:00:00Z',
  date: '2026-11-23',
  time: '12:00:00Z',
  email: 'ana@example.com',
  uri: 'https://example.com/',
  uuid: '018f3f5e-7c1a-7b3e-8f4a-0123456789ab',
};

function makeText(schema: Schema, place: Place): string {
  const format = FORMATS[String(schema['format'])];
  if (format) return format;
  if (/^(language|.*Language|locale)$/.test(place.name)) return 'pt-BR';
  const least = number(schema['minLength']) ?? 0;
  const most = number(schema['maxLength']) ?? Infinity;
  const round = Math.floor(place.turn / 12);
  const text = sentenceFor(place.prompt, hash(place.name) + place.turn) + (round > 0 ? ` (${round + 1})` : '');
  return text.padEnd(least, '.').slice(0, most);
}
