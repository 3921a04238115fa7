type Schema = Record<string, unknown>;

/** Whether a vendor's API takes a keyword of JSON Schema (2020-12) with this value. */
export type SchemaDialect = (keyword: string, value: unknown) => boolean;

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * A schema in the part of JSON Schema that a vendor takes: most answer a keyword they do not know with a 400. What is left out is said in
 * the description, where the model reads it; answers are checked against the whole schema anyway. Does not touch the given schema.
 */
export function inDialect(schema: Schema, takes: SchemaDialect): Schema {
  const said: Schema = {};
  const lost: string[] = [];
  for (const [given, value] of Object.entries(schema)) {
    const [key, one] = renamed(given, value, takes);
    if (takes(key, one)) said[key] = under(key, one, takes);
    else if (key !== '$schema' && key !== 'default') lost.push(`${key}: ${JSON.stringify(one)}`);
  }
  // Beside a reference nothing may stand.
  if (lost.length === 0 || '$ref' in said) return said;
  const before = typeof said['description'] === 'string' ? `${said['description']}\n` : '';
  return { ...said, description: `${before}(${lost.join(', ')})` };
}

/** The same in words that more vendors know: an answer that meets one `anyOf` of exclusive choices meets the `oneOf`. */
function renamed(key: string, value: unknown, takes: SchemaDialect): [string, unknown] {
  if (key === 'oneOf') return ['anyOf', value];
  if (key === 'definitions') return ['$defs', value];
  if (key === 'const' && !takes('const', value)) return ['enum', [value]];
  if (key === '$ref' && typeof value === 'string') return ['$ref', value.replace(/^#\/definitions\//, '#/$defs/')];
  return [key, value];
}

function under(key: string, value: unknown, takes: SchemaDialect): unknown {
  switch (key) {
    case 'properties':
    case '$defs':
      return isSchema(value)
        ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, nested(one, takes)]))
        : value;
    case 'items':
    case 'additionalProperties':
      return nested(value, takes);
    case 'anyOf':
    case 'allOf':
    case 'prefixItems':
      return Array.isArray(value) ? value.map((one: unknown) => nested(one, takes)) : value;
    default:
      return value;
  }
}

const nested = (value: unknown, takes: SchemaDialect): unknown => (isSchema(value) ? inDialect(value, takes) : value);

/** Asks for JSON in words, where the API cannot be asked for this schema. */
export const schemaInWords = (schema: Schema): string =>
  `Answer only with JSON that meets this JSON schema: ${JSON.stringify(schema)}`;
