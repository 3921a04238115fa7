import { z } from 'zod';
import { textField } from '#src/ai/engines/fields.ts';

const MAX_FEATURES = 50;
const NAME = 'names must be a letter and up to 59 letters, digits, spaces, dots, dashes or underscores';

/** What is known of a lead, by name: numbers, yes or no, and short texts. */
export const ScoreLeadInput = z.strictObject({
  features: z
    .record(
      z.string().regex(/^\p{L}[\p{L}\p{N}_ .-]{0,59}$/u, NAME),
      z.union([z.number(), z.boolean(), textField(500)]),
    )
    .refine((features) => Object.keys(features).length > 0, 'must name at least one feature')
    .refine((features) => Object.keys(features).length <= MAX_FEATURES, `must name at most ${MAX_FEATURES} features`),
});
export type ScoreLeadInput = z.infer<typeof ScoreLeadInput>;

export const GRADES = ['A', 'B', 'C', 'D', 'E'] as const;

/** One contribution for each feature of the input, the weightiest first; their points add up to the score before it is cut to 0…100. */
export const ScoreLeadResult = z.object({
  score: z.number().min(0).max(100),
  grade: z.enum(GRADES),
  contributions: z.array(
    z.object({ feature: z.string(), value: z.union([z.number(), z.boolean(), z.string()]), points: z.number() }),
  ),
  recommendation: z.string().min(1),
  modelVersion: z.string().min(1),
});
export type ScoreLeadResult = z.infer<typeof ScoreLeadResult>;

/** What a model writes: points for every feature by its name; the sum, the grade and the values are ours. The built-in rules name their own version. */
export const ScoreLeadAnswer = z.object({
  points: z.record(z.string(), z.number().min(-100).max(100)),
  recommendation: z.string().trim().min(1).max(2000),
  modelVersion: z.string().max(40).optional(),
});
