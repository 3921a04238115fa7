import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { BANDS, type Band } from '#queues/define.ts';
import { queues, type QueueName } from '#queues/index.ts';
import { signJobRef, type JobRef } from '#queues/job-ref.ts';

/** A job to be put into its queue. */
export interface Enqueue {
  ref: Omit<JobRef, 'mac'>;
  band: Band;
  /** Milliseconds until it may start. */
  delayMs: number;
}

/** The only way into the queues. */
export interface Producer {
  /**
   * Adds jobs to one queue in one round trip; a job that is there already is left alone, so it may be called again.
   * @throws when Redis does not answer in time: some of the jobs may then be in.
   */
  enqueue(queue: QueueName, jobs: Enqueue[]): Promise<void>;
  /** Takes ended or stuck entries out, so that the same jobs can be added anew; entries a worker holds stay. */
  remove(queue: QueueName, jobIds: string[]): Promise<void>;
  /** @returns those of the ids that Redis will not hand out: it knows nothing of them, or holds them for ended. */
  findMissing(queue: QueueName, jobIds: string[]): Promise<string[]>;
  /** The queues, for Bull Board. */
  queues: Queue[];
  close(): Promise<void>;
}

const PATIENCE_MS = 1000;

const isDead = (state: string | undefined): boolean =>
  state === 'unknown' || state === 'completed' || state === 'failed';

/**
 * Opens all queues for adding.
 * @param connection must wait for a Redis that is away: BullMQ asks it once, when a queue is opened, and a queue whose question
 * failed stays broken for ever. The calls here fail fast all the same, since accepted work is safe in Postgres.
 * @param key signs the references (see `job-ref.ts`)
 */
export function createProducer(connection: Redis, prefix: string, key: Uint8Array): Producer {
  const byName = new Map(
    queues.map((contract) => {
      const queue = new Queue(contract.name, {
        connection,
        prefix,
        skipWaitingForReady: true,
        streams: { events: { maxLen: 1000 } },
        defaultJobOptions: {
          // Retries are counted in Postgres; these tries are only for a database that is away while a job is claimed or ended.
          attempts: 1000,
          backoff: { type: 'custom' },
          removeOnComplete: contract.keep.completed,
          removeOnFail: contract.keep.failed,
        },
      });
      // Redis going away is told by the calls that fail; an 'error' event without a listener would end the process.
      queue.on('error', () => undefined);
      return [contract.name, queue] as const;
    }),
  );
  const withQueue = async <Result>(name: QueueName, work: (queue: Queue) => Promise<Result>): Promise<Result> => {
    const queue = byName.get(name);
    if (!queue) throw new Error(`There is no queue ${name}`);
    if (connection.status !== 'ready') throw new Error('Redis is away');
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error('Redis did not answer in time')), PATIENCE_MS);
    try {
      return await Promise.race([work(queue), late]);
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    queues: [...byName.values()],
    async enqueue(name, jobs) {
      const entries = jobs.map((job) => ({
        name,
        data: signJobRef(key, job.ref),
        opts: { jobId: job.ref.jobId, priority: BANDS[job.band], delay: job.delayMs },
      }));
      await withQueue(name, (queue) => queue.addBulk(entries));
    },
    async remove(name, jobIds) {
      await withQueue(name, (queue) => Promise.all(jobIds.map((id) => queue.remove(id))));
    },
    async findMissing(name, jobIds) {
      const found = await withQueue(name, (queue) => Promise.all(jobIds.map((id) => queue.getJobState(id))));
      return jobIds.filter((_, index) => isDead(found[index]));
    },
    async close() {
      await Promise.all([...byName.values()].map((queue) => queue.close()));
    },
  };
}
