import { CopilotInput, copilotLanguage, talkOf } from '#src/ai/engines/copilot.ts';
import { contextText } from '#src/ai/engines/fields.ts';
import { ExtractEntitiesInput } from '#src/ai/engines/extract-entities.ts';
import { IntentInput } from '#src/ai/engines/intent.ts';
import { KnownLead, scoreLead } from '#src/ai/engines/score-lead.ts';
import { SentimentInput } from '#src/ai/engines/sentiment.ts';
import { repliesLanguage, SmartRepliesInput } from '#src/ai/engines/smart-replies.ts';
import { SummarizeInput } from '#src/ai/engines/summarize.ts';
import { entitiesOf } from '#src/ai/local/entities/index.ts';
import { type Intent, intentOf } from '#src/ai/local/intent.ts';
import type { Language } from '#src/ai/local/language.ts';
import { scoreOfLead } from '#src/ai/local/lead-score.ts';
import { labelOf } from '#src/ai/local/own-labels.ts';
import { repliesTo } from '#src/ai/local/replies.ts';
import { sentimentOf } from '#src/ai/local/sentiment.ts';
import { summaryOf } from '#src/ai/local/summary.ts';
import { wordsOf } from '#src/ai/local/words.ts';
import { type ChatRequest, type Chunk, type EngineName, type Provider, ProviderError } from '#src/ai/model.ts';
import { gather } from '#src/ai/providers/gather.ts';
import { SEPARATOR } from '#src/ai/prompts/copilot.ts';
import { SEPARATOR as SUMMARY_SEPARATOR } from '#src/ai/prompts/summarize.ts';

const REASONING: Record<Language, (intent: Intent) => string> = {
  pt: (intent) =>
    `Resposta escolhida por regras entre modelos de texto prontos, pela intenção "${intent}"; nenhum modelo de IA foi usado.`,
  en: (intent) => `Chosen by rules from ready-made templates, for the intent "${intent}"; no AI model was used.`,
  es: (intent) =>
    `Respuesta elegida por reglas entre plantillas, por la intención "${intent}"; no se usó ningún modelo de IA.`,
};

/** Text in pieces of a word each, as a model would send it. */
function inWords(text: string): string[] {
  return text.match(/\s*\S+/gu) ?? [];
}

function copilotPieces(input: CopilotInput): string[] {
  const language = copilotLanguage(input);
  const { intent, replies } = repliesTo(talkOf(input), language, input.tone);
  const [best, ...others] = replies;
  const assessment = {
    confidence: best?.confidence ?? 0,
    reasoning: REASONING[language](intent),
    alternatives: others.slice(0, 2).map(({ text, confidence }) => ({ text, confidence })),
  };
  return [...inWords(best?.text ?? ''), `\n${SEPARATOR}\n`, JSON.stringify(assessment)];
}

function smartRepliesPieces(input: SmartRepliesInput): string[] {
  const talk = { message: input.message, customer: input.message, background: contextText(input.context) };
  const { replies } = repliesTo(talk, repliesLanguage(input));
  return [JSON.stringify({ replies: replies.slice(0, input.count) })];
}

function sentimentPieces(input: SentimentInput): string[] {
  return [JSON.stringify(input.texts ? { items: input.texts.map(sentimentOf) } : sentimentOf(input.text ?? ''))];
}

function summaryPieces(input: SummarizeInput): string[] {
  const { summary, ...lists } = summaryOf(input.messages, input.maxLength);
  return [...inWords(summary), `\n${SUMMARY_SEPARATOR}\n`, JSON.stringify(lists)];
}

function leadPieces(input: KnownLead): string[] {
  return [JSON.stringify(scoreOfLead(input.features, scoreLead.language?.(input) ?? 'pt'))];
}

/** What a text is read by where it names days. */
interface LocalClock {
  now: () => Date;
  /** An IANA name. */
  timeZone: string;
}

/** The answer to each task it can do, computed from its input, in the form the engine reads from a model. */
const DOES: Partial<Record<EngineName, (input: unknown, clock: LocalClock) => string[]>> = {
  copilot: (input) => copilotPieces(CopilotInput.parse(input)),
  'smart-replies': (input) => smartRepliesPieces(SmartRepliesInput.parse(input)),
  sentiment: (input) => sentimentPieces(SentimentInput.parse(input)),
  intent: (input) => {
    const { text, labels } = IntentInput.parse(input);
    return [JSON.stringify(labels ? labelOf(text, labels) : intentOf(text))];
  },
  'extract-entities': (input, { timeZone, now }) => [
    JSON.stringify({ entities: entitiesOf(ExtractEntitiesInput.parse(input).text, { now: now(), timeZone }) }),
  ],
  summarize: (input) => summaryPieces(SummarizeInput.parse(input)),
  'score-lead': (input) => leadPieces(KnownLead.parse(input)),
};

function piecesOf({ engine, input }: ChatRequest['task'], clock: LocalClock): string[] {
  const does = DOES[engine];
  if (does) return does(input, clock);
  throw new ProviderError(
    'local',
    'model_gone',
    `The built-in provider has rules for ${Object.keys(DOES).join(', ')}, not for ${engine}.`,
  );
}

async function* answer(request: ChatRequest, signal: AbortSignal, clock: LocalClock): AsyncGenerator<Chunk> {
  signal.throwIfAborted();
  const pieces = piecesOf(request.task, clock);
  for (const text of pieces) {
    signal.throwIfAborted();
    yield { type: 'text', text };
  }
  const usage = {
    inputTokens: wordsOf(JSON.stringify(request.task.input)).length,
    cachedInputTokens: 0,
    cacheWriteTokens: 0,
    outputTokens: wordsOf(pieces.join('')).length,
    reasoningTokens: 0,
    estimated: true,
  };
  yield { type: 'end', finishReason: 'stop', usage };
}

/**
 * The provider that needs no network: lists, rules, templates and small models on this machine (docs/accuracy.md tells how good they are). It
 * computes from `request.task` and never reads the prompt. Its usage counts words and costs nothing.
 * @param clock what "amanhã" is told from; by default the present time, in the time zone of most of Brazil
 */
export function createLocal(clock: LocalClock = { now: () => new Date(), timeZone: 'America/Sao_Paulo' }): Provider {
  return {
    name: 'local',
    models: ['local-v1'],
    needsKey: false,
    keys: [],
    supports: (engine) => DOES[engine] !== undefined,
    stream: (request, signal) => answer(request, signal, clock),
    complete: (request, signal) => gather('local', answer(request, signal, clock)),
  };
}
