import type { EventBus } from './event-bus.ts';
import { EitherFeed, type FeedTarget, HttpFeed, type JobFeed, SocketFeed } from './job-feeds.ts';
import { BEFORE_ALL } from './event-id.ts';
import { JobRun, type RunOptions } from './job-run.ts';
import type { Http } from './http.ts';
import type { LiveSocket } from './live-socket.ts';
import type { EngineInput, Job, JobOptions, JobStatus, Page } from './types.ts';

/** `socket`: the live socket only; `sse`: plain HTTP only; `auto` (default): the socket, or HTTP where none can be had. */
export type Transport = 'auto' | 'socket' | 'sse';

export interface JobRunOptions extends RunOptions {
  transport?: Transport | undefined;
  /** The engine options of the job (priority, strategy, …). */
  options?: JobOptions | undefined;
  /** Keep it to be able to ask for the same job after a restart; else one is made. */
  idempotencyKey?: string | undefined;
}

export interface FollowOptions extends RunOptions {
  transport?: Transport | undefined;
  /** The last event that is known already. */
  lastEventId?: string | undefined;
}

export interface JobQuery {
  status?: JobStatus | undefined;
  engine?: string | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** AI jobs: ask for one and follow it, or look after those that run. */
export class Jobs {
  readonly #http: Http;
  readonly #live: (() => LiveSocket) | undefined;
  readonly #bus: EventBus;

  constructor(http: Http, live: (() => LiveSocket) | undefined, bus: EventBus) {
    this.#http = http;
    this.#live = live;
    this.#bus = bus;
  }

  /** Asks for a job and follows it to its end, over whatever connection there is. */
  run<Engine extends string>(engine: Engine, input: EngineInput<Engine>, options: JobRunOptions = {}): JobRun {
    const order = {
      engine,
      input,
      options: options.options,
      idempotencyKey: options.idempotencyKey ?? crypto.randomUUID(),
    };
    return this.#start({ order }, options.transport, options);
  }

  /** Follows a job that exists, from its first event on. Aborting or leaving lets it go on, unless `detach: false`. */
  follow(jobId: string, options: FollowOptions = {}): JobRun {
    const target = { jobId, lastEventId: options.lastEventId ?? BEFORE_ALL };
    return this.#start(target, options.transport, { detach: true, ...options });
  }

  /**
   * The completed job, once it is.
   * @throws JobError when it failed or was cancelled, ApiError when there is no such job, the signal's reason.
   */
  wait(jobId: string, options: { signal?: AbortSignal } = {}): Promise<Job> {
    return this.follow(jobId, options).result;
  }

  get(jobId: string, options: { signal?: AbortSignal } = {}): Promise<Job> {
    return this.#http.json('GET', `/api/jobs/${encodeURIComponent(jobId)}`, undefined, options);
  }

  list(query: JobQuery = {}, options: { signal?: AbortSignal } = {}): Promise<Page<Job>> {
    return this.#http.json('GET', '/api/jobs', undefined, { ...options, query: { ...query } });
  }

  /** Asks for the job's end; a running provider call is aborted. */
  async cancel(jobId: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#http.json('POST', `/api/jobs/${encodeURIComponent(jobId)}/cancel`, undefined, options);
  }

  #start(target: FeedTarget, transport: Transport = 'auto', options: RunOptions): JobRun {
    return new JobRun(
      {
        feed: this.#feed(target, transport),
        getJob: (jobId, signal) => this.get(jobId, { signal }),
        cancelJob: (jobId) => this.cancel(jobId),
        onError: (error) => this.#bus.emit('error', { error }),
      },
      options,
    );
  }

  #feed(target: FeedTarget, transport: Transport): JobFeed {
    if (transport === 'sse' || (transport === 'auto' && !this.#live)) return new HttpFeed(this.#http, target);
    if (!this.#live) throw new TypeError('transport "socket": there is no WebSocket here; pass one to BackendClient.');
    if (transport === 'socket') return new SocketFeed(this.#live(), target);
    return new EitherFeed(this.#live(), this.#http, target);
  }
}
