import { z } from 'zod';
import { sameness, storable } from '#src/ai/engines/answer-text.ts';
import { AnswerError, type AnswerReader, defineEngine } from '#src/ai/engines/define.ts';
import { Confidence, ContextField, contextText, LanguageField, textField, ToneField } from '#src/ai/engines/fields.ts';
import { KEEP_SHAPE, jsonIn, requireJson } from '#src/ai/engines/json-answer.ts';
import { groundingOf } from '#src/ai/local/grounding.ts';
import { type Language, languageOf } from '#src/ai/local/language.ts';
import type { Tone } from '#src/ai/local/templates.ts';
import { fence } from '#src/ai/prompts/fence.ts';
import { renderPrompt, replyIn } from '#src/ai/prompts/define.ts';
import { smartRepliesPrompt } from '#src/ai/prompts/smart-replies.ts';

const COUNT = 'must be a whole number from 3 to 5';

export const SmartRepliesInput = z.strictObject({
  message: textField(8000),
  count: z.int(COUNT).min(3, COUNT).max(5, COUNT).default(3),
  context: ContextField.optional(),
  language: LanguageField.optional(),
});
export type SmartRepliesInput = z.infer<typeof SmartRepliesInput>;

const Reply = z.object({ text: z.string().trim().min(1).max(2000), tone: ToneField, confidence: Confidence });
export const SmartRepliesResult = z.object({ replies: z.array(Reply).min(3).max(5) });
export type SmartRepliesResult = z.infer<typeof SmartRepliesResult>;

/** The language of the replies. */
export function repliesLanguage(input: SmartRepliesInput): Language {
  return languageOf(input.language, input.message);
}

const FORMAL =
  /\b(?:prezad[oa]|atenciosamente|cordialmente|por gentileza|agradecemos|informamos|senhora?|dear|sincerely|kindly|we appreciate|estimad[oa]|le agradecemos|usted)\b/iu;
const FRIENDLY = /\p{Extended_Pictographic}|!|\b(?:oi|opa|hi|hey|claro|valeu|pra|te)\b/iu;

function toneOf(text: string): Tone {
  if (FORMAL.test(text)) return 'formal';
  return FRIENDLY.test(text) ? 'friendly' : 'neutral';
}

const LISTED = /^\s*(?:\d{1,2}[.)]|[-*•])\s+(.+)$/u;

/** Weak models write a list instead of JSON: each numbered or bulleted line is one reply, its tone told by its words, its confidence by its grounding. */
function listedIn(answer: string, input: SmartRepliesInput): unknown[] | undefined {
  const texts = answer.split('\n').flatMap(
    (line) =>
      LISTED.exec(line)?.[1]
        ?.replace(/^["“*]+|["”*]+$/gu, '')
        .trim() || [],
  );
  return texts.length > 0 ? texts.map((text) => described(text, input)) : undefined;
}

function described(text: string, input: SmartRepliesInput): z.infer<typeof Reply> {
  return { text, tone: toneOf(text), confidence: groundingOf(text, `${input.message}\n${contextText(input.context)}`) };
}

function itemsIn(answer: string, finishReason: string, input: SmartRepliesInput): unknown[] {
  const value = jsonIn(answer) === undefined ? listedIn(answer, input) : jsonIn(answer);
  const found = value ?? requireJson(answer, finishReason);
  const items = Array.isArray(found)
    ? found
    : typeof found === 'object' && found !== null && 'replies' in found
      ? found.replies
      : undefined;
  if (!Array.isArray(items)) throw new AnswerError('The JSON must be an object with the list "replies".');
  return items.map((item: unknown) => (typeof item === 'string' && item.trim() ? described(item.trim(), input) : item));
}

function readReplies(input: SmartRepliesInput): AnswerReader<SmartRepliesResult> {
  let answer = '';
  return {
    push(text) {
      answer += text;
      return '';
    },
    end({ finishReason }) {
      const seen = new Set<string>();
      const replies: z.infer<typeof Reply>[] = [];
      for (const [at, item] of itemsIn(storable(answer), finishReason, input).entries()) {
        const reply = Reply.safeParse(item);
        if (!reply.success) {
          const issue = reply.error.issues[0];
          throw new AnswerError(`replies[${at}].${issue?.path.join('.')}: ${issue?.message}.`, KEEP_SHAPE);
        }
        const key = sameness(reply.data.text);
        if (!seen.has(key)) replies.push(reply.data);
        seen.add(key);
      }
      if (replies.length < input.count) {
        throw new AnswerError(
          `Give exactly ${input.count} replies, all different: there were ${replies.length} different ones.`,
        );
      }
      return { rest: '', result: { replies: replies.slice(0, input.count) } };
    },
  };
}

/** Suggests `count` short, different replies to one message. Nothing is shown before all of them stand. */
export const smartReplies = defineEngine<SmartRepliesInput, SmartRepliesResult>({
  name: 'smart-replies',
  queue: 'ai-inference',
  band: 'interactive',
  input: SmartRepliesInput,
  result: SmartRepliesResult,
  streams: false,
  promptTokens: 500,
  prompt: smartRepliesPrompt,
  deterministic: false,
  withDefaults: (input, { language }) => ({ ...input, language: input.language ?? language }),
  language: repliesLanguage,
  maxOutputTokens: (input) => 200 + 150 * input.count,
  ask(input, own) {
    const language = repliesLanguage(input);
    const context = contextText(input.context);
    const { mark, fenced } = fence(
      [...(context ? [`context: ${JSON.stringify(context)}`] : []), `customer: ${JSON.stringify(input.message)}`].join(
        '\n',
      ),
    );
    const values = { mark, count: String(input.count), language: replyIn(language, input.language) };
    return {
      messages: [
        { role: 'system', content: renderPrompt(smartRepliesPrompt, language, values, own) },
        { role: 'user', content: fenced },
      ],
      responseSchema: { name: 'smart_replies', schema: replySchema(input.count) },
    };
  },
  read: readReplies,
});

function replySchema(count: number): Record<string, unknown> {
  const item = {
    type: 'object',
    properties: {
      text: { type: 'string' },
      tone: { type: 'string', enum: ToneField.options },
      confidence: { type: 'number', minimum: 0, maximum: 1 },
    },
    required: ['text', 'tone', 'confidence'],
    additionalProperties: false,
  };
  return {
    type: 'object',
    properties: { replies: { type: 'array', items: item, minItems: count, maxItems: count } },
    required: ['replies'],
    additionalProperties: false,
  };
}
