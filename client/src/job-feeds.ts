import { ApiError, SocketError } from './errors.ts';
import { BEFORE_ALL } from './event-id.ts';
import type { Http } from './http.ts';
import type { LiveSocket } from './live-socket.ts';
import type { Subscription } from './live-topics.ts';
import { readSse } from './sse.ts';
import { fullJitterMs, sleep } from './timing.ts';
import type { JobAccepted, JobOptions, LiveEvent } from './types.ts';

/** A job to be asked for. */
export interface JobOrder {
  engine: string;
  input: object;
  options: JobOptions | undefined;
  idempotencyKey: string;
}

/** A job to follow: one to ask for, or one that exists. */
export type FeedTarget = { order: JobOrder } | { jobId: string; lastEventId: string };

export interface FeedHandlers {
  onEvent: (event: Omit<LiveEvent, 'topic'>) => void;
  /** No further event will come this way. */
  onLost: (error: unknown) => void;
}

/** One way to hear a job's events, each at least once and in order. */
export interface JobFeed {
  /**
   * Asks for the job if it must, and starts telling.
   * @returns the job's id
   * @throws what the backend or the network said; the signal's reason when it aborted before anything was sent.
   */
  start(handlers: FeedHandlers, signal: AbortSignal): Promise<string>;
  /** Tells again everything after `lastEventId`. */
  rewind(lastEventId: string): void;
  stop(): void;
}

const SOCKET_WAIT_MS = 5000;
const MAX_SSE_FAILURES = 8;
const TERMINAL = new Set(['job.completed', 'job.failed', 'job.cancelled']);

/** Whether an answer will be the same however often one asks. */
export function isFinalAnswer(error: unknown): boolean {
  return error instanceof ApiError && error.status < 500 && error.status !== 429;
}

/** Over the live socket. */
export class SocketFeed implements JobFeed {
  readonly #live: LiveSocket;
  readonly #target: FeedTarget;
  readonly #offlineWaitMs: number | undefined;
  #subscription: Subscription | undefined;
  #stopped = false;

  constructor(live: LiveSocket, target: FeedTarget, offlineWaitMs?: number) {
    this.#live = live;
    this.#target = target;
    this.#offlineWaitMs = offlineWaitMs;
  }

  async start(handlers: FeedHandlers, signal: AbortSignal): Promise<string> {
    const listener = { onEvent: handlers.onEvent, onError: handlers.onLost };
    if ('jobId' in this.#target) {
      const { jobId, lastEventId } = this.#target;
      this.#subscription = this.#live.subscribe(`job:${jobId}`, { ...listener, lastEventId });
      return jobId;
    }
    const { engine, input, options, idempotencyKey } = this.#target.order;
    const { jobId } = await this.#live.submit(
      engine,
      { ...input },
      {
        ...listener,
        options,
        idempotencyKey,
        signal,
        offlineWaitMs: this.#offlineWaitMs,
        onSubscribed: (subscription) => {
          this.#subscription = subscription;
          if (this.#stopped) subscription.close();
        },
      },
    );
    return jobId;
  }

  rewind(lastEventId: string): void {
    if (this.#subscription) void this.#live.rewind(this.#subscription, lastEventId);
  }

  stop(): void {
    this.#stopped = true;
    this.#subscription?.close();
  }
}

/** Over plain HTTP: `POST /api/ai/{engine}`, then `GET /api/jobs/:id/events` as server-sent events. */
export class HttpFeed implements JobFeed {
  readonly #http: Http;
  readonly #target: FeedTarget;
  #handlers: FeedHandlers | undefined;
  #jobId = '';
  #reading = new AbortController();
  #stopped = false;

  constructor(http: Http, target: FeedTarget) {
    this.#http = http;
    this.#target = target;
  }

  async start(handlers: FeedHandlers): Promise<string> {
    this.#handlers = handlers;
    const target = this.#target;
    this.#jobId = 'jobId' in target ? target.jobId : await this.#order(target.order);
    this.rewind('jobId' in target ? target.lastEventId : BEFORE_ALL);
    return this.#jobId;
  }

  rewind(lastEventId: string): void {
    this.#reading.abort();
    if (this.#stopped) return;
    this.#reading = new AbortController();
    void this.#read(lastEventId, this.#reading.signal);
  }

  stop(): void {
    this.#stopped = true;
    this.#reading.abort();
  }

  // Without the caller's signal: a POST that was cut may have been accepted, and only its answer names the job to cancel.
  async #order({ engine, input, options, idempotencyKey }: JobOrder): Promise<string> {
    const body = { ...input, ...(options ? { options } : {}) };
    const path = `/api/ai/${encodeURIComponent(engine)}`;
    return (await this.#http.json<JobAccepted>('POST', path, body, { idempotencyKey })).jobId;
  }

  async #read(lastEventId: string, signal: AbortSignal): Promise<void> {
    let lastId = lastEventId;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const headers = {
          accept: 'text/event-stream',
          ...(lastId === BEFORE_ALL ? {} : { 'last-event-id': lastId }),
        };
        const path = `/api/jobs/${encodeURIComponent(this.#jobId)}/events`;
        const { body } = await this.#http.open('GET', path, { headers, signal });
        if (!body) throw new TypeError('The event stream has no body.');
        for await (const { id, event, data } of readSse(body)) {
          if (signal.aborted) return;
          if (id !== '') lastId = id;
          failures = 0;
          this.#handlers?.onEvent({ id, event, data: JSON.parse(data) });
          if (TERMINAL.has(event)) return;
        }
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        if (isFinalAnswer(error) || failures > MAX_SSE_FAILURES) return this.#handlers?.onLost(error);
      }
      await sleep(fullJitterMs(failures, 250, 10_000), signal).catch(() => {});
    }
  }
}

/** Over the live socket, or over plain HTTP where no socket can be had in time. */
export class EitherFeed implements JobFeed {
  #feed: JobFeed;
  readonly #fallback: JobFeed;

  constructor(live: LiveSocket, http: Http, target: FeedTarget) {
    this.#feed = new SocketFeed(live, target, SOCKET_WAIT_MS);
    this.#fallback = new HttpFeed(http, target);
  }

  async start(handlers: FeedHandlers, signal: AbortSignal): Promise<string> {
    try {
      return await this.#feed.start(handlers, signal);
    } catch (error) {
      // Only what the backend never saw may go another way: else the job could run twice.
      if (!(error instanceof SocketError) || error.sent) throw error;
      this.#feed = this.#fallback;
      return this.#feed.start(handlers, signal);
    }
  }

  rewind(lastEventId: string): void {
    this.#feed.rewind(lastEventId);
  }

  stop(): void {
    this.#feed.stop();
    this.#fallback.stop();
  }
}
