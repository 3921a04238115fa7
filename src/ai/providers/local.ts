import { CopilotInput, copilotLanguage, talkOf } from '#src/ai/engines/copilot.ts';
import { contextText } from '#src/ai/engines/fields.ts';
import { SentimentInput } from '#src/ai/engines/sentiment.ts';
import { repliesLanguage, SmartRepliesInput } from '#src/ai/engines/smart-replies.ts';
import type { Intent } from '#src/ai/local/intent.ts';
import type { Language } from '#src/ai/local/language.ts';
import { repliesTo } from '#src/ai/local/replies.ts';
import { sentimentOf } from '#src/ai/local/sentiment.ts';
import { wordsOf } from '#src/ai/local/words.ts';
import { type ChatRequest, type Chunk, type EngineName, type Provider, ProviderError } from '#src/ai/model.ts';
import { gather } from '#src/ai/providers/gather.ts';
import { SEPARATOR } from '#src/ai/prompts/copilot.ts';

const DOES: ReadonlySet<EngineName> = new Set(['copilot', 'smart-replies', 'sentiment']);

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

/** The answer to a task, computed from its input, in the form the engine reads from a model. */
function piecesOf({ engine, input }: ChatRequest['task']): string[] {
  if (engine === 'copilot') return copilotPieces(CopilotInput.parse(input));
  if (engine === 'smart-replies') return smartRepliesPieces(SmartRepliesInput.parse(input));
  if (engine === 'sentiment') return sentimentPieces(SentimentInput.parse(input));
  throw new ProviderError(
    'local',
    'model_gone',
    `The built-in provider has rules for ${[...DOES].join(', ')}, not for ${engine}.`,
  );
}

async function* answer(request: ChatRequest, signal: AbortSignal): AsyncGenerator<Chunk> {
  signal.throwIfAborted();
  const pieces = piecesOf(request.task);
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
 * The provider that needs no network: lexicon, rules and templates on this machine (docs/accuracy.md tells how good they are). It computes
 * from `request.task` and never reads the prompt. Its usage counts words and costs nothing.
 */
export function createLocal(): Provider {
  return {
    name: 'local',
    models: ['local-v1'],
    needsKey: false,
    keys: [],
    supports: (engine) => DOES.has(engine),
    stream: answer,
    complete: (request, signal) => gather('local', answer(request, signal)),
  };
}
