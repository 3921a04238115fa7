import type OpenAI from 'openai';
import type { ChatRequest, Chunk, FinishReason, Progress, ToolCall } from '#src/ai/model.ts';
import { failedAs } from '#src/ai/providers/failure.ts';
import { usageOf } from '#src/ai/providers/usage.ts';

type Delta = OpenAI.ChatCompletionChunk.Choice.Delta;

/** OpenAI's finish reasons as ours; one we do not know counts as an ordinary stop. */
export function openaiFinish(reason: string): FinishReason {
  switch (reason) {
    case 'length':
    case 'tool_calls':
    case 'content_filter':
      return reason;
    case 'function_call':
      return 'tool_calls';
    default:
      return 'stop';
  }
}

/** Puts one answer together from the chunks of a streamed chat completion. */
export class OpenaiAnswer {
  #request: ChatRequest;
  #text = '';
  #refused = false;
  #finish: string | undefined;
  #usage: OpenAI.CompletionUsage | undefined;
  #calls = new Map<number, ToolCall>();

  constructor(request: ChatRequest) {
    this.#request = request;
  }

  /** Whether the answer had its end marker. */
  get ended(): boolean {
    return this.#finish !== undefined;
  }

  /** Takes the next chunk; returns what of it is content. */
  push(chunk: OpenAI.ChatCompletionChunk): Chunk | Progress | undefined {
    if (chunk.usage) this.#usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (!choice) return undefined;
    if (choice.finish_reason) this.#finish = choice.finish_reason;
    return this.#take(choice.delta ?? {});
  }

  #take(delta: Delta): Chunk | Progress | undefined {
    if (delta.refusal) this.#refused = true;
    for (const part of delta.tool_calls ?? []) this.#takeCall(part);
    if (delta.content) {
      this.#text += delta.content;
      return { type: 'text', text: delta.content };
    }
    return delta.tool_calls?.length || delta.refusal || reasons(delta) ? { type: 'progress' } : undefined;
  }

  #takeCall(part: OpenAI.ChatCompletionChunk.Choice.Delta.ToolCall): void {
    const known = this.#calls.get(part.index);
    const call = known ?? { id: '', name: '', arguments: '' };
    if (!known) this.#calls.set(part.index, call);
    if (part.id) call.id = part.id;
    call.name += part.function?.name ?? '';
    call.arguments += part.function?.arguments ?? '';
  }

  /**
   * The chunks after the text: the tool calls, then the end.
   * @throws ProviderError when the answer has no end, was refused, is empty, or calls a tool with what is not JSON.
   */
  end(): Chunk[] {
    if (this.#finish === undefined) throw failedAs('openai', 'stream_truncated');
    const finishReason = openaiFinish(this.#finish);
    const toolCalls = [...this.#calls.values()].map((call) => ({ ...call, arguments: call.arguments || '{}' }));
    if (this.#refused) throw failedAs('openai', 'content_refused');
    if (this.#text === '' && toolCalls.length === 0 && finishReason === 'stop') {
      throw failedAs('openai', 'bad_output', { note: 'empty answer' });
    }
    if (finishReason !== 'length' && !toolCalls.every((call) => isJson(call.arguments))) {
      throw failedAs('openai', 'bad_output', { note: 'tool arguments are not JSON' });
    }
    const usage = usageOf(
      {
        input: this.#usage?.prompt_tokens,
        cached: this.#usage?.prompt_tokens_details?.cached_tokens,
        output: this.#usage?.completion_tokens,
        reasoning: this.#usage?.completion_tokens_details?.reasoning_tokens,
      },
      this.#request,
      { text: this.#text, toolCalls },
    );
    return [...toolCalls.map((call) => ({ type: 'tool' as const, call })), { type: 'end', finishReason, usage }];
  }
}

/** Servers that imitate OpenAI stream a reasoning model's thoughts in a field OpenAI does not have. */
function reasons(delta: object): boolean {
  return 'reasoning_content' in delta && Boolean(delta.reasoning_content);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
