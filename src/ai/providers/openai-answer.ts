import type {
  ChatRequest,
  Chunk,
  Completion,
  EmbeddingRequest,
  Embeddings,
  FinishReason,
  Progress,
  ProviderName,
  ToolCall,
} from '#src/ai/model.ts';
import type { StreamedAnswer } from '#src/ai/providers/call.ts';
import { completionOf, embeddingsOf, endOf } from '#src/ai/providers/completion.ts';
import { failedAs } from '#src/ai/providers/failure.ts';
import type { Reported } from '#src/ai/providers/usage.ts';

type Maybe<Value> = Value | null | undefined;

/** Token counts as OpenAI and those who imitate it send them; the last is Mistral's and Together's own place for cached ones. */
export interface OpenaiUsage {
  prompt_tokens?: Maybe<number>;
  completion_tokens?: Maybe<number>;
  prompt_tokens_details?: Maybe<{ cached_tokens?: Maybe<number> }>;
  completion_tokens_details?: Maybe<{ reasoning_tokens?: Maybe<number> }>;
  cached_tokens?: Maybe<number>;
}

/** What is read of a message or of a piece of one. The two fields of reasoning are not OpenAI's but its imitators'. */
interface OpenaiMessage {
  content?: Maybe<string>;
  refusal?: Maybe<string>;
  reasoning_content?: Maybe<string>;
  reasoning?: Maybe<string>;
}

interface OpenaiCall {
  id?: Maybe<string>;
  function?: Maybe<{ name?: Maybe<string>; arguments?: Maybe<string> }>;
}

/** What is read of a chunk of a streamed chat completion. */
export interface OpenaiChunk {
  choices?: Maybe<
    readonly {
      delta?: Maybe<OpenaiMessage & { tool_calls?: Maybe<readonly (OpenaiCall & { index: number })[]> }>;
      finish_reason?: Maybe<string>;
    }[]
  >;
  usage?: Maybe<OpenaiUsage>;
}

/** What is read of a chat completion that came at once. */
export interface OpenaiWhole {
  choices?: Maybe<
    readonly {
      message?: Maybe<OpenaiMessage & { tool_calls?: Maybe<readonly OpenaiCall[]> }>;
      finish_reason?: Maybe<string>;
    }[]
  >;
  usage?: Maybe<OpenaiUsage>;
}

/** OpenAI's finish reasons as ours; one we do not know counts as an ordinary stop. */
export function openaiFinish(reason: string): FinishReason {
  switch (reason) {
    case 'length':
    case 'tool_calls':
    case 'content_filter':
      return reason;
    case 'model_length':
      return 'length';
    case 'function_call':
      return 'tool_calls';
    default:
      return 'stop';
  }
}

function reportedOf(usage: Maybe<OpenaiUsage>): Reported {
  return {
    input: usage?.prompt_tokens,
    cached: usage?.prompt_tokens_details?.cached_tokens ?? usage?.cached_tokens,
    output: usage?.completion_tokens,
    reasoning: usage?.completion_tokens_details?.reasoning_tokens,
  };
}

/** A chat completion that came at once. @throws ProviderError when it is no usable answer */
export function openaiCompletion(
  provider: ProviderName,
  request: ChatRequest,
  { choices, usage }: OpenaiWhole,
): Completion {
  const choice = choices?.[0];
  if (!choice?.message) throw failedAs(provider, 'bad_output', { note: 'no answer in the answer' });
  const { content, refusal, tool_calls: calls } = choice.message;
  return completionOf(provider, request, {
    text: content ?? '',
    toolCalls: (calls ?? []).map((call) => ({
      id: call.id ?? '',
      name: call.function?.name ?? '',
      arguments: call.function?.arguments ?? '',
    })),
    finishReason: openaiFinish(choice.finish_reason ?? 'stop'),
    refused: Boolean(refusal),
    reported: reportedOf(usage),
  });
}

/** Embeddings as OpenAI and those who imitate it send them. @throws ProviderError `bad_output` */
export function openaiEmbeddings(
  provider: ProviderName,
  request: EmbeddingRequest,
  answer: {
    data?: Maybe<readonly { index?: Maybe<number>; embedding?: unknown }[]>;
    usage?: Maybe<{ prompt_tokens?: Maybe<number> }>;
  },
): Embeddings {
  const inOrder = (answer.data ?? []).toSorted((a, b) => (a.index ?? 0) - (b.index ?? 0));
  return embeddingsOf(
    provider,
    request,
    inOrder.map((one) => one.embedding),
    answer.usage?.prompt_tokens,
  );
}

/** Puts one answer together from the chunks of a streamed chat completion. */
export class OpenaiAnswer implements StreamedAnswer<OpenaiChunk> {
  #provider: ProviderName;
  #request: ChatRequest;
  #text = '';
  #refused = false;
  #finish: string | undefined;
  #usage: Maybe<OpenaiUsage>;
  #calls = new Map<number, ToolCall>();

  constructor(provider: ProviderName, request: ChatRequest) {
    this.#provider = provider;
    this.#request = request;
  }

  get ended(): boolean {
    return this.#finish !== undefined;
  }

  push({ usage, choices }: OpenaiChunk): Chunk | Progress | undefined {
    if (usage) this.#usage = usage;
    const choice = choices?.[0];
    if (!choice) return undefined;
    if (choice.finish_reason) this.#finish = choice.finish_reason;
    const { content, refusal, reasoning_content, reasoning, tool_calls: parts } = choice.delta ?? {};
    if (refusal) this.#refused = true;
    for (const part of parts ?? []) this.#takeCall(part);
    if (content) {
      this.#text += content;
      return { type: 'text', text: content };
    }
    return parts?.length || refusal || reasoning_content || reasoning ? { type: 'progress' } : undefined;
  }

  #takeCall(part: OpenaiCall & { index: number }): void {
    const known = this.#calls.get(part.index);
    const call = known ?? { id: '', name: '', arguments: '' };
    if (!known) this.#calls.set(part.index, call);
    if (part.id) call.id = part.id;
    call.name += part.function?.name ?? '';
    call.arguments += part.function?.arguments ?? '';
  }

  end(): Chunk[] {
    if (this.#finish === undefined) throw failedAs(this.#provider, 'stream_truncated');
    return endOf(
      completionOf(this.#provider, this.#request, {
        text: this.#text,
        toolCalls: [...this.#calls.values()],
        finishReason: openaiFinish(this.#finish),
        refused: this.#refused,
        reported: reportedOf(this.#usage),
      }),
    );
  }
}
