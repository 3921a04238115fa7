type Schema = Record<string, unknown>;

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Makes a JSON schema one that OpenAI's strict mode takes: every object closed and every property required, `oneOf` as `anyOf`. An
 * answer to the strict schema also meets the given one.
 * @returns undefined where strict mode cannot say the schema (a root that is no object, or an object with free keys).
 */
export function strictSchema(schema: Schema): Schema | undefined {
  if (schema['type'] !== 'object') return undefined;
  try {
    return close(schema);
  } catch (error) {
    if (error instanceof FreeKeys) return undefined;
    throw error;
  }
}

class FreeKeys extends Error {}

function close(schema: Schema): Schema {
  const closed: Schema = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key === '$schema' || key === 'default') continue;
    closed[key === 'oneOf' ? 'anyOf' : key] = closeUnder(key, value);
  }
  const properties = closed['properties'];
  const isObject = closed['type'] === 'object' || isSchema(properties);
  if (!isObject) return closed;
  if (isSchema(schema['additionalProperties']) || schema['patternProperties'] || !isSchema(properties))
    throw new FreeKeys();
  return { ...closed, additionalProperties: false, required: Object.keys(properties) };
}

function closeUnder(key: string, value: unknown): unknown {
  switch (key) {
    case 'properties':
    case '$defs':
    case 'definitions':
      return isSchema(value)
        ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, isSchema(one) ? close(one) : one]))
        : value;
    case 'items':
      return isSchema(value) ? close(value) : value;
    case 'anyOf':
    case 'oneOf':
    case 'allOf':
    case 'prefixItems':
      return Array.isArray(value) ? value.map((one: unknown) => (isSchema(one) ? close(one) : one)) : value;
    default:
      return value;
  }
}
