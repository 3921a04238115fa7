import type { ChatResponse } from 'ollama';
import { randomUUID } from 'node:crypto';
import type { ChatRequest, Chunk, Completion, FinishReason, Progress, Provider, ToolCall } from '#src/ai/model.ts';
import { runPlain, runStream, type StreamedAnswer } from '#src/ai/providers/call.ts';
import { completionOf, embeddingsOf, endOf } from '#src/ai/providers/completion.ts';
import { failedAs } from '#src/ai/providers/failure.ts';
import { ollamaBody } from '#src/ai/providers/ollama-request.ts';
import type { Upstream } from '#src/ai/providers/upstream.ts';

export interface OllamaOptions {
  /** Host only: `http://127.0.0.1:11434`. */
  baseUrl: string;
  models: readonly string[];
  fetch?: typeof fetch;
}

const loadSdk = () => import('ollama');

/** Ollama, on a machine of the installation. */
export function createOllama({ baseUrl, models, fetch }: OllamaOptions): Provider {
  const call = (signal: AbortSignal) => ({ provider: 'ollama' as const, signal, fetch, wholeLines: true });
  // One client per call: the SDK takes no signal, and its abort() ends every stream of a client.
  const clientOf = async (upstream: Upstream) => {
    const { Ollama } = await loadSdk();
    return new Ollama({ host: baseUrl, fetch: upstream.fetch });
  };
  return {
    name: 'ollama',
    models,
    needsKey: false,
    keys: [],
    supports: () => true,
    warm: async () => void (await loadSdk()),
    stream: (request, signal) =>
      runStream(call(signal), new OllamaAnswer(request), async (upstream) =>
        untilDone(await (await clientOf(upstream)).chat({ ...ollamaBody(request), stream: true })),
      ),
    complete: (request, signal) =>
      runPlain(call(signal), async (upstream) =>
        ollamaCompletion(request, await (await clientOf(upstream)).chat({ ...ollamaBody(request), stream: false })),
      ),
    embed: (request, signal) =>
      runPlain(call(signal), async (upstream) => {
        const { model, texts, dimensions } = request;
        // Without `truncate: false` a text too long for the model loses its end without a word.
        const body = { model, input: texts, truncate: false, ...(dimensions && { dimensions }) };
        const answer = await (await clientOf(upstream)).embed(body);
        return embeddingsOf('ollama', request, answer.embeddings ?? [], answer.prompt_eval_count);
      }),
  };
}

/** The SDK throws, in words of its own, when a stream stops before `done`; the answer knows that by itself. */
async function* untilDone(parts: AsyncIterable<ChatResponse>): AsyncGenerator<ChatResponse, void, undefined> {
  try {
    yield* parts;
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('Did not receive done')) return;
    throw error;
  }
}

function finishOf(reason: string, calls: readonly ToolCall[]): FinishReason {
  if (reason === 'length') return 'length';
  return calls.length > 0 ? 'tool_calls' : 'stop';
}

/** Ollama gives calls no id, and the turn that answers one needs it. */
function toolCallsOf(calls: readonly { function: { name: string; arguments?: unknown } }[]): ToolCall[] {
  return calls.map(({ function: call }) => ({
    id: `call_${randomUUID()}`,
    name: call.name,
    arguments: JSON.stringify(call.arguments ?? {}),
  }));
}

/** A chat that was answered at once. @throws ProviderError when it is no usable answer */
export function ollamaCompletion(request: ChatRequest, answer: ChatResponse): Completion {
  if (!answer.done || !answer.message) throw failedAs('ollama', 'bad_output', { note: 'no answer in the answer' });
  const toolCalls = toolCallsOf(answer.message.tool_calls ?? []);
  return completionOf('ollama', request, {
    text: answer.message.content ?? '',
    toolCalls,
    finishReason: finishOf(answer.done_reason, toolCalls),
    reported: { input: answer.prompt_eval_count, output: answer.eval_count },
  });
}

/** Puts one answer together from the parts of a streamed chat. */
export class OllamaAnswer implements StreamedAnswer<ChatResponse> {
  #request: ChatRequest;
  #text = '';
  #calls: ToolCall[] = [];
  #last: ChatResponse | undefined;

  constructor(request: ChatRequest) {
    this.#request = request;
  }

  get ended(): boolean {
    return this.#last !== undefined;
  }

  push(part: ChatResponse): Chunk | Progress | undefined {
    if (part.done) this.#last = part;
    const { content, thinking, tool_calls: calls = [] } = part.message ?? {};
    this.#calls.push(...toolCallsOf(calls));
    if (content) {
      this.#text += content;
      return { type: 'text', text: content };
    }
    return thinking || calls.length > 0 ? { type: 'progress' } : undefined;
  }

  end(): Chunk[] {
    if (!this.#last) throw failedAs('ollama', 'stream_truncated');
    return endOf(
      completionOf('ollama', this.#request, {
        text: this.#text,
        toolCalls: this.#calls,
        finishReason: finishOf(this.#last.done_reason, this.#calls),
        reported: { input: this.#last.prompt_eval_count, output: this.#last.eval_count },
      }),
    );
  }
}
