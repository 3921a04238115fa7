import { z } from 'zod';
import { storable } from '#src/ai/engines/answer-text.ts';
import { AnswerError, type AnswerReader, defineEngine } from '#src/ai/engines/define.ts';
import { textField } from '#src/ai/engines/fields.ts';
import { checked, requireJson } from '#src/ai/engines/json-answer.ts';
import { detectLanguage, type Language } from '#src/ai/local/language.ts';
import { renderPrompt } from '#src/ai/prompts/define.ts';
import { fence } from '#src/ai/prompts/fence.ts';
import { scoreLeadPrompt } from '#src/ai/prompts/score-lead.ts';

const MAX_FEATURES = 50;
const NAME = 'names must be a letter and up to 59 letters, digits, spaces, dots, dashes or underscores';

/** What is known of a lead, by name: numbers, yes or no, and short texts. */
export const LeadFeatures = z
  .record(z.string().regex(/^\p{L}[\p{L}\p{N}_ .-]{0,59}$/u, NAME), z.union([z.number(), z.boolean(), textField(500)]))
  .refine((features) => Object.keys(features).length > 0, 'must name at least one feature')
  .refine((features) => Object.keys(features).length <= MAX_FEATURES, `must name at most ${MAX_FEATURES} features`);
export type LeadFeatures = z.infer<typeof LeadFeatures>;

/** A contact, or features. The features of a contact are looked up before the job is accepted, and the worker gets both. */
export const ScoreLeadInput = z
  .strictObject({ contactId: z.uuid().toLowerCase().optional(), features: LeadFeatures.optional() })
  .refine(({ contactId, features }) => contactId !== undefined || features !== undefined, {
    path: ['features'],
    message: 'give a contactId or features',
  });
export type ScoreLeadInput = z.infer<typeof ScoreLeadInput>;

/** An input whose features are known; `contactId` says whose they are, where a contact was asked for. */
export const KnownLead = z.strictObject({ contactId: z.uuid().optional(), features: LeadFeatures });
export type KnownLead = z.infer<typeof KnownLead>;

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

const MIN_SCORE_OF = { A: 80, B: 60, C: 40, D: 20, E: 0 } as const;

/** The grade of a score: A from 80, B from 60, C from 40, D from 20, E below. */
export const gradeOf = (score: number): (typeof GRADES)[number] =>
  GRADES.find((grade) => score >= MIN_SCORE_OF[grade]) ?? 'E';

const tenth = (points: number): number => Math.round(points * 10) / 10 || 0;

/** The result that follows from points: rounded to a tenth each, added up, cut to 0…100. */
function scored(
  { features = {} }: ScoreLeadInput,
  points: Map<string, number>,
): Omit<ScoreLeadResult, 'recommendation' | 'modelVersion'> {
  const contributions = Object.entries(features)
    .map(([feature, value]) => ({ feature, value, points: tenth(points.get(feature) ?? 0) }))
    .toSorted((a, b) => Math.abs(b.points) - Math.abs(a.points));
  const sum = tenth(contributions.reduce((total, contribution) => total + contribution.points, 0));
  const score = Math.min(100, Math.max(0, sum));
  return { score, grade: gradeOf(score), contributions };
}

function readScore(input: ScoreLeadInput): AnswerReader<ScoreLeadResult> {
  let answer = '';
  return {
    push(text) {
      answer += text;
      return '';
    },
    end({ finishReason }) {
      const written = checked(ScoreLeadAnswer, requireJson(storable(answer), finishReason));
      const points = new Map(Object.entries(written.points));
      const missing = Object.keys(input.features ?? {}).filter((feature) => !points.has(feature));
      if (missing.length > 0) {
        throw new AnswerError(`points: give a number for every feature; missing: ${JSON.stringify(missing)}.`);
      }
      const { recommendation, modelVersion = scoreLeadPrompt.version } = written;
      return { rest: '', result: { ...scored(input, points), recommendation, modelVersion } };
    },
  };
}

function leadLanguage({ features = {} }: ScoreLeadInput): Language {
  const words = Object.entries(features).map(([name, value]) => `${name} ${typeof value === 'string' ? value : ''}`);
  return detectLanguage(words.join('\n').replaceAll(/[_.]/gu, ' '));
}

/** How likely a lead is to buy, and what in it speaks for and against. */
export const scoreLead = defineEngine<ScoreLeadInput, ScoreLeadResult>({
  name: 'score-lead',
  queue: 'lead-scoring',
  band: 'low',
  input: ScoreLeadInput,
  result: ScoreLeadResult,
  streams: false,
  promptTokens: 450,
  prompt: scoreLeadPrompt,
  deterministic: true,
  language: leadLanguage,
  maxOutputTokens: (input) => 250 + 40 * Object.keys(input.features ?? {}).length,
  ask(input, own) {
    const lines = Object.entries(input.features ?? {}).map(
      ([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`,
    );
    const { mark, fenced } = fence(lines.join('\n'));
    return {
      messages: [
        { role: 'system', content: renderPrompt(scoreLeadPrompt, leadLanguage(input), { mark }, own) },
        { role: 'user', content: fenced },
      ],
      responseSchema: { name: 'lead_score', schema: pointsSchema(Object.keys(input.features ?? {})) },
    };
  },
  read: readScore,
});

function pointsSchema(features: string[]): Record<string, unknown> {
  const points = { type: 'number', minimum: -100, maximum: 100 };
  return {
    type: 'object',
    properties: {
      points: {
        type: 'object',
        properties: Object.fromEntries(features.map((feature) => [feature, points])),
        required: features,
        additionalProperties: false,
      },
      recommendation: { type: 'string' },
    },
    required: ['points', 'recommendation'],
    additionalProperties: false,
  };
}
