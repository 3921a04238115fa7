import { z } from 'zod';
import { EVENT_TYPES, EVENTS, isLiveOnly, isPersonal, type EventType } from '#src/events/catalog.ts';
import { isRecord } from '#src/lib/record.ts';
import { newestVersion, VERSIONS } from '#src/modules/webhooks/payload.ts';
import type { WebhookEventsView } from '#src/modules/webhooks/webhooks.schemas.ts';

const ID = '01930000-0000-7000-8000-000000000001';
const AT = '2026-11-26T12:00:00.000Z';
const FORMATS: Record<string, string> = {
  uuid: ID,
  'date-time': AT,
  date: AT.slice(0, 10),
  email: 'ana@example.com',
  uri: 'https://example.com/',
};

const first = (value: unknown): unknown => (Array.isArray(value) ? value[0] : undefined);

/** A value that fits a JSON Schema as zod writes it. */
export function exampleOf(schema: unknown): unknown {
  if (!isRecord(schema)) return {};
  const { type, properties, items, format } = schema;
  if ('const' in schema) return schema['const'];
  for (const choice of ['examples', 'enum']) if (Array.isArray(schema[choice])) return first(schema[choice]);
  for (const choice of ['anyOf', 'oneOf', 'allOf'])
    if (Array.isArray(schema[choice])) return exampleOf(first(schema[choice]));
  if (type === 'object' && isRecord(properties))
    return Object.fromEntries(Object.entries(properties).map(([name, of]) => [name, exampleOf(of)]));
  if (type === 'object') return {};
  if (type === 'array') return items === undefined ? [] : [exampleOf(items)];
  if (type === 'string') return FORMATS[String(format)] ?? 'example';
  if (type === 'boolean') return true;
  if (type === 'number' || type === 'integer') return Math.max(1, Number(schema['minimum'] ?? 1));
  return null;
}

function entryOf(type: EventType) {
  const { description, data } = EVENTS[type];
  const { $schema: _, ...schema } = z.toJSONSchema(data, { io: 'output' });
  const example = {
    type,
    timestamp: AT,
    workspaceId: ID,
    version: newestVersion(),
    sequence: 1,
    data: exampleOf(schema),
  };
  return { type, description, schema, example };
}

let catalogue: z.infer<typeof WebhookEventsView> | undefined;

/** Every event a webhook can get, with what it says: made of the catalogue's own schemas, so it cannot say anything else. */
export function eventCatalogue(): z.infer<typeof WebhookEventsView> {
  return (catalogue ??= {
    versions: VERSIONS.map(({ name }) => name),
    data: EVENT_TYPES.filter((type) => !isPersonal(type) && !isLiveOnly(type)).map(entryOf),
  });
}
