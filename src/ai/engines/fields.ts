import { z } from 'zod';
import { TONES } from '#src/ai/local/templates.ts';

const NO_NUL = 'must not contain the character U+0000';
const WELL_FORMED = 'must not contain half a surrogate pair: it is not valid Unicode';

/** 1 to `max` UTF-16 units, storable in Postgres and sendable as UTF-8; may be white space. */
export function rawField(max: number) {
  return z
    .string()
    .min(1, 'must not be empty')
    .max(max, `must have at most ${max} characters`)
    .refine((text) => !text.includes('\0'), NO_NUL)
    .refine((text) => text.isWellFormed(), WELL_FORMED);
}

/** Text a person wrote: as `rawField`, and not only white space. */
export const textField = (max: number) =>
  rawField(max).refine((text) => text.trim() !== '', 'must not be only white space');

const MAX_DEPTH = 20;

/** What is wrong with a JSON value, or undefined. Walks without recursion: a body nested a hundred thousand deep must not end the process. */
function jsonFault(root: unknown, maxCharacters: number): string | undefined {
  const open: { value: unknown; depth: number }[] = [{ value: root, depth: 0 }];
  let characters = 0;
  for (let next = open.pop(); next; next = open.pop()) {
    const { value, depth } = next;
    if (depth > MAX_DEPTH) return `must not be nested deeper than ${MAX_DEPTH} levels`;
    if (typeof value === 'string') {
      if (value.includes('\0')) return NO_NUL;
      if (!value.isWellFormed()) return WELL_FORMED;
      characters += value.length;
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, child] of Object.entries(value))
        open.push({ value: key, depth }, { value: child, depth: depth + 1 });
    }
    characters += 1;
    if (characters > maxCharacters) return `must have at most ${maxCharacters} characters in all`;
  }
  return undefined;
}

/** A plain JSON object of bounded size and depth. */
export function jsonObject(maxCharacters: number) {
  return z.record(z.string(), z.unknown()).superRefine((value, context) => {
    const fault = jsonFault(value, maxCharacters);
    if (fault) context.addIssue({ code: 'custom', message: fault });
  });
}

export const ToneField = z.enum(TONES);

/** A BCP 47 tag such as `pt-BR`. */
export const LanguageField = z
  .string()
  .max(35, 'must have at most 35 characters')
  .regex(/^[a-z]{2,3}(?:-[a-z0-9]{2,8})*$/iu, 'must be a BCP 47 language tag such as pt-BR, en or es');

/** What the business knows about the customer: free text, or the fields of a record. */
export const ContextField = z.union([textField(20_000), jsonObject(20_000)]);

/** A context as lines of text: a record becomes one line, so that a price stays beside the thing it belongs to. */
export function contextText(context: string | Record<string, unknown> | undefined): string {
  if (context === undefined || typeof context === 'string') return context ?? '';
  const line = (value: unknown): string =>
    Array.isArray(value)
      ? value.map(line).join('\n')
      : typeof value === 'object' && value !== null
        ? Object.entries(value)
            .map(([key, child]) =>
              typeof child === 'object' && child !== null ? `${key}:\n${line(child)}` : `${key}: ${String(child)}`,
            )
            .join('; ')
        : String(value);
  return line(context);
}

export const Confidence = z.number().min(0).max(1);
