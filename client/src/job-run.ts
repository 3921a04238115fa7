import { JobError, plainProblem } from './errors.ts';
import { BEFORE_ALL, compareEventIds } from './event-id.ts';
import { type FeedHandlers, isFinalAnswer, type JobFeed } from './job-feeds.ts';
import { JobText, type JobUpdate, TextReader } from './job-text.ts';
import { deferred } from './timing.ts';
import { readJobEvent } from './wire.ts';
import type { Job, JobEvent, LiveEvent } from './types.ts';

export interface RunOptions {
  /** Aborting ends the run with the signal's reason and, unless `detach`, cancels the job. */
  signal?: AbortSignal | undefined;
  /** Called with each event of the job, once, in order. */
  onEvent?: ((event: JobEvent) => void) | undefined;
  /** True: aborting, or leaving the loop early, lets the job go on. */
  detach?: boolean | undefined;
  /** After so long without an event the job is asked for over HTTP; doubles up to two minutes. Default 15 000. */
  quietMs?: number | undefined;
  /** How often it is asked for while its events cannot be had. Default 2 000. */
  pollMs?: number | undefined;
}

export interface RunContext {
  feed: JobFeed;
  getJob(jobId: string, signal: AbortSignal): Promise<Job>;
  cancelJob(jobId: string): Promise<unknown>;
  onError(error: unknown): void;
}

type Outcome = { job: Job } | { error: unknown };

const MAX_QUIET_MS = 120_000;

/** One job under way: iterate it for its text, await `result` for its end. Slow readers cost no memory. */
export class JobRun implements AsyncIterable<JobUpdate> {
  readonly jobId: Promise<string>;
  /** The completed job. Rejects with JobError when it failed or was cancelled. */
  readonly result: Promise<Job>;

  readonly #context: RunContext;
  readonly #options: RunOptions;
  readonly #text = new JobText();
  readonly #id = deferred<string>();
  readonly #result = deferred<Job>();
  readonly #stopping = new AbortController();
  #changed = deferred<void>();
  #outcome: Outcome | undefined;
  #lastEventId = BEFORE_ALL;
  #gapAt: string | undefined;
  #isPolling = false;
  #quietMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(context: RunContext, options: RunOptions) {
    this.#context = context;
    this.#options = options;
    this.#quietMs = options.quietMs ?? 15_000;
    this.jobId = this.#id.promise;
    this.result = this.#result.promise;
    const { signal } = options;
    if (signal?.aborted) {
      this.#id.reject(signal.reason);
      this.#end({ error: signal.reason });
      return;
    }
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    void this.#start();
  }

  /** Asks the backend to cancel the job; `result` then rejects with a JobError of status `cancelled`. */
  async cancel(): Promise<void> {
    await this.#context.cancelJob(await this.jobId);
  }

  [Symbol.asyncIterator](): AsyncIterator<JobUpdate, void> {
    const reader = new TextReader(this.#text);
    const next = async (): Promise<IteratorResult<JobUpdate, void>> => {
      for (;;) {
        const outcome = this.#outcome;
        const update = reader.next(outcome !== undefined);
        if (update) return { done: false, value: update };
        if (outcome && 'error' in outcome) throw outcome.error;
        if (outcome) return { done: true, value: undefined };
        await this.#changed.promise;
      }
    };
    const leave = async (): Promise<IteratorResult<JobUpdate, void>> => {
      if (!this.#outcome && !this.#options.detach) this.#cancelQuietly();
      return { done: true, value: undefined };
    };
    return { next, return: leave };
  }

  async #start(): Promise<void> {
    const handlers: FeedHandlers = {
      onEvent: (event) => this.#onEvent(event),
      onLost: () => this.#startPolling(),
    };
    try {
      this.#id.resolve(await this.#context.feed.start(handlers, this.#stopping.signal));
      this.#plan();
    } catch (error) {
      this.#id.reject(error);
      this.#end({ error });
    }
  }

  readonly #onAbort = (): void => {
    if (this.#outcome) return;
    if (!this.#options.detach) this.#cancelQuietly();
    this.#end({ error: this.#options.signal?.reason });
  };

  /** Also right while the job has no id yet: it is cancelled as soon as it has one. */
  #cancelQuietly(): void {
    this.jobId.then(
      (jobId) => this.#context.cancelJob(jobId).catch((error: unknown) => this.#context.onError(error)),
      () => {},
    );
  }

  #onEvent({ id, event: name, data }: Omit<LiveEvent, 'topic'>): void {
    if (this.#outcome) return;
    if (name === 'resync') return this.#startPolling();
    if (id !== '' && compareEventIds(id, this.#lastEventId) <= 0) return;
    const event = readJobEvent(name, data);
    if (!event) return;
    if (event.event === 'job.chunk' && !this.#isPolling) {
      if (this.#text.chunk(event.data.index, event.data.delta) === 'gap') return this.#onGap();
    }
    if (id !== '') this.#lastEventId = id;
    if (event.event === 'job.restarted') {
      this.#isPolling = false;
      this.#text.restart(event.data.reason);
    }
    this.#quietMs = this.#options.quietMs ?? 15_000;
    this.#plan();
    try {
      this.#options.onEvent?.(event);
    } catch (error) {
      this.#context.onError(error);
    }
    if (event.event === 'job.completed') this.#complete(event.data);
    else if (event.event === 'job.failed') this.#fail('failed', event.data.jobId, event.data.problem);
    else if (event.event === 'job.cancelled') this.#fail('cancelled', event.data.jobId, event.data.problem);
    else this.#wake();
  }

  /** Text is missing before this event: hear it all again from the last good one; if that does not help, ask for the job. */
  #onGap(): void {
    if (this.#gapAt === this.#lastEventId) return this.#startPolling();
    this.#gapAt = this.#lastEventId;
    this.#context.feed.rewind(this.#lastEventId);
  }

  #startPolling(): void {
    if (this.#outcome || this.#isPolling) return;
    this.#isPolling = true;
    this.#plan(0);
  }

  #plan(waitMs = this.#isPolling ? (this.#options.pollMs ?? 2000) : this.#quietMs): void {
    clearTimeout(this.#timer);
    if (!this.#outcome) this.#timer = setTimeout(() => void this.#poll(), waitMs);
  }

  async #poll(): Promise<void> {
    this.#quietMs = Math.min(this.#quietMs * 2, MAX_QUIET_MS);
    try {
      const jobId = await this.jobId;
      this.#onView(await this.#context.getJob(jobId, this.#stopping.signal));
    } catch (error) {
      if (isFinalAnswer(error)) this.#end({ error });
    }
    this.#plan();
  }

  /** Takes the job as `GET /api/jobs/:id` shows it. */
  #onView(job: Job): void {
    if (this.#outcome) return;
    if (job.status === 'completed') {
      this.#isPolling = true;
      return this.#complete(job);
    }
    if (job.status === 'failed' || job.status === 'cancelled') {
      const problem = job.problem ?? plainProblem(500, job.status, `The job is ${job.status}.`);
      return this.#fail(job.status, job.id, problem);
    }
    if (job.partialText === null) return;
    if (this.#isPolling) {
      this.#text.replace(job.partialText);
      this.#wake();
    } else if (job.partialText.length > this.#text.text.length) this.#context.feed.rewind(this.#lastEventId);
  }

  #complete(job: Job): void {
    // Not only while polling: the last chunks may have been lost on the way, and nothing after them showed the gap.
    const text = streamedText(job);
    if (text !== undefined) this.#text.replace(text);
    this.#end({ job });
  }

  #fail(status: 'failed' | 'cancelled', jobId: string, problem: JobError['problem']): void {
    this.#end({ error: new JobError(jobId, status, problem) });
  }

  #end(outcome: Outcome): void {
    if (this.#outcome) return;
    this.#outcome = outcome;
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#stopping.abort(new DOMException('The run has ended.', 'AbortError'));
    this.#context.feed.stop();
    if ('job' in outcome) this.#result.resolve(outcome.job);
    else this.#result.reject(outcome.error);
    this.#wake();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = deferred();
  }
}

/** The streamed text of a finished job, out of its view; `undefined` for engines that stream none. */
export function streamedText(job: Job): string | undefined {
  if (job.partialText !== null) return job.partialText;
  const result = job.result;
  if (typeof result !== 'object' || result === null) return undefined;
  const holder = 'suggestion' in result ? result.suggestion : result;
  if (typeof holder !== 'object' || holder === null) return undefined;
  for (const [name, value] of Object.entries(holder)) {
    if (['text', 'summary', 'translatedText'].includes(name) && typeof value === 'string') return value;
  }
  return undefined;
}
