import type Stripe from 'stripe';
import type { Logger } from 'pino';
import { z } from 'zod';
import { publicUrl, type Config } from '#src/config.ts';
import { AppError, badRequest, conflict, unavailable } from '#src/errors.ts';
import { PLANS } from '#src/http/access-token.ts';
import { PaymentEvent, type Answered, type PaymentProvider } from '#src/modules/payments/provider.ts';
import {
  noteOf,
  refOf,
  toDispute,
  toInvoice,
  toPaymentEvent,
  toSubscription,
} from '#src/modules/payments/stripe-translate.ts';

const TIMEOUT_MS = 10_000;
const RETRY_AFTER_MS = 5000;
/** How old a signature may be (Stripe's default). */
const TOLERANCE_SECONDS = 300;
/** How often the same was refused before we say so again without having asked anew. */
const MAX_REFUSALS = 20;

/** The year 9999: later ones no table takes. */
const MAX_SECONDS = 253_402_300_799;

type Api = Stripe;
type StripeConfig = Pick<
  Config,
  | 'STRIPE_API_KEY'
  | 'STRIPE_WEBHOOK_SECRET'
  | 'STRIPE_BASE_URL'
  | 'STRIPE_PRICES'
  | 'BILLING_RETURN_URL'
  | 'PUBLIC_URL'
  | 'HOST'
  | 'PORT'
>;

/** @returns what clients are told of a failure of Stripe's: a wait while it is away, and never that it was our fault */
function problemOf({ errors }: typeof Stripe, error: unknown, log: Logger): AppError {
  if (!(error instanceof errors.StripeError)) throw error;
  const { statusCode, code, type, requestId } = error;
  if (error instanceof errors.StripeCardError)
    return new AppError(422, 'payment_refused', 'The payment was refused. Use another way to pay.', { cause: error });
  if (error instanceof errors.StripeIdempotencyError || code === 'idempotency_key_in_use')
    return conflict('payment_in_progress', 'The same is being done already. Look again in a moment.');
  const isRefusal = error instanceof errors.StripeInvalidRequestError;
  log[isRefusal ? 'warn' : 'error']({ statusCode, code, type, requestId }, 'Stripe did not do what it was asked to');
  if (isRefusal)
    return new AppError(409, 'payment_provider_refused', 'The payment provider refused this.', { cause: error });
  // Away, too busy, or our key is no good: nothing a client can do but wait.
  return unavailable('payment_provider_unavailable', 'The payment provider is away.', RETRY_AFTER_MS, error);
}

/** Opens Stripe; null without a key. Its library is loaded only then. */
export async function openStripe(config: StripeConfig, log: Logger): Promise<PaymentProvider | null> {
  if (config.STRIPE_API_KEY === undefined) return null;
  const { default: Library } = await import('stripe');
  const { protocol, hostname, port } = new URL(config.STRIPE_BASE_URL);
  const stripe = new Library(config.STRIPE_API_KEY, {
    protocol: protocol === 'http:' ? 'http' : 'https',
    host: hostname,
    ...(port && { port }),
    timeout: TIMEOUT_MS,
    maxNetworkRetries: 1,
    telemetry: false,
    appInfo: { name: 'WhatsHybrid' },
  });
  const ask = async <Result>(call: () => Promise<Result>): Promise<Result> => {
    try {
      return await call();
    } catch (error) {
      throw problemOf(Library, error, log);
    }
  };
  /** The same where that there is no such thing is an answer. */
  const find = async <Result>(call: () => Promise<Result>): Promise<Result | null> => {
    try {
      return await call();
    } catch (error) {
      if (error instanceof Library.errors.StripeError && error.code === 'resource_missing') return null;
      throw problemOf(Library, error, log);
    }
  };
  const major = Library.API_VERSION.split('.').at(-1);
  const send: Send = async (key, call) => {
    let idempotencyKey = key;
    for (let refusals = 0; ; refusals += 1) {
      try {
        return await call({ idempotencyKey });
      } catch (error) {
        const before = refusalBefore(Library, error);
        if (before === undefined || refusals === MAX_REFUSALS) throw problemOf(Library, error, log);
        idempotencyKey = `${key}-${before}`;
      }
    }
  };
  return {
    name: 'stripe',
    ...pricesOf(config),
    ...sales({ stripe, config, ask, find, send }),
    ...subscriptions({ stripe, ask, find, send }),
    ...reading({ stripe, find }),
    verify(body, signature) {
      const event = signedEvent(stripe, config.STRIPE_WEBHOOK_SECRET, body, signature);
      if (!event) return null;
      // Releases of the same name read alike. Of another one what was paid would not be found, and nobody would hear of it.
      if (event.api_version?.split('.').at(-1) !== major) {
        const about = { event: event.id, version: event.api_version, expected: Library.API_VERSION };
        log.error(about, "Stripe's webhook endpoint is of another API version");
        throw badRequest('wrong_api_version', `Make the endpoint of API version ${Library.API_VERSION}.`);
      }
      const { id, type, created } = event;
      return { id, type, occurredAt: new Date(created * 1000), event: readEvent(event, log) };
    },
  };
}

type Ask = <Result>(call: () => Promise<Result>) => Promise<Result>;
type Find = <Result>(call: () => Promise<Result>) => Promise<Result | null>;
/** Sends what changes something, once for each key; what was refused may be sent again. */
type Send = <Result>(key: string, call: (once: { idempotencyKey: string }) => Promise<Result>) => Promise<Result>;

/**
 * Stripe answers a key with what it answered at first, for a day, refusals too ("Idempotent requests"). Whoever has another card by now asks anew,
 * under a key that all who were refused the same come to.
 * @returns the request that was refused then; undefined: this is no answer of before, or may have been done
 */
function refusalBefore({ errors }: typeof Stripe, error: unknown): string | undefined {
  if (!(error instanceof errors.StripeError) || error.headers?.['idempotent-replayed'] !== 'true') return undefined;
  const { statusCode = 500 } = error;
  return statusCode < 500 ? error.headers['original-request'] : undefined;
}

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
function signedEvent(stripe: Api, secrets: string[], body: Buffer, signature: string): Stripe.Event | null {
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

function pricesOf({ STRIPE_PRICES }: StripeConfig): Pick<PaymentProvider, 'priceOf' | 'planOf'> {
  return {
    priceOf: (plan) => STRIPE_PRICES.get(plan),
    planOf: (priceRef) => PLANS.find((plan) => priceRef !== null && STRIPE_PRICES.get(plan) === priceRef),
  };
}

/**
 * By Stripe's clock, which its events go by. An answer that was long under way is of when it was asked for: what happened meanwhile is newer.
 * @param since when it was asked for, by `performance.now()`
 */
function answered<One, Snapshot>(
  one: Stripe.Response<One>,
  read: (one: One) => Snapshot | null,
  since: number,
): Answered<Snapshot> {
  const snapshot = read(one);
  const secondsAgo = Math.floor((performance.now() - since) / 1000);
  const at = new Date(Date.parse(one.lastResponse.headers['date'] ?? '') - secondsAgo * 1000);
  if (!snapshot || Number.isNaN(at.getTime()))
    throw unavailable('payment_provider_unavailable', 'The payment provider gave an odd answer.', RETRY_AFTER_MS);
  return { at, snapshot };
}

interface Calls {
  stripe: Api;
  config: StripeConfig;
  ask: Ask;
  find: Find;
  send: Send;
}

function sales({ stripe, config, ask, send }: Calls) {
  const returnUrl = config.BILLING_RETURN_URL ?? `${publicUrl(config)}/billing-return`;
  const sessions = stripe.checkout.sessions;
  return {
    async createCustomer(workspaceId) {
      const params = { metadata: { workspaceId } };
      return (await send(`customer-${workspaceId}`, (once) => stripe.customers.create(params, once))).id;
    },
    async openCheckout({ id, customerRef, priceRef, workspaceId }) {
      const params: Stripe.Checkout.SessionCreateParams = {
        mode: 'subscription',
        customer: customerRef,
        client_reference_id: id,
        line_items: [{ price: priceRef, quantity: 1 }],
        success_url: returnUrl,
        cancel_url: returnUrl,
        subscription_data: { metadata: { workspaceId } },
      };
      const session = await send(`checkout-${id}-${priceRef}`, (once) => sessions.create(params, once));
      if (session.url === null) throw conflict('checkout_closed', 'This checkout was completed or has expired.');
      return { ref: session.id, url: session.url, expiresAt: new Date(session.expires_at * 1000) };
    },
    async closeCheckout(ref) {
      const { status } = await ask(() => sessions.retrieve(ref));
      if (status !== 'open') return status !== 'complete';
      return (await send(`expire-${ref}`, (once) => sessions.expire(ref, {}, once))).status === 'expired';
    },
    async openPortal(customer) {
      const params = { customer, return_url: returnUrl };
      return (await send(`portal-${crypto.randomUUID()}`, (once) => stripe.billingPortal.sessions.create(params, once)))
        .url;
    },
    async refund(invoice, refundedMinor) {
      const { data } = await ask(() => stripe.invoicePayments.list({ invoice, status: 'paid' }));
      const payment_intent = refOf(data[0]?.payment.payment_intent);
      if (payment_intent === null) throw conflict('nothing_to_refund', 'No payment of this invoice can be given back.');
      const { data: charges } = await ask(() => stripe.charges.list({ payment_intent }));
      const before = charges.reduce((sum, { amount_refunded }) => sum + amount_refunded, 0);
      if (before >= refundedMinor) return;
      // Of what was given back so far: two who give back at once cannot give back both.
      const params = { payment_intent, amount: refundedMinor - before };
      await send(`refund-${invoice}-${before}`, (once) => stripe.refunds.create(params, once));
    },
  } satisfies Partial<PaymentProvider>;
}

function subscriptions({ stripe, ask, find, send }: Omit<Calls, 'config'>) {
  const read = async (ref: string) => {
    const since = performance.now();
    return answered(await ask(() => stripe.subscriptions.retrieve(ref)), toSubscription, since);
  };
  const update = async (ref: string, params: Stripe.SubscriptionUpdateParams, key: string) => {
    const since = performance.now();
    const one = await send(key, (once) => stripe.subscriptions.update(ref, params, once));
    // An answer of before says what was so then, and has the time of now.
    return one.lastResponse.headers['idempotent-replayed'] === 'true'
      ? read(ref)
      : answered(one, toSubscription, since);
  };
  const itemOf = async (ref: string) => {
    const [item] = (await ask(() => stripe.subscriptions.retrieve(ref))).items.data;
    if (!item) throw conflict('payment_provider_refused', 'The subscription has nothing that could be changed.');
    return item;
  };
  return {
    async setCancel(ref, isCanceling, key) {
      const since = performance.now();
      const one = await ask(() => stripe.subscriptions.retrieve(ref));
      // Its portal notes a moment, and not that it is the period's end; only one of the two can be set.
      const isByMoment = one.cancel_at !== null && !one.cancel_at_period_end;
      if (!isByMoment) return update(ref, { cancel_at_period_end: isCanceling }, key);
      return isCanceling ? answered(one, toSubscription, since) : update(ref, { cancel_at: '' }, key);
    },
    async changePrice(ref, price, key) {
      const { id } = await itemOf(ref);
      const params: Stripe.SubscriptionUpdateParams = {
        items: [{ id, price }],
        metadata: noteOf(null, 0),
        proration_behavior: 'always_invoice',
        // Without the payment nothing changes.
        payment_behavior: 'error_if_incomplete',
      };
      return update(ref, params, key);
    },
    async changeNextPrice(ref, { priceRef, keptPlan }, key) {
      const { id, current_period_end } = await itemOf(ref);
      const metadata = noteOf(keptPlan, current_period_end);
      return update(ref, { items: [{ id, price: priceRef }], metadata, proration_behavior: 'none' }, key);
    },
    async cancelNow(ref, key) {
      await find(() => stripe.subscriptions.cancel(ref, {}, { idempotencyKey: key }));
      // Stripe collects what is overdue no more, but whoever has its page could pay it still, for nothing.
      const open = await find(() => stripe.invoices.list({ subscription: ref, status: 'open', limit: 100 }));
      for (const { id } of open?.data ?? [])
        await find(() => stripe.invoices.voidInvoice(id, {}, { idempotencyKey: `void-${id}` }));
      // Gone for Stripe once it was canceled before; and it may have been answered before.
      return read(ref);
    },
    async findSubscription(ref) {
      const since = performance.now();
      const found = await find(() => stripe.subscriptions.retrieve(ref));
      return found && answered(found, toSubscription, since);
    },
  } satisfies Partial<PaymentProvider>;
}

function reading({ stripe, find }: Pick<Calls, 'stripe' | 'find'>) {
  return {
    async findInvoice(ref) {
      const found = await find(() => stripe.invoices.retrieve(ref));
      return found && toInvoice(found);
    },
    async findInvoiceOf(payment_intent) {
      const payment = { type: 'payment_intent', payment_intent } as const;
      const { data } = (await find(() => stripe.invoicePayments.list({ payment }))) ?? { data: [] };
      const invoice = data[0]?.invoice;
      return typeof invoice === 'string' ? invoice : (invoice?.id ?? null);
    },
    async findCharge(ref) {
      const found = await find(() => stripe.charges.retrieve(ref));
      const [customerRef, paymentRef] = [refOf(found?.customer), refOf(found?.payment_intent)];
      return customerRef === null || paymentRef === null ? null : { customerRef, paymentRef };
    },
    async findDispute(ref) {
      const since = performance.now();
      const found = await find(() => stripe.disputes.retrieve(ref));
      return found && answered(found, toDispute, since);
    },
  } satisfies Partial<PaymentProvider>;
}
