import { z } from 'zod';
import { Confidence, textField } from '#src/ai/engines/fields.ts';
import { INTENTS } from '#src/ai/local/intent.ts';

const MAX_LABELS = 50;

export const IntentInput = z.strictObject({
  text: textField(20_000),
  labels: z
    .array(textField(60))
    .min(2, 'must have at least two labels')
    .max(MAX_LABELS, `must have at most ${MAX_LABELS} labels`)
    .refine((labels) => new Set(labels.map(labelKey)).size === labels.length, 'must all be different')
    .optional(),
});
export type IntentInput = z.infer<typeof IntentInput>;

/** `intent` and `subIntents` are labels of the input, in its spelling; `subIntents` are what the text asks for besides. */
export const IntentResult = z.object({
  intent: z.string().min(1),
  confidence: Confidence,
  subIntents: z.array(z.string().min(1)),
});
export type IntentResult = z.infer<typeof IntentResult>;

/** The labels one text is sorted under. */
export const labelsOf = (input: IntentInput): readonly string[] => input.labels ?? INTENTS;

function labelKey(label: string): string {
  return label
    .trim()
    .toLowerCase()
    .replace(/[\s_-]+/gu, ' ');
}
