import type { ChatResponse } from 'ollama';
import { randomUUID } from 'node:crypto';
import type { ChatRequest, Chunk, FinishReason, Progress, Provider, ToolCall } from '#src/ai/model.ts';
import { failed, failedAs } from '#src/ai/providers/failure.ts';
import { ollamaBody } from '#src/ai/providers/ollama-request.ts';
import { gather } from '#src/ai/providers/gather.ts';
import { openUpstream } from '#src/ai/providers/upstream.ts';
import { usageOf } from '#src/ai/providers/usage.ts';

export interface OllamaOptions {
  /** Host only: `http://127.0.0.1:11434`. */
  baseUrl: string;
  models: readonly string[];
  fetch?: typeof fetch;
}

const loadSdk = () => import('ollama');

/** Ollama, on a machine of the installation. */
export function createOllama(options: OllamaOptions): Provider {
  return {
    name: 'ollama',
    models: options.models,
    needsKey: false,
    keys: [],
    supports: () => true,
    warm: async () => void (await loadSdk()),
    stream: (request, signal) => stream(options, request, signal),
    complete: (request, signal) => gather('ollama', stream(options, request, signal)),
  };
}

async function* stream(
  { baseUrl, fetch }: OllamaOptions,
  request: ChatRequest,
  signal: AbortSignal,
): AsyncGenerator<Chunk | Progress, void, undefined> {
  signal.throwIfAborted();
  const answer = new OllamaAnswer(request);
  const upstream = openUpstream(signal, { fetch, wholeLines: true });
  let whole = false;
  try {
    const { Ollama } = await loadSdk();
    // One client per call: the SDK takes no signal, and its abort() ends every stream of a client.
    const client = new Ollama({ host: baseUrl, fetch: upstream.fetch });
    for await (const part of await client.chat(ollamaBody(request))) {
      const content = answer.push(part);
      if (content) yield content;
    }
    signal.throwIfAborted();
    whole = true;
    yield* answer.end();
  } catch (error) {
    signal.throwIfAborted();
    throw answer.ended || !isMissingEnd(error)
      ? failed('ollama', error)
      : failedAs('ollama', 'stream_truncated', { cause: error });
  } finally {
    upstream.close(whole);
  }
}

/** The SDK's own words for a stream that stopped before `done`. */
function isMissingEnd(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('Did not receive done');
}

/** Puts one answer together from the parts of a streamed chat. */
export class OllamaAnswer {
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

  /** Takes the next part; returns what of it is content. */
  push(part: ChatResponse): Chunk | Progress | undefined {
    if (part.done) this.#last = part;
    const { content, thinking, tool_calls: calls = [] } = part.message ?? {};
    for (const { function: call } of calls) {
      // Ollama gives calls no id, and the turn that answers one needs it.
      this.#calls.push({
        id: `call_${randomUUID()}`,
        name: call.name,
        arguments: JSON.stringify(call.arguments ?? {}),
      });
    }
    if (content) {
      this.#text += content;
      return { type: 'text', text: content };
    }
    return thinking || calls.length > 0 ? { type: 'progress' } : undefined;
  }

  /**
   * The chunks after the text: the tool calls, then the end.
   * @throws ProviderError when the answer has no end or is empty.
   */
  end(): Chunk[] {
    if (!this.#last) throw failedAs('ollama', 'stream_truncated');
    const toolCalls = this.#calls;
    const finishReason = this.#finish(this.#last.done_reason);
    if (this.#text === '' && finishReason === 'stop') throw failedAs('ollama', 'bad_output', { note: 'empty answer' });
    const usage = usageOf({ input: this.#last.prompt_eval_count, output: this.#last.eval_count }, this.#request, {
      text: this.#text,
      toolCalls,
    });
    return [...toolCalls.map((call) => ({ type: 'tool' as const, call })), { type: 'end', finishReason, usage }];
  }

  #finish(reason: string): FinishReason {
    if (reason === 'length') return 'length';
    return this.#calls.length > 0 ? 'tool_calls' : 'stop';
  }
}
