import type { GenerateContentResponse, Part } from '@google/generative-ai';
import { randomUUID } from 'node:crypto';
import type { ChatRequest, Chunk, Completion, FinishReason, Progress, ToolCall } from '#src/ai/model.ts';
import type { StreamedAnswer } from '#src/ai/providers/call.ts';
import { completionOf, endOf } from '#src/ai/providers/completion.ts';
import { failedAs } from '#src/ai/providers/failure.ts';
import { errorIn } from '#src/ai/providers/google-failure.ts';
import type { Reported } from '#src/ai/providers/usage.ts';

const BLOCKED = new Set([
  'SAFETY',
  'RECITATION',
  'LANGUAGE',
  'BLOCKLIST',
  'PROHIBITED_CONTENT',
  'SPII',
  'IMAGE_SAFETY',
  'IMAGE_PROHIBITED_CONTENT',
  'IMAGE_RECITATION',
]);

/** Gemini's finish reasons as ours; undefined where the answer cannot be used, as after a malformed call. */
export function googleFinish(reason: string, calls: boolean): FinishReason | undefined {
  if (BLOCKED.has(reason)) return 'content_filter';
  if (reason === 'MAX_TOKENS') return 'length';
  if (reason !== 'STOP') return undefined;
  return calls ? 'tool_calls' : 'stop';
}

/** Puts one answer together from the responses of a stream, or from the one that came at once. */
export class GoogleAnswer implements StreamedAnswer<GenerateContentResponse> {
  #request: ChatRequest;
  #text = '';
  #finish: string | undefined;
  #usage: object = {};
  #calls: ToolCall[] = [];

  constructor(request: ChatRequest) {
    this.#request = request;
  }

  /** There is no end marker but the reason why the model, or the filter before it, stopped. */
  get ended(): boolean {
    return this.#finish !== undefined;
  }

  /** @throws HttpFailure for an error inside the stream, which the SDK takes for a response */
  push(response: GenerateContentResponse): Chunk | Progress | undefined {
    const error = errorIn(response);
    if (error) throw error;
    // Every response has counts; the last ones are right.
    if (response.usageMetadata) this.#usage = response.usageMetadata;
    if (response.promptFeedback?.blockReason) this.#finish = 'PROHIBITED_CONTENT';
    const candidate = response.candidates?.[0];
    if (!candidate) return undefined;
    const reason: string | undefined = candidate.finishReason;
    if (reason && reason !== 'FINISH_REASON_UNSPECIFIED') this.#finish = reason;
    return this.#take(candidate.content?.parts ?? []);
  }

  #take(parts: readonly Part[]): Chunk | Progress | undefined {
    let text = '';
    let progress = false;
    for (const part of parts) {
      if (part.functionCall) this.#call(part.functionCall);
      if (part.functionCall || isThought(part)) progress = true;
      else text += part.text ?? '';
    }
    this.#text += text;
    if (text !== '') return { type: 'text', text };
    return progress ? { type: 'progress' } : undefined;
  }

  #call({ name, args }: { name: string; args?: object }): void {
    // Gemini 2 gives calls no id, and the turn that answers one needs it.
    this.#calls.push({ id: `call_${randomUUID()}`, name, arguments: JSON.stringify(args ?? {}) });
  }

  /** @throws ProviderError when the answer has no end, was blocked before it said anything, is empty or cannot be used */
  completion(): Completion {
    if (this.#finish === undefined) throw failedAs('google', 'stream_truncated');
    const finishReason = googleFinish(this.#finish, this.#calls.length > 0);
    if (!finishReason) throw failedAs('google', 'bad_output', { note: this.#finish.toLowerCase() });
    return completionOf('google', this.#request, {
      text: this.#text,
      toolCalls: this.#calls,
      finishReason,
      refused: finishReason === 'content_filter' && this.#text === '',
      reported: reportedOf(this.#usage),
    });
  }

  end(): Chunk[] {
    return endOf(this.completion());
  }
}

const isThought = (part: object): boolean => 'thought' in part && part.thought === true;

/** Gemini counts thoughts beside the answer, and leaves out what is 0. */
function reportedOf(usage: object): Reported {
  const counts: Record<string, unknown> = { ...usage };
  const sum = (...names: string[]): number | undefined => {
    const found = names.map((name) => counts[name]).filter((value) => typeof value === 'number');
    return found.length > 0 ? found.reduce((total, value) => total + value, 0) : undefined;
  };
  return {
    input: sum('promptTokenCount', 'toolUsePromptTokenCount'),
    cached: counts['cachedContentTokenCount'],
    output: sum('candidatesTokenCount', 'thoughtsTokenCount'),
    reasoning: counts['thoughtsTokenCount'],
  };
}
