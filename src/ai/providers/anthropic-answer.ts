import type Anthropic from '@anthropic-ai/sdk';
import type { ChatRequest, Chunk, Completion, FinishReason, Progress, ToolCall } from '#src/ai/model.ts';
import type { StreamedAnswer } from '#src/ai/providers/call.ts';
import { completionOf, endOf } from '#src/ai/providers/completion.ts';
import { failedAs } from '#src/ai/providers/failure.ts';
import type { Reported } from '#src/ai/providers/usage.ts';

/** Counts of one event; those of `message_delta` are totals that replace the earlier ones. */
interface Counts {
  input_tokens?: number | null;
  cache_read_input_tokens?: number | null;
  cache_creation_input_tokens?: number | null;
  output_tokens?: number | null;
  output_tokens_details?: { thinking_tokens: number } | null;
}

/**
 * Anthropic's stop reasons as ours.
 * @throws ProviderError `content_refused` (what was said before a refusal is to be thrown away) or `context_overflow`
 */
export function anthropicFinish(reason: string): FinishReason {
  switch (reason) {
    case 'max_tokens':
      return 'length';
    case 'tool_use':
      return 'tool_calls';
    case 'refusal':
      throw failedAs('anthropic', 'content_refused');
    case 'model_context_window_exceeded':
      throw failedAs('anthropic', 'context_overflow');
    default:
      return 'stop';
  }
}

/** Anthropic counts what was read from and written to a cache beside the input, and thoughts inside the output. */
function reportedOf(counts: Counts): Reported {
  const cached = counts.cache_read_input_tokens ?? 0;
  const cacheWrite = counts.cache_creation_input_tokens ?? 0;
  return {
    input: typeof counts.input_tokens === 'number' ? counts.input_tokens + cached + cacheWrite : undefined,
    cached,
    cacheWrite,
    output: counts.output_tokens ?? undefined,
    reasoning: counts.output_tokens_details?.thinking_tokens,
  };
}

/** A message that came at once. @throws ProviderError when it is no usable answer */
export function anthropicCompletion(request: ChatRequest, message: Anthropic.Message): Completion {
  if (!Array.isArray(message.content)) throw failedAs('anthropic', 'bad_output', { note: 'no answer in the answer' });
  return completionOf('anthropic', request, {
    text: message.content.map((block) => (block.type === 'text' ? block.text : '')).join(''),
    toolCalls: message.content.flatMap((block) =>
      block.type === 'tool_use' ? [{ id: block.id, name: block.name, arguments: argumentsIn(block.input) }] : [],
    ),
    finishReason: anthropicFinish(message.stop_reason ?? ''),
    reported: reportedOf(message.usage ?? {}),
  });
}

/** What the model wrote that is no object stays as it is, to be seen as such. */
const argumentsIn = (input: unknown): string => (typeof input === 'string' ? input : JSON.stringify(input ?? {}));

/** Puts one answer together from the events of a streamed message. */
export class AnthropicAnswer implements StreamedAnswer<Anthropic.RawMessageStreamEvent> {
  #request: ChatRequest;
  #text = '';
  #counts: Counts = {};
  #reason: string | null = null;
  #calls = new Map<number, ToolCall & { whole: unknown }>();
  ended = false;

  constructor(request: ChatRequest) {
    this.#request = request;
  }

  push(event: Anthropic.RawMessageStreamEvent): Chunk | Progress | undefined {
    switch (event.type) {
      // May come twice; only its counts are read.
      case 'message_start':
        this.#count(event.message?.usage);
        return undefined;
      case 'content_block_start':
        return this.#open(event);
      case 'content_block_delta':
        return this.#take(event);
      case 'message_delta':
        this.#count(event.usage);
        this.#reason = event.delta?.stop_reason ?? this.#reason;
        return undefined;
      case 'message_stop':
        this.ended = true;
        return undefined;
      case 'content_block_stop':
      default:
        return undefined;
    }
  }

  #count(counts: Counts | null | undefined): void {
    const given = Object.entries(counts ?? {}).filter(([, value]) => value !== null);
    this.#counts = { ...this.#counts, ...Object.fromEntries(given) };
  }

  #open({ index, content_block: block }: Anthropic.RawContentBlockStartEvent): Chunk | Progress | undefined {
    if (block.type === 'tool_use') {
      this.#calls.set(index, { id: block.id, name: block.name, arguments: '', whole: block.input });
      return { type: 'progress' };
    }
    return block.type === 'text' && block.text ? this.#say(block.text) : undefined;
  }

  #take({ index, delta }: Anthropic.RawContentBlockDeltaEvent): Chunk | Progress | undefined {
    if (delta.type === 'text_delta') return delta.text ? this.#say(delta.text) : undefined;
    if (delta.type === 'input_json_delta') {
      const call = this.#calls.get(index);
      if (call) call.arguments += delta.partial_json;
    }
    return { type: 'progress' };
  }

  #say(text: string): Chunk {
    this.#text += text;
    return { type: 'text', text };
  }

  end(): Chunk[] {
    if (!this.ended) throw failedAs('anthropic', 'stream_truncated');
    return endOf(
      completionOf('anthropic', this.#request, {
        text: this.#text,
        toolCalls: [...this.#calls.values()].map(({ id, name, arguments: pieces, whole }) => ({
          id,
          name,
          arguments: pieces || argumentsIn(whole ?? {}),
        })),
        finishReason: anthropicFinish(this.#reason ?? ''),
        reported: reportedOf(this.#counts),
      }),
    );
  }
}
