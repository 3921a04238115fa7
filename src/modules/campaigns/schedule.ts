import type { Pool } from 'pg';
import { campaigns } from '#queues/campaigns.ts';
import type { Producer } from '#queues/producer.ts';
import { settleCampaigns, settleUnknown, sweepItems } from '#src/modules/campaigns/items.query.ts';
import { findToWake, purgeCounters, startScheduled, tellProgress } from '#src/modules/campaigns/schedule.query.ts';

const BATCH = 1000;

/**
 * Wakes workers for channels and campaigns with something to do, as the system. To wake for what is waited for already changes nothing, so
 * all that Redis lost, or was never told, is found here again.
 */
export async function scheduleCampaigns(systemPool: Pool, producer: Pick<Producer, 'enqueue'>): Promise<void> {
  const refs = await findToWake(systemPool, BATCH);
  if (refs.length === 0) return;
  await producer.enqueue(
    campaigns.name,
    refs.map((ref) => ({ ref, band: campaigns.band, delayMs: 0 })),
  );
}

/** What happens to campaigns by itself, as the system: they begin, lose what nobody holds any more, end, are paused and are told of. */
export async function tendCampaigns(systemPool: Pool): Promise<void> {
  await startScheduled(systemPool);
  while ((await sweepItems(systemPool)) > 0);
  await settleCampaigns(systemPool);
  await settleUnknown(systemPool);
  await tellProgress(systemPool);
  await purgeCounters(systemPool);
}
