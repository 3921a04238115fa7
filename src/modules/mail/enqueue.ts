import type { Pool } from 'pg';
import { NO_WORKSPACE } from '#queues/job-ref.ts';
import type { Producer } from '#queues/producer.ts';
import { findDueMails } from '#src/modules/mail/sender.query.ts';

const BATCH = 200;
/** A mail that is due for longer is put in again, in case Redis lost it; while it is there, that changes nothing. */
const AGAIN_MS = 10_000;

/**
 * Puts mails that are due into their queue. Postgres stays the truth: an entry is only a note that there is something to send, so it may be
 * put in by several, again, or late.
 * @returns a function that does it once and tells how many it put in
 */
export function createMailQueue(pool: Pool, producer: Pick<Producer, 'enqueue'>): () => Promise<number> {
  const put = new Map<string, number>();
  return async () => {
    const now = performance.now();
    for (const [id, until] of put) if (until <= now) put.delete(id);
    const due = (await findDueMails(pool, BATCH)).filter(({ id }) => !put.has(id));
    if (due.length === 0) return 0;
    const entries = due.map(({ id, purpose }) => ({
      ref: { workspaceId: NO_WORKSPACE, jobId: id },
      // Somebody waits for the link in a mail about their account.
      band: purpose === 'account' ? ('high' as const) : ('low' as const),
      delayMs: 0,
    }));
    await producer.enqueue('notifications', entries);
    for (const { id } of due) put.set(id, now + AGAIN_MS);
    return due.length;
  };
}
