type Schema = Record<string, unknown>;

const isObject = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function isOfType(value: unknown, type: unknown): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isObject(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}

/**
 * The first place where a JSON value leaves a JSON Schema, as a sentence; undefined where it fits. Checks `type`, `enum`, `const`, `required`,
 * `properties`, `additionalProperties: false` and `items`. Other keywords are not checked: `pattern` above all, since a client's regular
 * expression on a model's text could stop the process.
 */
export function shapeFault(value: unknown, schema: unknown, path = '$'): string | undefined {
  if (!isObject(schema)) return undefined;
  const { type } = schema;
  if (type !== undefined && !(Array.isArray(type) ? type : [type]).some((one) => isOfType(value, one))) {
    return `${path} must be of type ${JSON.stringify(type)}`;
  }
  if ('const' in schema && JSON.stringify(value) !== JSON.stringify(schema.const))
    return `${path} must be ${JSON.stringify(schema.const)}`;
  if (Array.isArray(schema.enum) && !schema.enum.some((one) => JSON.stringify(one) === JSON.stringify(value))) {
    return `${path} must be one of ${JSON.stringify(schema.enum).slice(0, 300)}`;
  }
  return isObject(value) ? objectFault(value, schema, path) : listFault(value, schema, path);
}

function objectFault(value: Schema, schema: Schema, path: string): string | undefined {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const required = Array.isArray(schema.required) ? schema.required : [];
  for (const key of required) {
    if (typeof key === 'string' && !Object.hasOwn(value, key)) return `${path}.${key} is missing`;
  }
  for (const [key, child] of Object.entries(value)) {
    if (!Object.hasOwn(properties, key)) {
      if (schema.additionalProperties === false) return `${path}.${key} is not asked for`;
      continue;
    }
    const fault = shapeFault(child, properties[key], `${path}.${key}`);
    if (fault) return fault;
  }
  return undefined;
}

function listFault(value: unknown, schema: Schema, path: string): string | undefined {
  if (!Array.isArray(value)) return undefined;
  for (const [at, child] of value.entries()) {
    const fault = shapeFault(child, schema.items, `${path}[${at}]`);
    if (fault) return fault;
  }
  return undefined;
}
