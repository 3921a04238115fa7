import type Stripe from 'stripe';
import type {
  InvoiceSnapshot,
  InvoiceStatus,
  PaymentEvent,
  SubscriptionSnapshot,
  SubscriptionStatus,
} from '#src/modules/payments/provider.ts';
import { isUuid } from '#src/lib/ids.ts';

type Ref = string | { id: string } | null | undefined;

const refOf = (one: Ref): string | null => (typeof one === 'string' ? one : (one?.id ?? null));
const momentOf = (seconds: number | null | undefined): string | null =>
  typeof seconds === 'number' ? new Date(seconds * 1000).toISOString() : null;

// "unpaid" and "paused": nothing is collected any more, and nothing is owed to the customer (Stripe, "How subscriptions work").
const SUBSCRIPTION: Record<string, SubscriptionStatus> = {
  incomplete: 'incomplete',
  trialing: 'trialing',
  active: 'active',
  past_due: 'past_due',
  unpaid: 'canceled',
  paused: 'canceled',
  canceled: 'canceled',
  incomplete_expired: 'canceled',
};

/** What we keep of a subscription of Stripe's. @returns null for one without what it must have */
export function toSubscription(one: Stripe.Subscription): SubscriptionSnapshot | null {
  const customerRef = refOf(one.customer);
  const status = SUBSCRIPTION[one.status];
  if (customerRef === null || status === undefined) return null;
  const item = one.items.data[0];
  const periodEnd = momentOf(item?.current_period_end);
  return {
    ref: one.id,
    customerRef,
    priceRef: refOf(item?.price),
    status,
    periodStart: momentOf(item?.current_period_start),
    periodEnd,
    cancelAt: momentOf(one.cancel_at) ?? (one.cancel_at_period_end ? periodEnd : null),
  };
}

const REASONS: Record<string, InvoiceSnapshot['reason']> = {
  subscription_create: 'period',
  subscription_cycle: 'period',
  subscription_update: 'change',
};

const INVOICE: Record<string, InvoiceStatus> = {
  draft: 'open',
  open: 'open',
  uncollectible: 'uncollectible',
  void: 'void',
  paid: 'paid',
};

/**
 * What we keep of an invoice of Stripe's. Its own period is the one that led to it; what is paid for stands in its lines, and of a change in the
 * line that costs something.
 * @returns null for one without what it must have
 */
export function toInvoice(one: Stripe.Invoice, isFailed = false): InvoiceSnapshot | null {
  const customerRef = refOf(one.customer);
  const status = INVOICE[one.status ?? ''];
  if (!one.id || customerRef === null || status === undefined) return null;
  const line = one.lines.data.toSorted((a, b) => b.amount - a.amount)[0];
  return {
    ref: one.id,
    customerRef,
    subscriptionRef: refOf(one.parent?.subscription_details?.subscription),
    priceRef: refOf(line?.pricing?.price_details?.price),
    reason: REASONS[one.billing_reason ?? ''] ?? 'other',
    status,
    // Below zero it is a credit to the customer's balance: nothing was paid.
    amountMinor: Math.max(0, one.total),
    currency: one.currency.toUpperCase(),
    periodStart: momentOf(line?.period.start),
    periodEnd: momentOf(line?.period.end),
    dueAt: momentOf(one.due_date),
    paidAt: momentOf(one.status_transitions.paid_at),
    url: one.hosted_invoice_url ?? null,
    isFailed,
    nextAttemptAt: momentOf(one.next_payment_attempt),
  };
}

const subscriptionEvent = (one: Stripe.Subscription): PaymentEvent | null => {
  const subscription = toSubscription(one);
  return subscription && { kind: 'subscription', customerRef: subscription.customerRef, subscription };
};

const invoiceEvent = (one: Stripe.Invoice, isFailed = false): PaymentEvent | null => {
  const invoice = toInvoice(one, isFailed);
  return invoice && { kind: 'invoice', customerRef: invoice.customerRef, invoice };
};

function refundEvent(one: Stripe.Charge): PaymentEvent | null {
  const [customerRef, paymentRef] = [refOf(one.customer), refOf(one.payment_intent)];
  if (customerRef === null || paymentRef === null) return null;
  return { kind: 'refund', customerRef, paymentRef, refundedMinor: one.amount_refunded };
}

function checkoutEvent(one: Stripe.Checkout.Session, status: 'completed' | 'expired'): PaymentEvent | null {
  const [customerRef, checkoutId] = [refOf(one.customer), one.client_reference_id];
  if (customerRef === null || checkoutId === null || !isUuid(checkoutId)) return null;
  return { kind: 'checkout', customerRef, checkoutId, status };
}

/** What an event of Stripe's tells us; null: nothing that concerns us. */
export function toPaymentEvent(event: Stripe.Event): PaymentEvent | null {
  if (
    event.type === 'customer.subscription.created' ||
    event.type === 'customer.subscription.updated' ||
    event.type === 'customer.subscription.deleted' ||
    event.type === 'customer.subscription.paused' ||
    event.type === 'customer.subscription.resumed'
  )
    return subscriptionEvent(event.data.object);
  if (
    event.type === 'invoice.finalized' ||
    event.type === 'invoice.paid' ||
    event.type === 'invoice.voided' ||
    event.type === 'invoice.marked_uncollectible'
  )
    return invoiceEvent(event.data.object);
  if (event.type === 'invoice.payment_failed') return invoiceEvent(event.data.object, true);
  if (event.type === 'charge.refunded') return refundEvent(event.data.object);
  if (event.type === 'checkout.session.completed') return checkoutEvent(event.data.object, 'completed');
  return event.type === 'checkout.session.expired' ? checkoutEvent(event.data.object, 'expired') : null;
}
