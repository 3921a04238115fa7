import { estimateRequestTokens, estimateTokens } from '#src/ai/tokens.ts';
import type { ChatRequest, ToolCall, Usage } from '#src/ai/model.ts';

/** The part of an answer that can be counted where the provider counts nothing. */
export interface Said {
  text: string;
  toolCalls: readonly ToolCall[];
}

const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;

/**
 * The usage of a call from what the provider reported; a count that is missing or is none is estimated from characters, and the
 * usage is then flagged. Parts never exceed their whole.
 */
export function usageOf(
  reported: { input?: unknown; cached?: unknown; cacheWrite?: unknown; output?: unknown; reasoning?: unknown },
  request: ChatRequest,
  said: Said,
): Usage {
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

function estimateSaid({ text, toolCalls }: Said): number {
  return toolCalls.reduce(
    (sum, call) => sum + estimateTokens(call.name) + estimateTokens(call.arguments),
    estimateTokens(text),
  );
}
