import type Stripe from 'stripe';
import type { Logger } from 'pino';
import { z } from 'zod';
import { badRequest } from '#src/errors.ts';
import { PaymentEvent, type PaymentProvider } from '#src/modules/payments/provider.ts';
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

/** @throws AppError 400 for what is not as its type says: stored, it would be tried for ever */
function readEvent(event: Stripe.Event, log: Logger): PaymentEvent | null {
  try {
    const told = toPaymentEvent(event);
    return told && PaymentEvent.parse(told);
  } catch (error) {
    log.error({ err: error, event: event.id, type: event.type }, 'An event of Stripe cannot be read');
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

/** Reads what Stripe tells, by any of the secrets. */
export function verifying(
  { stripe, version }: Pick<StripeClient, 'stripe' | 'version'>,
  secrets: string[],
  log: Logger,
): Pick<PaymentProvider, 'verify'> {
  return {
    verify(body, signature) {
      const event = signedEvent(stripe, secrets, body, signature);
      if (!event) return null;
      // Of another version what was paid would not be found, and nobody would hear of it.
      if (nameOf(event.api_version) !== nameOf(version)) {
        const about = { event: event.id, version: event.api_version, expected: version };
        log.error(about, "Stripe's webhook endpoint is of another API version");
        throw badRequest('wrong_api_version', `Make the endpoint of API version ${version}.`);
      }
      const { id, type, created } = event;
      return { id, type, occurredAt: new Date(created * 1000), event: readEvent(event, log) };
    },
  };
}
