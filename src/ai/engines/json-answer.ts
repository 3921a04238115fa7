import type { z } from 'zod';
import { AnswerError } from '#src/ai/engines/define.ts';
import { storable } from '#src/ai/engines/answer-text.ts';

/** Reads JSON that a model wrote: bare, in a ```json block, or with a sentence before or after it. Returns undefined where there is none. */
export function jsonIn(answer: string): unknown {
  const fenced = /```(?:json)?\s*\n([\s\S]*?)```/iu.exec(answer)?.[1];
  const start = answer.search(/[{[]/u);
  const end = Math.max(answer.lastIndexOf('}'), answer.lastIndexOf(']'));
  for (const candidate of [answer, fenced, start >= 0 && end > start ? answer.slice(start, end + 1) : undefined]) {
    if (candidate === undefined) continue;
    try {
      return JSON.parse(candidate, (_, value: unknown) => (typeof value === 'string' ? storable(value) : value));
    } catch {
      // The next reading may do.
    }
  }
  return undefined;
}

/** As `jsonIn`. @throws AnswerError where there is no JSON, or it was cut by the token limit. */
export function requireJson(answer: string, finishReason: string): unknown {
  const value = jsonIn(answer);
  if (value !== undefined) return value;
  if (answer.trim() === '') throw new AnswerError('It was empty.', 'Answer with the JSON object that was asked for.');
  throw finishReason === 'length'
    ? new AnswerError('It was cut at the token limit before its JSON was whole.', 'Answer with shorter texts.')
    : new AnswerError('It was not JSON.', 'Answer with one JSON object of the asked shape and nothing else.');
}

export const KEEP_SHAPE = 'Keep the asked shape.';

/** @returns the value as the schema reads it. @throws AnswerError naming the first place that does not fit */
export function checked<Value>(schema: z.ZodType<Value>, value: unknown, where = ''): Value {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = [where, ...(issue?.path ?? [])].filter((part) => part !== '').join('.');
  throw new AnswerError(`${path || 'The JSON'}: ${issue?.message}.`, KEEP_SHAPE);
}
