import { DelayedError, UnrecoverableError, Worker, type Job } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { QueueContract } from '#queues/define.ts';
import { readJobRef, type JobRef } from '#queues/job-ref.ts';
import type { Metrics } from '#src/lib/metrics.ts';

/**
 * Does what a reference names. Postgres decides whether there is anything to do: the same reference may come again, and late.
 * @returns milliseconds after which BullMQ shall hand it out again, or null when it is done
 */
export type Run = (ref: JobRef) => Promise<number | null>;

/** What a pool needs of its process. */
export interface PoolResources {
  redis: Redis;
  prefix: string;
  leaseMs: number;
  /** Checks the references that come out of Redis. */
  refKey: Uint8Array;
  concurrency: number | undefined;
  log: Logger;
  metrics: Metrics;
}

export interface Pool {
  name: string;
  /** Takes no more jobs; resolves when those under way are settled. */
  close(): Promise<void>;
  pause(): Promise<void>;
  running(): number;
}

/** Starts one pool: BullMQ hands out ids, Postgres decides whose they are. */
export function startPool(contract: QueueContract, run: Run, resources: PoolResources): Pool {
  const { log, leaseMs } = resources;
  let running = 0;
  const process = async (entry: Job, token?: string): Promise<null> => {
    running += 1;
    try {
      const ref = readJobRef(resources.refKey, entry.data);
      if (!ref) {
        resources.metrics.refusals.inc({ kind: 'forged' });
        throw new UnrecoverableError('The reference was not signed by this installation');
      }
      const againInMs = await run(ref);
      if (againInMs === null) return null;
      await entry.moveToDelayed(Date.now() + againInMs, token);
      throw new DelayedError();
    } finally {
      running -= 1;
    }
  };
  const worker = new Worker(contract.name, process, {
    connection: resources.redis,
    prefix: `{${resources.prefix}}`,
    concurrency: resources.concurrency ?? contract.concurrency,
    // The lock outlives the lease, so that a job which BullMQ gives to another worker can be claimed by it at once.
    lockDuration: Math.round(leaseMs * 1.25),
    stalledInterval: Math.max(500, Math.round(leaseMs * 0.4)),
    // Starts are counted and bounded in Postgres; a job that BullMQ gave up would have no end there.
    maxStalledCount: 1_000_000,
    settings: { backoffStrategy: (tries) => Math.min(30_000, 250 * 2 ** Math.min(tries, 10)) },
  });
  worker.on('error', (error) => log.warn({ reason: error.message }, 'The queue reports a problem'));
  worker.on('failed', (entry, error) => {
    if (entry)
      log.error(
        { jobId: entry.data.jobId, err: error },
        'An attempt could not be claimed or ended; BullMQ tries again',
      );
  });
  return {
    name: contract.name,
    pause: () => worker.pause(true),
    close: () => worker.close(),
    running: () => running,
  };
}
