import { z } from 'zod';
import { textField } from '#src/ai/engines/fields.ts';

const MAX_MESSAGES = 500;
const MAX_CHARACTERS = 200_000;
const LENGTH = 'must be a whole number of characters from 50 to 5000';

export const SummarizeInput = z.strictObject({
  messages: z
    .array(
      z.strictObject({
        role: z.enum(['user', 'assistant', 'system']),
        content: textField(8000),
        at: z.iso.datetime({ offset: true }).optional(),
      }),
    )
    .min(1, 'must have at least one message')
    .max(MAX_MESSAGES, `must have at most ${MAX_MESSAGES} messages`)
    .refine(
      (messages) => messages.reduce((sum, { content }) => sum + content.length, 0) <= MAX_CHARACTERS,
      `must have at most ${MAX_CHARACTERS} characters in all`,
    ),
  /** Of `summary`, in UTF-16 units. */
  maxLength: z.int(LENGTH).min(50, LENGTH).max(5000, LENGTH).default(800),
});
export type SummarizeInput = z.infer<typeof SummarizeInput>;

const Point = z.string().trim().min(1).max(1000);
/** `summary` is never longer than `maxLength`. The lists may be empty. */
export const SummarizeResult = z.object({
  summary: z.string().min(1),
  keyPoints: z.array(Point).max(20),
  actionItems: z.array(Point).max(20),
  decisions: z.array(Point).max(20),
});
export type SummarizeResult = z.infer<typeof SummarizeResult>;

/** What a model writes: the summary's text, then on a line of its own `SEPARATOR` (prompts/summarize.ts), then this as JSON. */
export const SummarizeTrailer = SummarizeResult.omit({ summary: true });
