import { ChatResult } from '#src/ai/engines/chat.ts';
import { AppError } from '#src/errors.ts';
import type { JobEvent, JobView } from '#src/modules/jobs/job.schemas.ts';
import { headOf, toolCallsView, usageView } from '#src/modules/openai-door/door.translate.ts';

/** What a job failed with, to be answered with. */
export const jobError = ({ status, code, detail, errors }: NonNullable<JobView['problem']>): AppError =>
  new AppError(status, code, detail, errors ? { errors } : {});

export const frameOf = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;

/**
 * Turns a job's events into the frames of OpenAI's stream, in which nothing can be taken back. An answer that begins anew goes on where
 * the sent text stands if it says the same up to there; else the stream ends with an error.
 */
export class CompletionFrames {
  #head: ReturnType<typeof headOf>;
  #includeUsage: boolean;
  #isOpen = false;
  #sent = '';
  /** After a restart: the new text, until it is as long as what was sent. */
  #anew: string | undefined;

  constructor(jobId: string, model: string, includeUsage: boolean) {
    this.#head = headOf(jobId, model, Date.now());
    this.#includeUsage = includeUsage;
  }

  /** @returns the frames to send, none for what a client of OpenAI need not know. @throws AppError when the job or its stream failed */
  take(event: JobEvent): string[] {
    switch (event.event) {
      case 'job.started':
        if (!this.#isOpen) this.#head.model = event.data.model;
        return [];
      case 'job.restarted':
        this.#anew = this.#sent === '' ? undefined : '';
        return [];
      case 'job.chunk':
        return this.#takeText(event.data.delta);
      case 'job.completed':
        return this.#end(ChatResult.parse(event.data.result), usageView(event.data.usage));
      case 'job.failed':
      case 'job.cancelled':
        throw jobError(event.data.problem);
      case 'job.queued':
      default:
        return [];
    }
  }

  #takeText(delta: string): string[] {
    if (this.#anew === undefined) return this.#text(delta);
    this.#anew += delta;
    if (this.#anew.length < this.#sent.length) return [];
    const rest = this.#restOf(this.#anew);
    this.#anew = undefined;
    return this.#text(rest);
  }

  /** What of a text was not sent yet. @throws AppError 502 where something else was sent */
  #restOf(text: string): string {
    if (text.startsWith(this.#sent)) return text.slice(this.#sent.length);
    throw new AppError(
      502,
      'answer_changed',
      'The provider broke off and the answer began anew. Send the request again.',
    );
  }

  #text(content: string): string[] {
    if (content === '') return [];
    this.#sent += content;
    return this.#chunk({ content });
  }

  #end(result: ChatResult, usage: ReturnType<typeof usageView>): string[] {
    const calls = toolCallsView(result).map((call, index) => ({ index, ...call }));
    return [
      ...this.#text(this.#restOf(result.text)),
      ...(calls.length > 0 ? this.#chunk({ tool_calls: calls }) : []),
      ...this.#chunk({}, result.finishReason),
      ...(this.#includeUsage ? [frameOf({ ...this.#head, object: 'chat.completion.chunk', choices: [], usage })] : []),
      'data: [DONE]\n\n',
    ];
  }

  #chunk(delta: object, finishReason: string | null = null): string[] {
    const first = this.#isOpen ? {} : { role: 'assistant', content: '' };
    this.#isOpen = true;
    const choices = [{ index: 0, delta: { ...first, ...delta }, logprobs: null, finish_reason: finishReason }];
    return [
      frameOf({
        ...this.#head,
        object: 'chat.completion.chunk',
        choices,
        ...(this.#includeUsage && { usage: null }),
      }),
    ];
  }
}
