import { z } from 'zod';
import { storable } from '#src/ai/engines/answer-text.ts';
import { AnswerError, type AnswerReader, defineEngine } from '#src/ai/engines/define.ts';
import { ENTITY_TYPES, type EntityType, normalizedOf } from '#src/ai/engines/entity-normal.ts';
import { placeOf, type Span } from '#src/ai/engines/entity-place.ts';
import { Confidence, textField } from '#src/ai/engines/fields.ts';
import { checked, requireJson } from '#src/ai/engines/json-answer.ts';
import { detectLanguage } from '#src/ai/local/language.ts';
import { renderPrompt } from '#src/ai/prompts/define.ts';
import { extractEntitiesPrompt } from '#src/ai/prompts/extract-entities.ts';
import { fence } from '#src/ai/prompts/fence.ts';

export { ENTITY_TYPES, type EntityType };

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

const MAX_PER_TYPE = 200;
const Written = z.object({
  value: z.string().min(1),
  normalized: z.string().optional().catch(undefined),
  start: z.int().min(0).optional().catch(undefined),
  confidence: Confidence,
});
const Answer = z.object({ entities: z.partialRecord(z.enum(ENTITY_TYPES), z.array(Written)) });

/** The entities of one type that the text really has, each at its own place; what a model made up is left out. */
function found(type: EntityType, written: z.infer<typeof Written>[], text: string): Entity[] {
  const taken: Span[] = [];
  const entities = written.slice(0, MAX_PER_TYPE).flatMap(({ value, normalized, start, confidence }) => {
    const span = placeOf(text, value, start ?? 0, taken);
    if (!span) return [];
    taken.push(span);
    const there = text.slice(span.start, span.end);
    return [{ value: there, normalized: normalizedOf(type, there, normalized), ...span, confidence }];
  });
  return entities.toSorted((a, b) => a.start - b.start);
}

const isEmpty = (lists: Partial<Record<EntityType, unknown[]>>): boolean =>
  Object.values(lists).every((list) => list.length === 0);

function readEntities({ text }: ExtractEntitiesInput): AnswerReader<ExtractEntitiesResult> {
  let answer = '';
  return {
    push(piece) {
      answer += piece;
      return '';
    },
    end({ finishReason }) {
      const { entities: written } = checked(Answer, requireJson(storable(answer), finishReason));
      const of = (type: EntityType) => found(type, written[type] ?? [], text);
      const entities = {
        person: of('person'),
        email: of('email'),
        phone: of('phone'),
        company: of('company'),
        date: of('date'),
        money: of('money'),
        document: of('document'),
        address: of('address'),
        url: of('url'),
      };
      if (isEmpty(entities) && !isEmpty(written)) {
        throw new AnswerError('value: each must stand in the text exactly as you write it; none does.');
      }
      return { rest: '', result: { entities } };
    },
  };
}

/** The people, contacts, dates, amounts and documents in a text, and where they stand. */
export const extractEntities = defineEngine<ExtractEntitiesInput, ExtractEntitiesResult>({
  name: 'extract-entities',
  queue: 'ai-inference',
  band: 'interactive',
  input: ExtractEntitiesInput,
  result: ExtractEntitiesResult,
  streams: false,
  promptTokens: 900,
  prompt: extractEntitiesPrompt,
  deterministic: true,
  language: (input) => detectLanguage(input.text),
  // Each entity costs about as much again in JSON as its text; a text holds only so many.
  maxOutputTokens: (input) => Math.min(8000, 400 + input.text.length),
  ask(input, own) {
    // As it stands, not as JSON text: the model's positions then mean the same characters as ours.
    const { mark, fenced } = fence(input.text);
    return {
      messages: [
        { role: 'system', content: renderPrompt(extractEntitiesPrompt, detectLanguage(input.text), { mark }, own) },
        { role: 'user', content: fenced },
      ],
      responseSchema: { name: 'entities', schema: entitiesSchema() },
    };
  },
  read: readEntities,
});

function entitiesSchema(): Record<string, unknown> {
  const item = {
    type: 'object',
    properties: {
      value: { type: 'string' },
      normalized: { type: 'string' },
      start: { type: 'integer' },
      end: { type: 'integer' },
      confidence: { type: 'number', minimum: 0, maximum: 1 },
    },
    required: ['value', 'normalized', 'start', 'end', 'confidence'],
    additionalProperties: false,
  };
  const list = { type: 'array', items: item };
  const entities = {
    type: 'object',
    properties: Object.fromEntries(ENTITY_TYPES.map((type) => [type, list])),
    required: ENTITY_TYPES,
    additionalProperties: false,
  };
  return { type: 'object', properties: { entities }, required: ['entities'], additionalProperties: false };
}
