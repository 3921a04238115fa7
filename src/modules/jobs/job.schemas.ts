import { z } from 'zod';
import { STRATEGIES } from '#src/ai/model.ts';
import { ProblemView } from '#src/http/problem-view.ts';

export { ProblemView };

export const JobStatus = z.enum(['queued', 'active', 'retrying', 'completed', 'failed', 'cancelled']);
export type JobStatus = z.infer<typeof JobStatus>;

/** What one job consumed; of a batch, its items together, with `several` for names that differ. Times in milliseconds; `costUsd` is computed from integer nano-USD; one credit is worth 0.001 USD. */
export const JobUsage = z.object({
  provider: z.string(),
  model: z.string(),
  /** The name the client asked for, where it stands for `model` by now. */
  requestedModel: z.string().optional(),
  inputTokens: z.int(),
  outputTokens: z.int(),
  cachedInputTokens: z.int(),
  costUsd: z.number(),
  credits: z.number(),
  queueMs: z.int(),
  latencyMs: z.int(),
  timeToFirstTokenMs: z.int().nullable(),
  fallbacks: z.array(z.object({ provider: z.string(), model: z.string(), reason: z.string() })),
  degraded: z.boolean(),
  estimated: z.boolean(),
  /** Which prompt asked; with `+<language>.<n>` the workspace's own text number n. Null where the client brought its own turns. */
  promptVersion: z.string().nullable().optional(),
  /** The answer to an equal job of the last minutes; it costs nothing. */
  cached: z.boolean().optional(),
});
export type JobUsage = z.infer<typeof JobUsage>;

/** A job as clients see it. */
export const JobView = z
  .object({
    id: z.uuid(),
    engine: z.string(),
    queue: z.string(),
    status: JobStatus,
    priority: z.enum(['interactive', 'normal', 'batch']),
    attempts: z.int(),
    createdAt: z.iso.datetime(),
    startedAt: z.iso.datetime().nullable(),
    finishedAt: z.iso.datetime().nullable(),
    progress: z.number().nullable(),
    result: z.unknown().nullable(),
    problem: ProblemView.nullable(),
    partialText: z.string().nullable(),
    usage: JobUsage.nullable(),
  })
  .meta({ id: 'Job' });
export type JobView = z.infer<typeof JobView>;

/** The answer to an accepted job. */
export const JobAccepted = z
  .object({
    jobId: z.uuid(),
    status: JobStatus,
    links: z.object({ self: z.string(), events: z.string(), cancel: z.string() }),
  })
  .meta({ id: 'JobAccepted' });
export type JobAccepted = z.infer<typeof JobAccepted>;

/** The options every engine takes beside its own input. */
export const JobOptions = z.strictObject({
  priority: z.enum(['interactive', 'normal', 'batch']).optional(),
  /** What counts most in the choice of the target: docs/routing.md. */
  strategy: z.enum(STRATEGIES).optional(),
  provider: z.string().max(40).optional(),
  model: z.string().max(100).optional(),
  maxCostUsd: z.number().positive().max(100).optional(),
  /** Milliseconds the job may take from its first start, all its attempts together; when they are up, it fails with `timed_out`. */
  timeoutMs: z.int().min(100).max(120_000).optional(),
  /** With false, the text comes only with the result. */
  stream: z.boolean().optional(),
  /** With false, the answer to an equal job is neither used nor kept (sentiment, intent, extract-entities, translate, score-lead). */
  cache: z.boolean().optional(),
});
export type JobOptions = z.infer<typeof JobOptions>;

/** Events on the topic `job:<id>`, in the order they can come. */
export const JobEvent = z.discriminatedUnion('event', [
  z.object({ event: z.literal('job.queued'), data: z.object({ jobId: z.uuid() }) }),
  z.object({
    event: z.literal('job.started'),
    data: z.object({ jobId: z.uuid(), provider: z.string(), model: z.string(), attempt: z.int() }),
  }),
  z.object({
    event: z.literal('job.chunk'),
    data: z.object({ jobId: z.uuid(), index: z.int(), delta: z.string() }),
  }),
  z.object({ event: z.literal('job.restarted'), data: z.object({ jobId: z.uuid(), reason: z.string() }) }),
  z.object({ event: z.literal('job.completed'), data: JobView }),
  z.object({ event: z.literal('job.failed'), data: z.object({ jobId: z.uuid(), problem: ProblemView }) }),
  z.object({ event: z.literal('job.cancelled'), data: z.object({ jobId: z.uuid(), problem: ProblemView }) }),
]);
export type JobEvent = z.infer<typeof JobEvent>;
