import type { Producer } from '#queues/producer.ts';
import type { Consumer } from '#src/events/relay.ts';
import { insertDeliveries } from '#src/modules/webhooks/consumer.query.ts';
import { LANES } from '#src/modules/webhooks/step.query.ts';
import { isAddressed, patternsOf } from '#src/modules/webhooks/subscription.ts';
import { wake } from '#src/modules/webhooks/wake.ts';

/**
 * Makes a delivery of every event for every endpoint that subscribed to it, once, in the relay's transaction. Afterwards workers are woken,
 * for as many deliveries of an endpoint as may be under way: who has delivered one goes on with the next.
 */
export function createWebhookConsumer(producer: Pick<Producer, 'enqueue'>): Consumer {
  return {
    name: 'webhooks',
    async handle(tx, events) {
      const told = events.filter(({ type }) => !isAddressed(type));
      if (told.length === 0) return undefined;
      const made = await insertDeliveries(
        tx,
        told.map((event) => ({ ...event, patterns: patternsOf(event.type) })),
        LANES,
      );
      return made.length === 0 ? undefined : () => wake(producer, made);
    },
  };
}
