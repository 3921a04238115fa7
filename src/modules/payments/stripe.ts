import type Stripe from 'stripe';
import type { Logger } from 'pino';
import { publicUrl, type Config } from '#src/config.ts';
import { AppError, conflict, unavailable } from '#src/errors.ts';
import { PLANS } from '#src/http/access-token.ts';
import type { Answered, PaymentProvider, SubscriptionSnapshot } from '#src/modules/payments/provider.ts';
import { toInvoice, toPaymentEvent, toSubscription } from '#src/modules/payments/stripe-translate.ts';

const TIMEOUT_MS = 10_000;
const RETRY_AFTER_MS = 5000;
/** How old a signature may be (Stripe's default). */
const TOLERANCE_SECONDS = 300;

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
  return { name: 'stripe', ...pricesOf(config), ...sales(stripe, config, ask, find), ...reading(stripe, config, find) };
}

type Ask = <Result>(call: () => Promise<Result>) => Promise<Result>;
type Find = <Result>(call: () => Promise<Result>) => Promise<Result | null>;

function pricesOf({ STRIPE_PRICES }: StripeConfig): Pick<PaymentProvider, 'priceOf' | 'planOf'> {
  return {
    priceOf: (plan) => STRIPE_PRICES.get(plan),
    planOf: (priceRef) => PLANS.find((plan) => priceRef !== null && STRIPE_PRICES.get(plan) === priceRef),
  };
}

/** By Stripe's clock, which its events go by. */
function answered(one: Stripe.Response<Stripe.Subscription>): Answered<SubscriptionSnapshot> {
  const snapshot = toSubscription(one);
  const at = new Date(one.lastResponse.headers['date'] ?? '');
  if (!snapshot || Number.isNaN(at.getTime()))
    throw unavailable('payment_provider_unavailable', 'The payment provider gave an odd answer.', RETRY_AFTER_MS);
  return { at, snapshot };
}

function sales(stripe: Api, config: StripeConfig, ask: Ask, find: Find) {
  const returnUrl = config.BILLING_RETURN_URL ?? `${publicUrl(config)}/billing-return`;
  const sessions = stripe.checkout.sessions;
  return {
    async createCustomer(workspaceId) {
      const key = { idempotencyKey: `customer-${workspaceId}` };
      return (await ask(() => stripe.customers.create({ metadata: { workspaceId } }, key))).id;
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
      const session = await ask(() => sessions.create(params, { idempotencyKey: `checkout-${id}` }));
      if (session.url === null) throw conflict('checkout_closed', 'This checkout was completed or has expired.');
      return { ref: session.id, url: session.url, expiresAt: new Date(session.expires_at * 1000) };
    },
    async closeCheckout(ref) {
      const { status } = await ask(() => sessions.retrieve(ref));
      if (status !== 'open') return status !== 'complete';
      const key = { idempotencyKey: `expire-${ref}` };
      return ask(async () => (await sessions.expire(ref, {}, key)).status === 'expired');
    },
    async openPortal(customer) {
      const key = { idempotencyKey: `portal-${crypto.randomUUID()}` };
      const params = { customer, return_url: returnUrl };
      return (await ask(() => stripe.billingPortal.sessions.create(params, key))).url;
    },
    async setCancel(ref, isCanceling, key) {
      const params = { cancel_at_period_end: isCanceling };
      return answered(await ask(() => stripe.subscriptions.update(ref, params, { idempotencyKey: key })));
    },
    async changePrice(ref, price, key) {
      const { items } = await ask(() => stripe.subscriptions.retrieve(ref));
      const [item] = items.data;
      if (!item) throw conflict('payment_provider_refused', 'The subscription has nothing that could be changed.');
      const params: Stripe.SubscriptionUpdateParams = {
        items: [{ id: item.id, price }],
        proration_behavior: 'always_invoice',
        // Without the payment nothing changes.
        payment_behavior: 'error_if_incomplete',
      };
      return answered(await ask(() => stripe.subscriptions.update(ref, params, { idempotencyKey: key })));
    },
    async cancelNow(ref, key) {
      const canceled = await find(() => stripe.subscriptions.cancel(ref, {}, { idempotencyKey: key }));
      // Gone for Stripe once it was canceled before.
      return answered(canceled ?? (await ask(() => stripe.subscriptions.retrieve(ref))));
    },
    async refund(invoice, amount, key) {
      const { data } = await ask(() => stripe.invoicePayments.list({ invoice, status: 'paid' }));
      const payment = data[0]?.payment.payment_intent;
      if (payment === undefined) throw conflict('nothing_to_refund', 'No payment of this invoice can be given back.');
      const params = { payment_intent: typeof payment === 'string' ? payment : payment.id, amount };
      await ask(() => stripe.refunds.create(params, { idempotencyKey: key }));
    },
  } satisfies Partial<PaymentProvider>;
}

function reading(stripe: Api, config: StripeConfig, find: Find) {
  return {
    async findSubscription(ref) {
      const found = await find(() => stripe.subscriptions.retrieve(ref));
      return found && answered(found);
    },
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
    verify(body, signature) {
      for (const secret of config.STRIPE_WEBHOOK_SECRET) {
        try {
          const event = stripe.webhooks.constructEvent(body, signature, secret, TOLERANCE_SECONDS);
          const occurredAt = new Date(event.created * 1000);
          if (Number.isNaN(occurredAt.getTime())) return null;
          return {
            id: event.id,
            type: event.type,
            occurredAt,
            event: toPaymentEvent(event),
          };
        } catch {
          // Of another secret, of another body, or too old; what is signed well and no event is none of Stripe's.
        }
      }
      return null;
    },
  } satisfies Partial<PaymentProvider>;
}
