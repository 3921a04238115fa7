import { z } from 'zod';
import { nameText } from '#src/http/fields.ts';
import { pageOf } from '#src/http/page.ts';
import { VERSIONS } from '#src/modules/webhooks/payload.ts';
import { closeMatches, SUBSCRIPTIONS } from '#src/modules/webhooks/subscription.ts';

const MAX_EVENTS = 50;

/** A type of the catalogue, `*`, or the beginning of some types and `.*`. */
export const EventName = z.enum(SUBSCRIPTIONS, {
  error: ({ input }) => {
    const near = typeof input === 'string' ? closeMatches(input) : [];
    return near.length > 0 ? `is no event; did you mean ${near.join(' or ')}?` : 'is no event; see /api/webhook-events';
  },
});

const EventNames = z
  .array(EventName)
  .min(1)
  .max(MAX_EVENTS)
  .transform((names) => [...new Set(names)]);

const fields = {
  name: nameText(120),
  url: z.string().trim().min(1).max(2048),
  events: EventNames,
  /** One delivery at a time, in the order in which things happened. */
  ordered: z.boolean(),
  /** Signs with Ed25519 (`v1a`) as well. */
  asymmetric: z.boolean(),
};

export const WebhookBody = z.strictObject({
  ...fields,
  ordered: fields.ordered.default(false),
  asymmetric: fields.asymmetric.default(false),
});
export type WebhookBody = z.infer<typeof WebhookBody>;

export const WebhookPatch = z
  .strictObject({ ...fields, payloadVersion: z.enum(VERSIONS.map(({ name }) => name)) })
  .partial()
  .refine((patch) => Object.keys(patch).length > 0, 'must change something');
export type WebhookPatch = z.infer<typeof WebhookPatch>;

/** How long the old secret is signed with beside the new one. */
export const RotateSecretBody = z.strictObject({ graceHours: z.int().min(0).max(168).default(24) });

export const WebhookView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    url: z.string(),
    events: z.array(z.string()),
    ordered: z.boolean(),
    asymmetric: z.boolean(),
    payloadVersion: z.string(),
    /** What to verify `v1a` signatures with. */
    publicKey: z.string().nullable(),
    /** Until then deliveries are signed with the secret before this one too. */
    previousSecretUntil: z.iso.datetime().nullable(),
    status: z.enum(['active', 'disabled']),
    disabledReason: z.string().nullable(),
    disabledAt: z.iso.datetime().nullable(),
    /** Since when nothing has succeeded. */
    failingSince: z.iso.datetime().nullable(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Webhook' });
export type WebhookView = z.infer<typeof WebhookView>;

export const WebhookPage = pageOf(WebhookView);

/** The only answers that have the secret. */
export const NewWebhookView = WebhookView.extend({ secret: z.string() }).meta({ id: 'NewWebhook' });
export type NewWebhookView = z.infer<typeof NewWebhookView>;

export const WebhookEventsView = z.object({
  versions: z.array(z.string()),
  data: z.array(
    z.object({
      type: z.string(),
      description: z.string(),
      /** JSON Schema (2020-12) of `data`. */
      schema: z.record(z.string(), z.unknown()),
      /** A whole body, as it is delivered. */
      example: z.record(z.string(), z.unknown()),
    }),
  ),
});
