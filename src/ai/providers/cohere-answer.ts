import type { Cohere } from 'cohere-ai';
import type { ChatRequest, Chunk, Completion, FinishReason, Progress, ToolCall } from '#src/ai/model.ts';
import type { StreamedAnswer } from '#src/ai/providers/call.ts';
import { completionOf, endOf } from '#src/ai/providers/completion.ts';
import { failedAs } from '#src/ai/providers/failure.ts';
import { HttpFailure } from '#src/ai/providers/upstream.ts';
import type { Reported } from '#src/ai/providers/usage.ts';

/**
 * Cohere's finish reasons as ours; the last four are how it reports a failure in a 200.
 * @param error its text, where it says one
 * @throws ProviderError, or HttpFailure for an error to be classified by its text
 */
export function cohereFinish(reason: string, error?: string): FinishReason {
  switch (reason) {
    case 'MAX_TOKENS':
      return 'length';
    case 'TOOL_CALL':
      return 'tool_calls';
    case 'TIMEOUT':
      throw failedAs('cohere', 'timeout');
    case 'ERROR_LIMIT':
      throw failedAs('cohere', 'context_overflow');
    case 'ERROR_TOXIC':
      throw failedAs('cohere', 'content_refused');
    case 'ERROR':
      throw cohereError(error);
    default:
      return 'stop';
  }
}

/** An error that came with status 200. */
const cohereError = (message = ''): HttpFailure => new HttpFailure(200, new Headers(), JSON.stringify({ message }));

/** `tokens` has Cohere's own preamble in it; what is paid for is `billedUnits`. */
function reportedOf(usage: Cohere.Usage | undefined): Reported {
  return {
    input: usage?.billedUnits?.inputTokens,
    cached: usage?.cachedTokens,
    output: usage?.billedUnits?.outputTokens,
  };
}

const callOf = (call: Cohere.ToolCallV2): ToolCall => ({
  id: call.id,
  name: call.function?.name ?? '',
  arguments: call.function?.arguments ?? '',
});

/** A chat that was answered at once. @throws ProviderError when it is no usable answer; HttpFailure for a failure it ended with */
export function cohereCompletion(request: ChatRequest, answer: Cohere.V2ChatResponse): Completion {
  const finishReason = cohereFinish(answer.finishReason ?? '');
  // The SDK checks nothing.
  if (!answer.message) throw failedAs('cohere', 'bad_output', { note: 'no answer in the answer' });
  const { content = [], toolCalls = [] } = answer.message;
  return completionOf('cohere', request, {
    text: content.map((part) => (part.type === 'text' ? part.text : '')).join(''),
    toolCalls: toolCalls.map(callOf),
    finishReason,
    reported: reportedOf(answer.usage),
  });
}

/** Puts one answer together from the events of a streamed chat. */
export class CohereAnswer implements StreamedAnswer<Cohere.V2ChatStreamResponse> {
  #request: ChatRequest;
  #text = '';
  #end: Cohere.ChatMessageEndEventDelta | undefined;
  #calls = new Map<number, ToolCall>();

  constructor(request: ChatRequest) {
    this.#request = request;
  }

  get ended(): boolean {
    return this.#end?.finishReason !== undefined;
  }

  push(event: Cohere.V2ChatStreamResponse): Chunk | Progress | undefined {
    switch (event.type) {
      case 'content-start':
      case 'content-delta':
        return this.#take(event.delta?.message?.content);
      case 'tool-plan-delta':
        return { type: 'progress' };
      case 'tool-call-start': {
        const call = event.delta?.message?.toolCalls;
        if (call) this.#calls.set(event.index ?? this.#calls.size, callOf(call));
        return { type: 'progress' };
      }
      case 'tool-call-delta': {
        const call = this.#calls.get(event.index ?? this.#calls.size - 1);
        if (call) call.arguments += event.delta?.message?.toolCalls?.function?.arguments ?? '';
        return { type: 'progress' };
      }
      case 'message-end':
        this.#end = event.delta;
        return undefined;
      case 'message-start':
      case 'content-end':
      case 'tool-call-end':
      case 'citation-start':
      case 'citation-end':
      case 'debug':
      default:
        return undefined;
    }
  }

  #take(content: Cohere.ChatContentDeltaEventDeltaMessageContent | undefined): Chunk | Progress | undefined {
    if (content?.text) {
      this.#text += content.text;
      return { type: 'text', text: content.text };
    }
    return content?.thinking ? { type: 'progress' } : undefined;
  }

  end(): Chunk[] {
    const { finishReason: reason, error, usage } = this.#end ?? {};
    if (reason === undefined) throw failedAs('cohere', 'stream_truncated');
    return endOf(
      completionOf('cohere', this.#request, {
        text: this.#text,
        toolCalls: [...this.#calls.values()],
        finishReason: cohereFinish(reason, error),
        reported: reportedOf(usage),
      }),
    );
  }
}
