import { z } from 'zod';
import { sameness } from '#src/ai/engines/answer-text.ts';
import { AnswerError, type AnswerReader, defineEngine } from '#src/ai/engines/define.ts';
import { Confidence, ContextField, contextText, LanguageField, textField, ToneField } from '#src/ai/engines/fields.ts';
import { jsonIn } from '#src/ai/engines/json-answer.ts';
import { BLOCK, TrailerGate } from '#src/ai/engines/trailer.ts';
import { groundingOf } from '#src/ai/local/grounding.ts';
import { type Language, languageOf } from '#src/ai/local/language.ts';
import type { Talk } from '#src/ai/local/slots.ts';
import { copilotPrompt, SEPARATOR, TONES, UNASSESSED } from '#src/ai/prompts/copilot.ts';
import { renderPrompt, replyIn } from '#src/ai/prompts/define.ts';
import { fence } from '#src/ai/prompts/fence.ts';

const MAX_TURNS = 100;

export const CopilotInput = z
  .strictObject({
    context: ContextField.optional(),
    conversationHistory: z
      .array(z.strictObject({ role: z.enum(['user', 'assistant', 'system']), content: textField(8000) }))
      .max(MAX_TURNS, `must have at most ${MAX_TURNS} messages: send the latest`)
      .optional(),
    contactId: z.uuid().optional(),
    dealId: z.uuid().optional(),
    tone: ToneField.optional(),
    language: LanguageField.optional(),
  })
  .refine((input) => Object.keys(input.context ?? '').length > 0 || (input.conversationHistory?.length ?? 0) > 0, {
    path: ['conversationHistory'],
    message: 'at least one of context and conversationHistory must say something',
  });
export type CopilotInput = z.infer<typeof CopilotInput>;

export const CopilotResult = z.object({
  suggestion: z.object({ text: z.string().min(1), confidence: Confidence, reasoning: z.string().min(1) }),
  alternatives: z.array(z.object({ text: z.string().min(1), confidence: Confidence })),
});
export type CopilotResult = z.infer<typeof CopilotResult>;

/** The conversation as rules and grounding read it; with no customer message the context stands in. */
export function talkOf(input: CopilotInput): Talk {
  const turns = input.conversationHistory ?? [];
  const customer = turns.filter(({ role }) => role === 'user').map(({ content }) => content);
  const business = turns.filter(({ role }) => role !== 'user').map(({ content }) => content);
  const context = contextText(input.context);
  return {
    message: customer.at(-1) ?? context,
    customer: customer.join('\n'),
    background: [context, ...business].filter(Boolean).join('\n'),
  };
}

/** The language a copilot answers in. */
export function copilotLanguage(input: CopilotInput): Language {
  const talk = talkOf(input);
  return languageOf(input.language, talk.customer || talk.background);
}

const SPEAKER = { user: 'customer', assistant: 'company', system: 'note' } as const;

/** One line of JSON text per turn, so that no message can write a line that looks like another speaker's. */
function material(input: CopilotInput): string {
  const context = contextText(input.context);
  const turns = (input.conversationHistory ?? []).map(
    ({ role, content }) => `${SPEAKER[role]}: ${JSON.stringify(content)}`,
  );
  return [...(context ? [`context: ${JSON.stringify(context)}`] : []), ...turns].join('\n');
}

const DANGLING_BLOCK = /(?:^|\n)[ \t]*```\w*\s*$/u;

const Assessment = z.object({
  confidence: Confidence,
  reasoning: z.string().trim().min(1).max(2000),
  alternatives: z.array(z.object({ text: z.string().trim().min(1), confidence: Confidence })).default([]),
});

const Wrapped = z.union([
  z.object({ text: z.string().trim().min(1) }).transform(({ text }) => text),
  z.object({ reply: z.string().trim().min(1) }).transform(({ reply }) => reply),
  z.object({ suggestion: z.object({ text: z.string().trim().min(1) }) }).transform(({ suggestion }) => suggestion.text),
]);

/** Weak models put the reply itself into a JSON object; nothing of such an answer was shown yet, so its text can be taken out. */
function wrappedReply(answer: string): string | undefined {
  return /^(?:\{|```)/u.test(answer) ? Wrapped.safeParse(jsonIn(answer)).data : undefined;
}

/** The reply and the model's assessment of it, if it can be read, in a whole answer. */
function splitAnswer(answer: string): { reply: string; assessment?: z.infer<typeof Assessment> } {
  const separator = answer.indexOf(SEPARATOR);
  const block = separator < 0 ? (BLOCK.exec(answer)?.index ?? -1) : separator;
  if (block < 0) return { reply: answer.trim() };
  const assessment = Assessment.safeParse(jsonIn(answer.slice(block).replaceAll(SEPARATOR, '\n')));
  const whole = assessment.success ? answer.slice(0, block) : answer;
  const reply = (separator < 0 ? whole : answer.slice(0, separator).replace(DANGLING_BLOCK, '')).trim();
  const wrapped = separator === 0 ? undefined : wrappedReply(reply || answer);
  return { reply: wrapped ?? reply, ...(assessment.success && { assessment: assessment.data }) };
}

function resultOf(answer: string, input: CopilotInput): CopilotResult {
  const { reply, assessment } = splitAnswer(answer);
  if (reply === '')
    throw new AnswerError('The reply was empty.', `Write the text of the message first, then ${SEPARATOR}.`);
  if (!assessment) {
    const talk = talkOf(input);
    const confidence = groundingOf(reply, `${talk.customer}\n${talk.background}`);
    return { suggestion: { text: reply, confidence, reasoning: UNASSESSED[copilotLanguage(input)] }, alternatives: [] };
  }
  const seen = new Set([sameness(reply)]);
  const alternatives = assessment.alternatives.filter(
    ({ text }) => !seen.has(sameness(text)) && seen.add(sameness(text)),
  );
  return {
    suggestion: { text: reply, confidence: assessment.confidence, reasoning: assessment.reasoning },
    alternatives: alternatives.slice(0, 3),
  };
}

function readCopilot(input: CopilotInput): AnswerReader<CopilotResult> {
  const gate = new TrailerGate({ separator: SEPARATOR, blocks: true });
  return {
    push: (text) => gate.push(text),
    end() {
      const result = resultOf(gate.end(), input);
      return { rest: result.suggestion.text.slice(gate.shown.length), result };
    },
  };
}

/** Writes the next message to the customer. `contactId` and `dealId` tie the job to its records; they are not sent to a model. */
export const copilot = defineEngine<CopilotInput, CopilotResult>({
  name: 'copilot',
  queue: 'ai-inference',
  band: 'interactive',
  input: CopilotInput,
  result: CopilotResult,
  streams: true,
  promptTokens: 350,
  prompt: copilotPrompt,
  deterministic: false,
  withDefaults: (input, { tone, language }) => ({
    ...input,
    tone: input.tone ?? tone,
    language: input.language ?? language,
  }),
  language: copilotLanguage,
  maxOutputTokens: () => 800,
  ask(input, own) {
    const language = copilotLanguage(input);
    const { mark, fenced } = fence(material(input));
    const values = {
      mark,
      tone: TONES[language][input.tone ?? 'friendly'],
      language: replyIn(language, input.language),
    };
    return {
      messages: [
        { role: 'system', content: renderPrompt(copilotPrompt, language, values, own) },
        { role: 'user', content: fenced },
      ],
    };
  },
  read: readCopilot,
});
