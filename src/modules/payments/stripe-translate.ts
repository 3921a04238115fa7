import type Stripe from 'stripe';
import { PLANS, type Plan } from '#src/http/access-token.ts';
import type {
  ChargeSnapshot,
  CheckoutStatus,
  DisputeSnapshot,
  DisputeStatus,
  InvoiceSnapshot,
  InvoiceStatus,
  PaymentEvent,
  SubscriptionSnapshot,
  SubscriptionStatus,
} from '#src/modules/payments/provider.ts';
import { isUuid } from '#src/lib/ids.ts';

type Ref = string | { id: string } | null | undefined;

export const refOf = (one: Ref): string | null => (typeof one === 'string' ? one : (one?.id ?? null));
const momentOf = (seconds: number | null | undefined): string | null =>
  typeof seconds === 'number' ? new Date(seconds * 1000).toISOString() : null;

// "unpaid": Stripe has given up to collect it, and it is active again once it is paid: overdue, of which we know how long. "paused": a trial ended
// without a way to pay (Stripe, "How subscriptions work").
const SUBSCRIPTION: Record<string, SubscriptionStatus> = {
  incomplete: 'incomplete',
  trialing: 'trialing',
  active: 'active',
  past_due: 'past_due',
  unpaid: 'past_due',
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
    keptPlan: keptPlanOf(one),
    createdAt: momentOf(one.created),
    // Checkouts of ours note whose it is.
    isByHand: one.metadata['workspaceId'] === undefined,
  };
}

/** What we note at Stripe of a subscription that gets a lesser price: the plan that was paid for, and until when (seconds). */
export const noteOf = (keptPlan: Plan | null, periodEnd: number): Record<'kept_plan' | 'kept_until', string> => ({
  kept_plan: keptPlan ?? '',
  kept_until: keptPlan === null ? '' : `${periodEnd}`,
});

/** It holds for the period that it was noted of, and for no later one. */
function keptPlanOf({ metadata, items }: Stripe.Subscription): Plan | null {
  const isOfNow = metadata['kept_until'] === `${items.data[0]?.current_period_end}`;
  return isOfNow ? (PLANS.find((plan) => plan === metadata['kept_plan']) ?? null) : null;
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
  // What costs nothing by itself is no period of a plan: it opens a trial.
  const reason = one.subtotal === 0 ? 'other' : (REASONS[one.billing_reason ?? ''] ?? 'other');
  return {
    ref: one.id,
    customerRef,
    subscriptionRef: refOf(one.parent?.subscription_details?.subscription),
    priceRef: refOf(line?.pricing?.price_details?.price),
    reason,
    status,
    // Below zero it is a credit to the customer's balance: nothing was paid. A change is worth what is collected for it: what such a credit pays
    // was paid, and gave its credits, before.
    amountMinor: Math.max(0, reason === 'change' ? Math.min(one.total, one.amount_due) : one.total),
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

/** What we keep of a charge of Stripe's. @returns null for one of nobody, or of no payment */
export function toCharge(one: Stripe.Charge): ChargeSnapshot | null {
  const [customerRef, paymentRef] = [refOf(one.customer), refOf(one.payment_intent)];
  if (customerRef === null || paymentRef === null) return null;
  return { customerRef, paymentRef, refundedMinor: one.amount_refunded, collectedMinor: one.amount_captured };
}

const refundEvent = (customer: Ref, charge: Ref): PaymentEvent | null => {
  const chargeRef = refOf(charge);
  return chargeRef === null ? null : { kind: 'refund', customerRef: refOf(customer), chargeRef };
};

/** Of what becomes of a refund only that it came to nothing is news: what was given back was told when it was. */
const isUndone = ({ status }: Stripe.Refund): boolean => status === 'failed' || status === 'canceled';

// Before it is asked back ("warning_…"), a bank only asks about it.
const DISPUTE: Record<string, DisputeStatus> = {
  needs_response: 'open',
  under_review: 'open',
  appeal_needs_response: 'open',
  appeal_under_review: 'open',
  won: 'won',
  prevented: 'won',
  lost: 'lost',
};

/** What we keep of a dispute of Stripe's. @returns null while, or where, nothing is asked back */
export function toDispute({ id, status, amount, currency }: Stripe.Dispute): DisputeSnapshot | null {
  const known = DISPUTE[status];
  return known ? { ref: id, status: known, amountMinor: amount, currency: currency.toUpperCase() } : null;
}

function disputeEvent(one: Stripe.Dispute): PaymentEvent | null {
  const [chargeRef, dispute] = [refOf(one.charge), toDispute(one)];
  return chargeRef === null || dispute === null ? null : { kind: 'dispute', chargeRef, dispute };
}

export const toCheckoutStatus = ({ status }: Stripe.Checkout.Session): CheckoutStatus =>
  status === 'complete' ? 'completed' : status === 'expired' ? 'expired' : 'open';

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
  if (event.type === 'charge.refunded') return refundEvent(event.data.object.customer, event.data.object);
  if (event.type === 'refund.failed' || event.type === 'refund.updated' || event.type === 'charge.refund.updated') {
    const { object } = event.data;
    return isUndone(object) ? refundEvent(object.customer, object.charge) : null;
  }
  if (
    event.type === 'charge.dispute.created' ||
    event.type === 'charge.dispute.updated' ||
    event.type === 'charge.dispute.funds_withdrawn' ||
    event.type === 'charge.dispute.funds_reinstated' ||
    event.type === 'charge.dispute.closed'
  )
    return disputeEvent(event.data.object);
  if (event.type === 'checkout.session.completed') return checkoutEvent(event.data.object, 'completed');
  return event.type === 'checkout.session.expired' ? checkoutEvent(event.data.object, 'expired') : null;
}
