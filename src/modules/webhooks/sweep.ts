import type { Pool } from 'pg';
import type { Producer } from '#queues/producer.ts';
import { findDue } from '#src/modules/webhooks/sweep.query.ts';
import { LANES } from '#src/modules/webhooks/step.query.ts';
import { wake } from '#src/modules/webhooks/wake.ts';

/**
 * Wakes workers for what is due: retries, and what a lost Redis, a dead worker or an opened breaker left. To wake for what is waited for
 * already changes nothing.
 */
export async function sweepDeliveries(systemPool: Pool, producer: Pick<Producer, 'enqueue'>): Promise<number> {
  const due = await findDue(systemPool, LANES);
  if (due.length > 0) await wake(producer, due);
  return due.length;
}
