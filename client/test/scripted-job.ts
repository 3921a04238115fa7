import { compareEventIds } from '../src/event-id.ts';
import type { Job, JobStatus, LiveEvent, Problem } from '../src/types.ts';

type Listener = (event: LiveEvent) => void;

/** One job of the loopback backend: its event log and what it shows over HTTP. */
export class ScriptedJob {
  readonly id: string;
  readonly engine: string;
  readonly input: unknown;
  readonly log: LiveEvent[] = [];
  status: JobStatus = 'queued';
  text = '';
  attempt = 1;
  /** True: events are kept but told to nobody (a backend whose stream is broken). */
  isMute = false;
  problem: Problem | null = null;
  onCancel: () => void = () => {};
  #index = 0;
  #seq = 0;
  readonly #listeners = new Set<Listener>();

  constructor(id: string, engine: string, input: unknown) {
    this.id = id;
    this.engine = engine;
    this.input = input;
  }

  get isOver(): boolean {
    return ['completed', 'failed', 'cancelled'].includes(this.status);
  }

  /** Tells everything after `lastEventId`, then what comes. */
  listen(lastEventId: string | undefined, listener: Listener): () => void {
    for (const event of this.log) {
      if (lastEventId === undefined || compareEventIds(event.id, lastEventId) > 0) listener(event);
    }
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  push(event: string, data: unknown): void {
    this.#seq += 1;
    const entry: LiveEvent = { topic: `job:${this.id}`, id: `${this.attempt}-${this.#seq}`, event, data };
    this.log.push(entry);
    if (!this.isMute) for (const listener of this.#listeners) listener(entry);
  }

  start(): this {
    this.status = 'active';
    this.push('job.started', { jobId: this.id, provider: 'openai', model: 'gpt-5.6-luna', attempt: this.attempt });
    return this;
  }

  chunk(delta: string): this {
    this.text += delta;
    this.push('job.chunk', { jobId: this.id, index: this.#index, delta });
    this.#index += 1;
    return this;
  }

  restart(reason: string): this {
    this.text = '';
    this.#index = 0;
    this.attempt += 1;
    this.#seq = 0;
    this.push('job.restarted', { jobId: this.id, reason });
    return this;
  }

  complete(): this {
    this.status = 'completed';
    this.push('job.completed', this.view());
    return this;
  }

  fail(code: string): this {
    this.status = 'failed';
    this.problem = problemOf(502, code);
    this.push('job.failed', { jobId: this.id, problem: this.problem });
    return this;
  }

  cancel(): this {
    if (this.isOver) return this;
    this.onCancel();
    this.status = 'cancelled';
    this.problem = problemOf(499, 'cancelled');
    this.push('job.cancelled', { jobId: this.id, problem: this.problem });
    return this;
  }

  view(): Job {
    const isDone = this.status === 'completed';
    const now = new Date().toISOString();
    return {
      id: this.id,
      engine: this.engine,
      queue: 'ai-inference',
      status: this.status,
      priority: 'interactive',
      attempts: this.attempt,
      createdAt: now,
      startedAt: now,
      finishedAt: isDone ? now : null,
      progress: null,
      result: isDone ? { suggestion: { text: this.text, confidence: 0.9, reasoning: 'x' }, alternatives: [] } : null,
      problem: this.problem,
      partialText: isDone ? null : this.text,
      usage: isDone
        ? {
            provider: 'openai',
            model: 'gpt-5.6-luna',
            inputTokens: 120,
            outputTokens: 40,
            cachedInputTokens: 0,
            costUsd: 0.00042,
            credits: 1,
            queueMs: 3,
            latencyMs: 900,
            timeToFirstTokenMs: 210,
            fallbacks: [],
            degraded: false,
            estimated: false,
          }
        : null,
    };
  }
}

function problemOf(status: number, code: string): Problem {
  return { type: `urn:p:${code}`, title: code, status, detail: `It is ${code}.`, code, message: `It is ${code}.` };
}
