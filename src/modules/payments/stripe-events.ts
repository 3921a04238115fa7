import type Stripe from 'stripe';
import type { Logger } from 'pino';
import { z } from 'zod';
import { badRequest } from '#src/errors.ts';
import { PaymentEvent, type InboundEvent, type PaymentProvider } from '#src/modules/payments/provider.ts';
import type { StripeClient } from '#src/modules/payments/stripe-client.ts';
import { toPaymentEvent } from '#src/modules/payments/stripe-translate.ts';

/** How old a signature may be (Stripe's default). */
const TOLERANCE_SECONDS = 300;
/** The year 9999: later ones no table takes. */
const MAX_SECONDS = 253_402_300_799;
/** Releases of the same name read alike. */
const nameOf = (version: string | null | undefined) => version?.split('.').at(-1);

/** What every event has, whatever it tells; `created` in seconds. */
const Envelope = z.object({
  id: z.string().regex(/^[\w-]{1,255}$/),
  type: z.string().regex(/^[\w.]{1,255}$/),
  created: z.int().min(0).max(MAX_SECONDS),
  api_version: z.string().nullish(),
  data: z.object({ object: z.object() }),
});

/** What tells of refunds and disputes. Of these an event names what is asked for then, or what all versions say alike. */
const RETURNS: string[] = [
  'charge.refunded',
  'charge.refund.updated',
  'refund.updated',
  'refund.failed',
  'charge.dispute.created',
  'charge.dispute.updated',
  'charge.dispute.funds_withdrawn',
  'charge.dispute.funds_reinstated',
  'charge.dispute.closed',
] satisfies Stripe.Event['type'][];
const PAGE = 100;

/** @throws AppError 400 for what is not as its type says: stored, it would be tried for ever */
function readEvent(event: Stripe.Event, log: Logger): InboundEvent {
  const { id, type, created } = event;
  try {
    const told = toPaymentEvent(event);
    return { id, type, occurredAt: new Date(created * 1000), event: told && PaymentEvent.parse(told) };
  } catch (error) {
    log.error({ err: error, event: id, type }, 'An event of Stripe cannot be read');
    throw badRequest('unreadable_event', 'This event is not as its type says.');
  }
}

/** @returns null for one that Stripe did not sign with any of the secrets, or that is too old */
function signedEvent(stripe: Stripe, secrets: string[], body: Buffer, signature: string): Stripe.Event | null {
  for (const secret of secrets) {
    try {
      const event = stripe.webhooks.constructEvent(body, signature, secret, TOLERANCE_SECONDS);
      // What is signed well and no event is none of Stripe's.
      return Envelope.safeParse(event).success ? event : null;
    } catch {
      // Of another secret, of another body, or too old.
    }
  }
  return null;
}

/** Reads what Stripe tells, by any of the secrets, or has told. */
export function verifying({ stripe, version, ask, find }: StripeClient, secrets: string[], log: Logger) {
  const isOfVersion = (event: Stripe.Event) => nameOf(event.api_version) === nameOf(version);
  /** What is asked for is of the account's own version, whatever that of its endpoints. */
  const readAsked = (event: Stripe.Event): InboundEvent | null => {
    if (!RETURNS.includes(event.type) && !isOfVersion(event)) return null;
    try {
      return readEvent(event, log);
    } catch {
      return null;
    }
  };
  return {
    verify(body, signature) {
      const event = signedEvent(stripe, secrets, body, signature);
      if (!event) return null;
      // Of another version what was paid would not be found, and nobody would hear of it.
      if (!isOfVersion(event)) {
        const about = { event: event.id, version: event.api_version, expected: version };
        log.error(about, "Stripe's webhook endpoint is of another API version");
        throw badRequest('wrong_api_version', `Make the endpoint of API version ${version}.`);
      }
      return readEvent(event, log);
    },
    async findEvent(ref) {
      const found = await find(() => stripe.events.retrieve(ref));
      return found && readAsked(found);
    },
    async findReturns(since, after) {
      const created = { gte: Math.floor(since.getTime() / 1000) };
      const params = { types: RETURNS, created, limit: PAGE };
      // Where the page before ended is too old to be had, so is all that follows.
      const page =
        after === null
          ? await ask(() => stripe.events.list(params))
          : await find(() => stripe.events.list({ ...params, starting_after: after }));
      const told = page?.data.flatMap((event) => readAsked(event) ?? []) ?? [];
      return { told, next: (page?.has_more && page.data.at(-1)?.id) || null };
    },
  } satisfies Partial<PaymentProvider>;
}
