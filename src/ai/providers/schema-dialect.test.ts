import { expect, test } from 'vitest';
import { inDialect } from '#src/ai/providers/schema-dialect.ts';

const takes = (keyword: string) =>
  ['type', 'properties', 'required', 'items', 'anyOf', 'enum', 'description', '$ref', '$defs'].includes(keyword);

test('keeps what is taken at every depth, says the rest in words, and does not touch the given schema', () => {
  const given = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: {
      minimum: { type: 'number', minimum: 0, maximum: 9, default: 1 },
      list: { type: 'array', items: { type: 'string', pattern: '^a', description: 'A word.' }, minItems: 2 },
      either: { oneOf: [{ const: null }, { $ref: '#/definitions/one', title: 'dropped beside a reference' }] },
      any: true,
    },
    required: ['list'],
    definitions: { one: { type: 'string', format: 'email' } },
    additionalProperties: false,
  };
  const before = structuredClone(given);
  expect(inDialect(given, takes)).toEqual({
    type: 'object',
    properties: {
      minimum: { type: 'number', description: '(minimum: 0, maximum: 9)' },
      list: {
        type: 'array',
        items: { type: 'string', description: 'A word.\n(pattern: "^a")' },
        description: '(minItems: 2)',
      },
      either: { anyOf: [{ enum: [null] }, { $ref: '#/$defs/one' }] },
      any: true,
    },
    required: ['list'],
    $defs: { one: { type: 'string', description: '(format: "email")' } },
    description: '(additionalProperties: false)',
  });
  expect(given).toEqual(before);
});

test('a constant stays where it is taken', () => {
  expect(inDialect({ const: 1 }, (keyword) => keyword === 'const')).toEqual({ const: 1 });
});
