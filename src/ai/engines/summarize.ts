import { z } from 'zod';
import { AnswerError, type AnswerReader, defineEngine } from '#src/ai/engines/define.ts';
import { textField } from '#src/ai/engines/fields.ts';
import { checked, jsonIn } from '#src/ai/engines/json-answer.ts';
import { TrailerGate } from '#src/ai/engines/trailer.ts';
import { detectLanguage, type Language } from '#src/ai/local/language.ts';
import { renderPrompt } from '#src/ai/prompts/define.ts';
import { fence } from '#src/ai/prompts/fence.ts';
import { SEPARATOR, summarizePrompt } from '#src/ai/prompts/summarize.ts';

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

const MAX_POINTS = 20;
// More points than asked for are good ones too many.
const Written = z.object({
  keyPoints: z.array(Point).transform((points) => points.slice(0, MAX_POINTS)),
  actionItems: z.array(Point).transform((points) => points.slice(0, MAX_POINTS)),
  decisions: z.array(Point).transform((points) => points.slice(0, MAX_POINTS)),
});

/** The longest start of a text, in whole words, of at most `room` characters; where more words may follow, the last counts once white space ended it. */
function wholeWords(text: string, room: number): string {
  const end = Math.max(text.lastIndexOf(' ', room), text.lastIndexOf('\n', room), text.lastIndexOf('\t', room));
  return text.slice(0, Math.max(0, end)).trimEnd();
}

/** A text of at most `max` characters: itself, or its first whole words and an ellipsis. */
function cutTo(text: string, max: number): string {
  if (text.length <= max) return text;
  const words = wholeWords(text, max - 1);
  return `${words || text.slice(0, max - 1).toWellFormed()}…`;
}

// Shown word by word and never beyond the room an ellipsis leaves: what `cutTo` makes of the whole begins with what was shown.
function readSummary({ maxLength }: SummarizeInput): AnswerReader<SummarizeResult> {
  const gate = new TrailerGate({ separator: SEPARATOR, blocks: true });
  let shown = '';
  return {
    push(text) {
      gate.push(text);
      const piece = wholeWords(gate.shown, maxLength - 1).slice(shown.length);
      shown += piece;
      return piece;
    },
    end({ finishReason }) {
      const answer = gate.end();
      const trailer = jsonIn(answer.slice(gate.shown.length).replace(SEPARATOR, '\n'));
      if (gate.shown === '') {
        throw new AnswerError('The summary was empty.', `Write its text first, then ${SEPARATOR}, then the JSON.`);
      }
      if (trailer === undefined) {
        const isCut = finishReason === 'length';
        throw new AnswerError(
          isCut ? 'It was cut at the token limit, before its lists.' : 'The lists behind the summary were missing.',
          `${isCut ? 'Write less. ' : ''}After the summary write ${SEPARATOR} on a line of its own, then the JSON object.`,
        );
      }
      const result = { summary: cutTo(gate.shown, maxLength), ...checked(Written, trailer) };
      return { rest: result.summary.slice(shown.length), result };
    },
  };
}

function summaryLanguage({ messages }: SummarizeInput): Language {
  const sample = messages.slice(-20).map(({ content }) => content.slice(0, 200));
  return detectLanguage(sample.join('\n'));
}

const SPEAKER = { user: 'customer', assistant: 'company', system: 'note' } as const;

/** The summary of a conversation, shown while it is written, and what follows from it. */
export const summarize = defineEngine<SummarizeInput, SummarizeResult>({
  name: 'summarize',
  queue: 'ai-inference',
  band: 'interactive',
  input: SummarizeInput,
  result: SummarizeResult,
  streams: true,
  promptTokens: 450,
  prompt: summarizePrompt,
  deterministic: false,
  language: summaryLanguage,
  maxOutputTokens: (input) => 900 + Math.ceil(input.maxLength / 2),
  ask(input, own) {
    const lines = input.messages.map(
      ({ role, content, at }) => `${at ? `${at} ` : ''}${SPEAKER[role]}: ${JSON.stringify(content)}`,
    );
    const { mark, fenced } = fence(lines.join('\n'));
    const values = { mark, maxLength: String(input.maxLength) };
    return {
      messages: [
        { role: 'system', content: renderPrompt(summarizePrompt, summaryLanguage(input), values, own) },
        { role: 'user', content: fenced },
      ],
    };
  },
  read: readSummary,
});
