import { estimateRequestTokens, estimateTokens } from '#src/ai/tokens.ts';
import type { ChatRequest, EmbeddingRequest, ToolCall, Usage } from '#src/ai/model.ts';

/** What a provider counted, in our sense of each: `input` includes the cached, `output` includes the reasoning. */
export interface Reported {
  input?: unknown;
  cached?: unknown;
  cacheWrite?: unknown;
  output?: unknown;
  reasoning?: unknown;
}

/** The part of an answer that can be counted where the provider counts nothing. */
interface Countable {
  text: string;
  toolCalls: readonly ToolCall[];
}

const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;

/**
 * The usage of a call from what the provider reported; a count that is missing or is none is estimated from characters, and the
 * usage is then flagged. Parts never exceed their whole.
 */
export function usageOf(reported: Reported, request: ChatRequest, said: Countable): Usage {
  const input = count(reported.input);
  const output = count(reported.output);
  const inputTokens = input ?? estimateRequestTokens(request);
  const outputTokens = output ?? estimateSaid(said);
  const cachedInputTokens = Math.min(count(reported.cached) ?? 0, inputTokens);
  return {
    inputTokens,
    cachedInputTokens,
    cacheWriteTokens: Math.min(count(reported.cacheWrite) ?? 0, inputTokens - cachedInputTokens),
    outputTokens,
    reasoningTokens: Math.min(count(reported.reasoning) ?? 0, outputTokens),
    estimated: input === undefined || output === undefined,
  };
}

function estimateSaid({ text, toolCalls }: Countable): number {
  return toolCalls.reduce(
    (sum, call) => sum + estimateTokens(call.name) + estimateTokens(call.arguments),
    estimateTokens(text),
  );
}

/** The usage of an embedding call, whose answer has no tokens of its own. */
export function embeddingUsageOf(input: unknown, { texts }: EmbeddingRequest): Usage {
  const counted = count(input);
  return {
    inputTokens: counted ?? texts.reduce((sum, text) => sum + estimateTokens(text), 0),
    cachedInputTokens: 0,
    cacheWriteTokens: 0,
    outputTokens: 0,
    reasoningTokens: 0,
    estimated: counted === undefined,
  };
}
