import { z } from 'zod';
import { Confidence, textField } from '#src/ai/engines/fields.ts';

export const ENTITY_TYPES = [
  'person',
  'email',
  'phone',
  'company',
  'date',
  'money',
  'document',
  'address',
  'url',
] as const;
export type EntityType = (typeof ENTITY_TYPES)[number];

export const ExtractEntitiesInput = z.strictObject({ text: textField(20_000) });
export type ExtractEntitiesInput = z.infer<typeof ExtractEntitiesInput>;

/**
 * `value` is the text from `start` up to `end` (UTF-16 positions in the input). `normalized`: e-mail in lower case, phone E.164, date ISO 8601,
 * money `BRL 1299.90`, document digits, url with its scheme; where that cannot be told from the text, the value as it is written.
 */
export const Entity = z.object({
  value: z.string().min(1),
  normalized: z.string().min(1),
  start: z.int().min(0),
  end: z.int().min(1),
  confidence: Confidence,
});
export type Entity = z.infer<typeof Entity>;

/** Each list in the order of the text, without overlaps of its own type. */
export const ExtractEntitiesResult = z.object({ entities: z.record(z.enum(ENTITY_TYPES), z.array(Entity)) });
export type ExtractEntitiesResult = z.infer<typeof ExtractEntitiesResult>;
