import type { Pool } from 'pg';
import { bulkOperations } from '#queues/bulk-operations.ts';
import type { Producer } from '#queues/producer.ts';
import { findDueOperations } from '#src/modules/bulk/operations.query.ts';

const BATCH = 1000;

/** Hands out operations that are due, as the system; those in the queue already are left alone. */
export async function scheduleOperations(pool: Pool, producer: Pick<Producer, 'enqueue'>): Promise<void> {
  const refs = await findDueOperations(pool, BATCH);
  if (refs.length === 0) return;
  await producer.enqueue(
    'bulk-operations',
    refs.map((ref) => ({ ref, band: bulkOperations.band, delayMs: 0 })),
  );
}
