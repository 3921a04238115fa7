import type { Pool } from 'pg';
import { createBatcher } from '#src/db/batch.ts';
import type { Producer } from '#queues/producer.ts';
import { queues } from '#queues/index.ts';
import { markDispatched, type Dispatch } from '#src/modules/jobs/relay.query.ts';

const NOTE_EVERY_MS = 500;

/** Puts jobs into Redis; many at once share a round trip. Rejects when Redis is away. */
export type Dispatcher = (job: Dispatch) => Promise<void>;

/** @returns a dispatcher whose jobs of one moment go to Redis in one round trip per queue. */
export function createDispatcher(producer: Producer): Dispatcher {
  return createBatcher<Dispatch, void>({
    max: 500,
    run: async (jobs) => {
      await Promise.all(
        queues.map(async ({ name }) => {
          const mine = jobs.filter((job) => job.queue === name);
          if (mine.length === 0) return;
          await producer.enqueue(
            name,
            mine.map((job) => ({
              ref: { workspaceId: job.workspaceId, jobId: job.id },
              band: job.band,
              delayMs: job.delayMs,
            })),
          );
        }),
      );
      return jobs.map(() => ({ value: undefined }));
    },
  });
}

/**
 * Dispatches accepted jobs in the background and notes it in Postgres twice a second. Most jobs have been claimed by then and
 * cost no write. A job that is not noted (Redis away, this process killed) is the relay's to dispatch.
 */
export function createAfterAccept(pool: Pool, dispatch: Dispatcher, onError: (error: unknown) => void) {
  let dispatched: Dispatch[] = [];
  const note = async (): Promise<void> => {
    if (dispatched.length === 0) return;
    const batch = dispatched;
    dispatched = [];
    await markDispatched(pool, batch);
  };
  const timer = setInterval(() => void note().catch(onError), NOTE_EVERY_MS);
  return {
    push(job: Dispatch): void {
      dispatch(job).then(() => void dispatched.push(job), onError);
    },
    async close(): Promise<void> {
      clearInterval(timer);
      await note().catch(onError);
    },
  };
}
