import { z } from 'zod';
import { AnswerError, type AnswerReader, defineEngine } from '#src/ai/engines/define.ts';
import { Confidence, textField } from '#src/ai/engines/fields.ts';
import { checked, requireJson } from '#src/ai/engines/json-answer.ts';
import { detectLanguage, type Language } from '#src/ai/local/language.ts';
import { EMOTIONS } from '#src/ai/local/lexicons/emotions.ts';
import { fence } from '#src/ai/prompts/fence.ts';
import { renderPrompt } from '#src/ai/prompts/define.ts';
import { askedItems, sentimentPrompt } from '#src/ai/prompts/sentiment.ts';

const MAX_TEXTS = 100;

export const SentimentInput = z
  .strictObject({
    text: textField(20_000).optional(),
    texts: z
      .array(textField(2000))
      .min(1, 'must have at least one text')
      .max(MAX_TEXTS, `must have at most ${MAX_TEXTS} texts`)
      .optional(),
  })
  .refine((input) => (input.text === undefined) !== (input.texts === undefined), {
    path: ['text'],
    message: 'give either text or texts, not both and not neither',
  });
export type SentimentInput = z.infer<typeof SentimentInput>;

const LABELS = ['positive', 'neutral', 'negative'] as const;

export const SentimentItem = z.object({
  sentiment: z.enum(LABELS),
  score: z.number().min(-1).max(1),
  confidence: Confidence,
  emotions: z.array(z.enum(EMOTIONS)),
});
export type SentimentItem = z.infer<typeof SentimentItem>;

export const SentimentResult = z.union([SentimentItem, z.object({ items: z.array(SentimentItem) })]);
export type SentimentResult = z.infer<typeof SentimentResult>;

// Models name feelings of their own beside the listed ones; an unlisted one is dropped, the rest of the answer is good.
const isEmotion = (name: unknown): name is (typeof EMOTIONS)[number] => EMOTIONS.some((emotion) => emotion === name);
const Written = SentimentItem.extend({
  emotions: z.array(z.unknown()).transform((names) => [...new Set(names.filter(isEmotion))]),
}).refine(({ sentiment, score }) => (sentiment === 'positive' ? score >= 0 : sentiment === 'neutral' || score <= 0), {
  path: ['score'],
  message: 'must agree with sentiment (positive: above 0, negative: below 0)',
});

function itemsOf(value: unknown, count: number): SentimentItem[] {
  const items = Array.isArray(value)
    ? value
    : typeof value === 'object' && value !== null && 'items' in value
      ? value.items
      : undefined;
  if (!Array.isArray(items)) throw new AnswerError('The JSON must be an object with the list "items".');
  if (items.length !== count)
    throw new AnswerError(`Give exactly ${count} items, one for each text: there were ${items.length}.`);
  return items.map((item: unknown, at) => checked(Written, item, `items[${at}]`));
}

function readSentiment(input: SentimentInput): AnswerReader<SentimentResult> {
  let answer = '';
  return {
    push(text) {
      answer += text;
      return '';
    },
    end({ finishReason }) {
      const value = requireJson(answer, finishReason);
      return {
        rest: '',
        result: input.texts ? { items: itemsOf(value, input.texts.length) } : checked(Written, value),
      };
    },
  };
}

function sentimentLanguage(input: SentimentInput): Language {
  return detectLanguage(input.texts?.join('\n') ?? input.text ?? '');
}

/** The sentiment of one text, or of each of up to a hundred. */
export const sentiment = defineEngine<SentimentInput, SentimentResult>({
  name: 'sentiment',
  queue: 'sentiment',
  band: 'normal',
  input: SentimentInput,
  result: SentimentResult,
  streams: false,
  promptTokens: 900,
  prompt: sentimentPrompt,
  deterministic: true,
  language: sentimentLanguage,
  maxOutputTokens: (input) => 150 + 80 * (input.texts?.length ?? 1),
  ask(input, own) {
    const count = input.texts?.length;
    const language = sentimentLanguage(input);
    const listed = input.texts?.map((text, at) => `${at + 1}: ${JSON.stringify(text)}`).join('\n');
    const { mark, fenced } = fence(listed ?? JSON.stringify(input.text));
    return {
      messages: [
        {
          role: 'system',
          content: renderPrompt(sentimentPrompt, language, { mark, ...askedItems(language, count) }, own),
        },
        { role: 'user', content: fenced },
      ],
      responseSchema: { name: 'sentiment', schema: sentimentSchema(count) },
    };
  },
  read: readSentiment,
});

function sentimentSchema(count: number | undefined): Record<string, unknown> {
  const item = {
    type: 'object',
    properties: {
      sentiment: { type: 'string', enum: LABELS },
      score: { type: 'number', minimum: -1, maximum: 1 },
      confidence: { type: 'number', minimum: 0, maximum: 1 },
      emotions: { type: 'array', items: { type: 'string', enum: EMOTIONS } },
    },
    required: ['sentiment', 'score', 'confidence', 'emotions'],
    additionalProperties: false,
  };
  if (count === undefined) return item;
  return {
    type: 'object',
    properties: { items: { type: 'array', items: item, minItems: count, maxItems: count } },
    required: ['items'],
    additionalProperties: false,
  };
}
