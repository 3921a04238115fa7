import { createHash, type KeyObject } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Pool } from 'pg';
import { notFound } from '#src/errors.ts';
import { newId } from '#src/lib/ids.ts';
import type { Producer } from '#queues/producer.ts';
import { queues, type QueueName } from '#queues/index.ts';
import type { Band } from '#queues/define.ts';
import { createAccept, type Accepted } from '#src/modules/jobs/accept.query.ts';
import { acceptBatch, findProgress } from '#src/modules/jobs/batch.query.ts';
import { cancelledOnRequest, createBatches } from '#src/modules/jobs/batches.ts';
import { createAfterAccept, createDispatcher } from '#src/modules/jobs/dispatch.ts';
import { toJobView, type JobKey } from '#src/modules/jobs/job.row.ts';
import type { JobOptions, JobView } from '#src/modules/jobs/job.schemas.ts';
import { cancelAllJobs, cancelJob, findJob, findOver, type OwnJobKey } from '#src/modules/jobs/jobs.query.ts';
import type { Emission, Emitted } from '#src/streams/emit.ts';
import type { EndedJob } from '#src/streams/cursor.ts';
import { createTellEnd } from '#src/modules/jobs/tell-end.ts';
import { controlChannel } from '#src/streams/frame.ts';

/** A validated request for a job. */
export interface Submission {
  workspaceId: string;
  userId: string;
  requestId: string;
  engine: string;
  queue: QueueName;
  band: Band;
  input: unknown;
  /** What the client sent, where `input` was made of it; a key is for the same request again, not for the same answer. */
  asked?: unknown;
  options: JobOptions;
  /** Micro-credits the job can cost at most. */
  hold: number;
  idempotencyKey: string | null;
}

export interface Jobs {
  /**
   * Makes a job durable; it runs from here on, whatever happens to this process or to Redis.
   * @param id of the job to be, unless an earlier request with the same key made one.
   * @throws AppError 402 `insufficient_credits`, 422 `idempotency_mismatch`, 503 `overloaded`.
   */
  accept(submission: Submission, id?: string): Promise<Accepted>;
  /**
   * Makes a batch durable: a job for each item, one above them, and all their holds, or nothing of it.
   * @param submission of all items; its `input`, `hold` and `band` are not read
   * @throws AppError as `accept` does
   */
  acceptBatch(submission: Submission, items: { input: unknown; hold: number }[], id?: string): Promise<Accepted>;
  /** @throws AppError 404 for an unknown job, and so for another workspace's. */
  view(key: OwnJobKey): Promise<JobView>;
  /** Asks for the end of a job; a waiting one ends at once, a running one as soon as its worker hears of it. @throws AppError 404. */
  cancel(key: OwnJobKey): Promise<JobView>;
  /** Asks for the end of all jobs of a workspace that is closed. */
  cancelAll(workspaceId: string): Promise<void>;
  findEnded(keys: JobKey[]): Promise<(EndedJob & { id: string })[]>;
  close(): Promise<void>;
}

export interface JobsResources {
  pool: Pool;
  /** For the notes of what was dispatched, of many workspaces at once. */
  systemPool: Pool;
  producer: Producer;
  redis: Redis;
  emit: (emission: Emission) => Promise<Emitted>;
  prefix: string;
  master: KeyObject;
  log: Logger;
}

const attemptsOf = new Map<string, number>(queues.map((queue) => [queue.name, queue.retry.attempts]));

/**
 * The scope of an Idempotency-Key is the engine, by whichever door the job came. A colleague's key is as one used with another body: a
 * replay shows the job, which who is limited to their own must not see.
 */
function idempotencyOf(submission: Submission) {
  if (submission.idempotencyKey === null) return null;
  const body = JSON.stringify([submission.userId, submission.asked ?? submission.input, submission.options]);
  return {
    route: `/api/ai/${submission.engine}`,
    key: submission.idempotencyKey,
    bodyHash: createHash('sha256').update(body).digest(),
  };
}

/** The life of a job on the side of the API: accept, look, cancel. */
export function createJobs(resources: JobsResources): Jobs {
  const { pool, redis, prefix, log } = resources;
  const accept = createAccept(pool);
  const onError = (error: unknown) => log.debug({ err: error }, 'Left to the relay');
  const afterAccept = createAfterAccept(resources.systemPool, createDispatcher(resources.producer), onError);

  const tellEnd = createTellEnd({ ...resources, onError });
  const batches = createBatches({ pool, redis, prefix, tellEnd, onError });

  return {
    async accept(submission, id = newId()) {
      const accepted = await accept({
        workspaceId: submission.workspaceId,
        id,
        userId: submission.userId,
        queue: submission.queue,
        engine: submission.engine,
        band: submission.band,
        input: submission.input,
        options: submission.options,
        requestId: submission.requestId,
        maxAttempts: attemptsOf.get(submission.queue) ?? 1,
        hold: submission.hold,
        idempotency: idempotencyOf(submission),
      });
      if (!accepted.isReplay) {
        const { workspaceId, queue, band } = submission;
        afterAccept.push({ workspaceId, id, queue, band, delayMs: 0 });
      }
      return accepted;
    },
    async acceptBatch(submission, items, id = newId()) {
      const { workspaceId, userId, requestId, engine, queue, options } = submission;
      const made = items.map((item) => ({ id: newId(), ...item }));
      const body = { ...submission, engine: 'batch', input: [engine, items.map(({ input }) => input)] };
      const accepted = await acceptBatch(pool, {
        workspaceId,
        id,
        userId,
        queue,
        engine,
        options,
        requestId,
        maxAttempts: attemptsOf.get(queue) ?? 1,
        idempotency: idempotencyOf(body),
        items: made,
      });
      if (accepted.isReplay) return accepted;
      for (const item of made) afterAccept.push({ workspaceId, id: item.id, queue, band: 'bulk', delayMs: 0 });
      return accepted;
    },
    async view(key) {
      const row = await findJob(pool, key);
      if (!row) throw notFound('The job');
      if (row.engine !== 'batch' || row.finished_at !== null) return toJobView(row);
      return { ...toJobView(row), progress: await findProgress(pool, key) };
    },
    async cancel(key) {
      const cancelled = await cancelJob(pool, key, cancelledOnRequest());
      if (cancelled.kind === 'unknown') throw notFound('The job');
      if (cancelled.kind === 'cancelled') {
        const { row } = cancelled;
        tellEnd(row, 'cancelled');
        if (row.parent_id !== null) batches.itemEnded({ workspaceId: row.workspace_id, id: row.parent_id });
      }
      if (cancelled.kind === 'running') {
        // A worker that misses this finds the mark in the row when it renews its lease.
        redis.publish(controlChannel(prefix), JSON.stringify({ op: 'cancel', jobId: key.id })).catch(onError);
        if ((await findJob(pool, key))?.engine === 'batch') await batches.cancel(key);
      }
      return this.view(key);
    },
    async cancelAll(workspaceId) {
      for (const jobId of await cancelAllJobs(pool, workspaceId, cancelledOnRequest())) {
        redis.publish(controlChannel(prefix), JSON.stringify({ op: 'cancel', jobId })).catch(onError);
      }
    },
    async findEnded(keys) {
      const rows = await findOver(pool, keys);
      return rows.flatMap((row) =>
        row.status === 'completed' || row.status === 'failed' || row.status === 'cancelled'
          ? { id: row.id, status: row.status, attempts: row.attempt, view: toJobView(row), text: row.streamed_text }
          : [],
      );
    },
    close: () => afterAccept.close(),
  };
}
