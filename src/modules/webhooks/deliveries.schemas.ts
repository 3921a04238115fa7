import { z } from 'zod';
import { IdText } from '#src/http/fields.ts';
import { PageQuery, pageOf } from '#src/http/page.ts';
import { EventName } from '#src/modules/webhooks/webhooks.schemas.ts';

export const DeliveryStatus = z.enum(['pending', 'sending', 'delivered', 'failed', 'cancelled']);

export const DeliveryParams = z.strictObject({ id: IdText, deliveryId: IdText });

export const DeliveryListQuery = PageQuery.extend({
  status: DeliveryStatus.optional(),
  type: z.string().max(100).optional(),
});

export const DeliveryView = z
  .object({
    id: z.uuid(),
    webhookId: z.uuid(),
    /** What receivers see as `webhook-id`: the same in every try and replay. */
    eventId: z.uuid(),
    type: z.string(),
    cause: z.enum(['event', 'replay', 'test']),
    sequence: z.int(),
    status: DeliveryStatus,
    attempts: z.int(),
    nextAttemptAt: z.iso.datetime().nullable(),
    /** Of the last try. */
    responseStatus: z.int().nullable(),
    responseSnippet: z.string().nullable(),
    durationMs: z.int().nullable(),
    error: z.string().nullable(),
    createdAt: z.iso.datetime(),
    finishedAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'WebhookDelivery' });
export type DeliveryView = z.infer<typeof DeliveryView>;

export const DeliveryPage = pageOf(DeliveryView);

const AttemptView = z.object({
  at: z.iso.datetime(),
  responseStatus: z.int().nullable(),
  durationMs: z.int(),
  error: z.string().nullable(),
});

/** A delivery with its last twelve tries and its body; null when the event is no longer kept. */
export const DeliveryDetailView = DeliveryView.extend({
  tries: z.array(AttemptView),
  body: z.string().nullable(),
}).meta({ id: 'WebhookDeliveryDetail' });
export type DeliveryDetailView = z.infer<typeof DeliveryDetailView>;

const Moment = z.iso
  .datetime({ offset: true })
  .refine((text) => Date.parse(text) >= 0 && Date.parse(text) < Date.UTC(9999, 0), 'must be between 1970 and 9999');

/** Events from `from` on and before `to`, or until now; of the types named, or of all the webhook subscribed to. */
export const ReplayBody = z
  .strictObject({ from: Moment, to: Moment.optional(), types: z.array(EventName).min(1).max(50).optional() })
  .refine(({ from, to }) => to === undefined || Date.parse(from) < Date.parse(to), {
    path: ['to'],
    message: 'must be after from',
  });
export type ReplayBody = z.infer<typeof ReplayBody>;

export const ReplayView = z.object({ deliveries: z.int() });
