import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Pool } from 'pg';
import type { Producer } from '#queues/producer.ts';
import { queues, type QueueName } from '#queues/index.ts';
import type { Metrics } from '#src/lib/metrics.ts';
import {
  findAbandoned,
  findEpoch,
  findLongWaiting,
  findUndispatched,
  forgetDispatched,
  markDispatched,
  purge,
  type Dispatch,
} from '#src/modules/jobs/relay.query.ts';

const BATCH = 500;
const TICK_MS = 1000;
const SWEEP_EVERY_MS = 10_000;
const PURGE_EVERY_MS = 60_000;

export interface RelayResources {
  pool: Pool;
  redis: Redis;
  producer: Producer;
  prefix: string;
  leaseMs: number;
  resultTtlSeconds: number;
  log: Logger;
  metrics: Metrics;
}

/** What keeps Redis a true index of Postgres. Runs in one process at a time; every step may be repeated or interrupted anywhere. */
export interface Relay {
  /** Dispatches what never reached Redis, or what a lost Redis forgot. */
  tick(): Promise<void>;
  /** Finds what Redis lost silently, and running jobs that nobody runs any more. */
  sweep(): Promise<void>;
  /** Works until the signal aborts; errors are logged and the next round tries again. */
  run: (signal: AbortSignal) => Promise<void>;
}

const byQueue = (jobs: Dispatch[]): [QueueName, Dispatch[]][] =>
  queues
    .map((queue): [QueueName, Dispatch[]] => [queue.name, jobs.filter((job) => job.queue === queue.name)])
    .filter(([, mine]) => mine.length > 0);

export function createRelay(resources: RelayResources): Relay {
  const { pool, redis, producer, prefix, leaseMs, log, metrics } = resources;
  const epochKey = `${prefix}:epoch`;
  let epoch: string | null = null;

  const dispatch = async (jobs: Dispatch[], cause: string): Promise<void> => {
    for (const [queue, mine] of byQueue(jobs)) {
      await producer.enqueue(
        queue,
        mine.map((job) => ({
          ref: { workspaceId: job.workspaceId, jobId: job.id },
          band: job.band,
          delayMs: job.delayMs,
        })),
      );
      await markDispatched(pool, mine);
      metrics.relayed.inc({ cause }, mine.length);
      log.info({ queue, cause, jobs: mine.length }, 'Dispatched by the relay');
    }
  };

  const checkEpoch = async (): Promise<void> => {
    epoch ??= await findEpoch(pool);
    const found = await redis.get(epochKey);
    if (found === epoch) return;
    const forgotten = await forgetDispatched(pool);
    if (forgotten > 0) log.warn({ jobs: forgotten }, 'Redis is empty or another one: filling it again');
    // Last, so that a relay killed on the way begins again.
    await redis.set(epochKey, epoch);
  };

  const tick = async (): Promise<void> => {
    if (redis.status !== 'ready') return;
    await checkEpoch();
    for (;;) {
      const jobs = await findUndispatched(pool, BATCH);
      await dispatch(jobs, 'undispatched');
      if (jobs.length < BATCH) return;
    }
  };

  const sweep = async (): Promise<void> => {
    if (redis.status !== 'ready') return;
    const abandoned = await findAbandoned(pool, leaseMs, BATCH);
    for (const [queue, mine] of byQueue(abandoned)) {
      await producer.remove(
        queue,
        mine.map((job) => job.id),
      );
    }
    await dispatch(abandoned, 'abandoned');

    const waiting = await findLongWaiting(pool, 2 * SWEEP_EVERY_MS, BATCH);
    for (const [queue, mine] of byQueue(waiting)) {
      const missing = new Set(
        await producer.findMissing(
          queue,
          mine.map((job) => job.id),
        ),
      );
      // An ended entry would keep its job from being added anew.
      await producer.remove(queue, [...missing]);
      await dispatch(
        mine.filter((job) => missing.has(job.id)),
        'missing',
      );
      // Those that are there move to the end of the line, so that the next sweep looks at others.
      await markDispatched(
        pool,
        mine.filter((job) => !missing.has(job.id)),
      );
    }
  };

  const run = async (signal: AbortSignal): Promise<void> => {
    let sweptAt = 0;
    let purgedAt = performance.now();
    while (!signal.aborted) {
      try {
        await tick();
        if (performance.now() - sweptAt > SWEEP_EVERY_MS) {
          sweptAt = performance.now();
          await sweep();
        }
        if (performance.now() - purgedAt > PURGE_EVERY_MS) {
          purgedAt = performance.now();
          while (!signal.aborted && (await purge(pool, resources.resultTtlSeconds)) > 0);
        }
      } catch (error) {
        log.warn({ err: error }, 'The relay tries again');
      }
      await pause(TICK_MS, signal);
    }
  };
  return { tick, sweep, run };
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener('abort', finish);
  });
