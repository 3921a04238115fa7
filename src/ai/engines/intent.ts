import { z } from 'zod';
import { storable } from '#src/ai/engines/answer-text.ts';
import { AnswerError, type AnswerReader, defineEngine } from '#src/ai/engines/define.ts';
import { Confidence, textField } from '#src/ai/engines/fields.ts';
import { KEEP_SHAPE, checked, requireJson } from '#src/ai/engines/json-answer.ts';
import { INTENTS } from '#src/ai/local/intent.ts';
import { detectLanguage } from '#src/ai/local/language.ts';
import { renderPrompt } from '#src/ai/prompts/define.ts';
import { fence } from '#src/ai/prompts/fence.ts';
import { intentPrompt } from '#src/ai/prompts/intent.ts';

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

function readIntent(input: IntentInput): AnswerReader<IntentResult> {
  const byKey = new Map(labelsOf(input).map((label) => [labelKey(label), label]));
  let answer = '';
  return {
    push(text) {
      answer += text;
      return '';
    },
    end({ finishReason }) {
      const written = checked(Written, requireJson(storable(answer), finishReason));
      const intent = byKey.get(labelKey(written.intent));
      if (intent === undefined) {
        const labels = JSON.stringify(labelsOf(input));
        throw new AnswerError(`intent: must be one of ${labels}, spelled exactly so.`, KEEP_SHAPE);
      }
      // A label of the model's own invention beside the asked ones is dropped; the rest of the answer is good.
      const others = written.subIntents.flatMap((label) => byKey.get(labelKey(String(label))) ?? []);
      const subIntents = [...new Set(others)].filter((label) => label !== intent);
      return { rest: '', result: { intent, confidence: written.confidence, subIntents } };
    },
  };
}

const Written = IntentResult.extend({ subIntents: z.array(z.unknown()).default([]) });

/** What a customer wants, as one of the labels. */
export const intent = defineEngine<IntentInput, IntentResult>({
  name: 'intent',
  queue: 'ai-inference',
  band: 'interactive',
  input: IntentInput,
  result: IntentResult,
  streams: false,
  promptTokens: 500,
  prompt: intentPrompt,
  deterministic: true,
  language: (input) => detectLanguage(input.text),
  maxOutputTokens: (input) => 150 + 20 * labelsOf(input).length,
  ask(input, own) {
    const { mark, fenced } = fence(JSON.stringify(input.text));
    const labels = labelsOf(input).map((label) => JSON.stringify(label));
    const values = { mark, labels: labels.join(', ') };
    return {
      messages: [
        { role: 'system', content: renderPrompt(intentPrompt, detectLanguage(input.text), values, own) },
        { role: 'user', content: fenced },
      ],
      responseSchema: { name: 'intent', schema: intentSchema(labelsOf(input)) },
    };
  },
  read: readIntent,
});

function intentSchema(labels: readonly string[]): Record<string, unknown> {
  return {
    type: 'object',
    properties: {
      intent: { type: 'string', enum: labels },
      confidence: { type: 'number', minimum: 0, maximum: 1 },
      subIntents: { type: 'array', items: { type: 'string', enum: labels } },
    },
    required: ['intent', 'confidence', 'subIntents'],
    additionalProperties: false,
  };
}
