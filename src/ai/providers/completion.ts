import type {
  ChatRequest,
  Chunk,
  Completion,
  EmbeddingRequest,
  Embeddings,
  FinishReason,
  ProviderName,
  ToolCall,
} from '#src/ai/model.ts';
import { failedAs } from '#src/ai/providers/failure.ts';
import { embeddingUsageOf, usageOf, type Reported } from '#src/ai/providers/usage.ts';

/** All of an answer, in our words, before it is known to be one. */
export interface Said {
  text: string;
  toolCalls: readonly ToolCall[];
  finishReason: FinishReason;
  /** The model declined in a field of its own. */
  refused?: boolean;
  reported: Reported;
}

/**
 * The answer, streamed or not.
 * @throws ProviderError when it was refused, is empty, or calls a tool with what is not JSON.
 */
export function completionOf(provider: ProviderName, request: ChatRequest, said: Said): Completion {
  const { text, finishReason } = said;
  const toolCalls = said.toolCalls.map((call) => ({ ...call, arguments: call.arguments || '{}' }));
  if (said.refused) throw failedAs(provider, 'content_refused');
  if (text === '' && toolCalls.length === 0 && (finishReason === 'stop' || finishReason === 'tool_calls'))
    throw failedAs(provider, 'bad_output', { note: 'empty answer' });
  if (finishReason !== 'length' && !toolCalls.every((call) => isJson(call.arguments)))
    throw failedAs(provider, 'bad_output', { note: 'tool arguments are not JSON' });
  return { text, toolCalls, finishReason, usage: usageOf(said.reported, request, { text, toolCalls }) };
}

/** The chunks of a streamed answer that come after its text. */
export function endOf({ toolCalls, finishReason, usage }: Completion): Chunk[] {
  return [...toolCalls.map((call) => ({ type: 'tool' as const, call })), { type: 'end', finishReason, usage }];
}

/**
 * @param vectors as they came, in the order of the texts
 * @param inputTokens as the provider counted them
 * @throws ProviderError `bad_output` unless there is a vector of numbers for every text
 */
export function embeddingsOf(
  provider: ProviderName,
  request: EmbeddingRequest,
  vectors: readonly unknown[],
  inputTokens: unknown,
): Embeddings {
  const read = vectors.filter(isVector);
  if (read.length !== request.texts.length) throw failedAs(provider, 'bad_output', { note: 'not a vector per text' });
  return { vectors: read, usage: embeddingUsageOf(inputTokens, request) };
}

const isVector = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'number');

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
