import type { Producer } from '#queues/producer.ts';
import { webhooks } from '#queues/webhooks.ts';

export interface DeliveryKey {
  workspaceId: string;
  id: string;
}

/** Has workers look what is due for the endpoints of these deliveries. @throws when Redis is away; the sweep wakes them then */
export function wake(producer: Pick<Producer, 'enqueue'>, deliveries: readonly DeliveryKey[]): Promise<void> {
  return producer.enqueue(
    webhooks.name,
    deliveries.map(({ workspaceId, id }) => ({ ref: { workspaceId, jobId: id }, band: webhooks.band, delayMs: 0 })),
  );
}
