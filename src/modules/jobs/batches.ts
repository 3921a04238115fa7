import type { Redis } from 'ioredis';
import type { Pool } from 'pg';
import { AppError, type Problem, toProblem } from '#src/errors.ts';
import { cancelItems, endBatch, findUncancelled, findUnended } from '#src/modules/jobs/batch.query.ts';
import type { JobKey } from '#src/modules/jobs/job.row.ts';
import { cancelAllJobs, findClosedAtWork } from '#src/modules/jobs/jobs.query.ts';
import type { TellEnd } from '#src/modules/jobs/tell-end.ts';
import { controlChannel } from '#src/streams/frame.ts';

/** Items of one batch end close together: they are asked about once. */
const GATHER_MS = 25;
const SWEEP_MAX = 100;

export const cancelledOnRequest = (): Problem =>
  toProblem(new AppError(499, 'cancelled', 'The job was cancelled on request.'));

export interface BatchResources {
  pool: Pool;
  redis: Redis;
  prefix: string;
  tellEnd: TellEnd;
  onError: (error: unknown) => void;
}

/** What happens to a batch after its acceptance. */
export interface Batches {
  /** An item is over: ends its batch when it was the last. In the background; a process that dies here leaves it to the sweep. */
  itemEnded(parent: JobKey): void;
  /** Cancels what is open of a batch whose cancel was noted. */
  cancel(parent: JobKey): Promise<void>;
  /** Ends and cancels what others died over, and what came to closed workspaces. Needs the system's pool. */
  sweep(): Promise<void>;
}

export function createBatches({ pool, redis, prefix, tellEnd, onError }: BatchResources): Batches {
  const asked = new Set<string>();

  const end = async (parent: JobKey): Promise<void> => {
    const row = await endBatch(pool, parent, cancelledOnRequest());
    if (row) tellEnd(row, row.status === 'cancelled' ? 'cancelled' : 'completed');
  };

  const stop = (running: string[]): void => {
    for (const jobId of running)
      redis.publish(controlChannel(prefix), JSON.stringify({ op: 'cancel', jobId })).catch(onError);
  };

  const cancel = async (parent: JobKey): Promise<void> => {
    const running = await cancelItems(pool, parent, cancelledOnRequest());
    stop(running);
    if (running.length === 0) await end(parent);
  };

  return {
    cancel,
    itemEnded(parent) {
      if (asked.has(parent.id)) return;
      asked.add(parent.id);
      setTimeout(() => {
        asked.delete(parent.id);
        end(parent).catch(onError);
      }, GATHER_MS);
    },
    async sweep() {
      for (const closed of await findClosedAtWork(pool, SWEEP_MAX))
        stop(await cancelAllJobs(pool, closed, cancelledOnRequest()));
      for (const parent of await findUncancelled(pool, SWEEP_MAX)) await cancel(parent);
      for (const parent of await findUnended(pool, SWEEP_MAX)) await end(parent);
    },
  };
}
