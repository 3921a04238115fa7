import { z } from 'zod';
import { PLANS, type Plan } from '#src/http/access-token.ts';

export const SUBSCRIPTION_STATUSES = ['incomplete', 'trialing', 'active', 'past_due', 'canceled'] as const;
export type SubscriptionStatus = (typeof SUBSCRIPTION_STATUSES)[number];

/** In the order in which an invoice goes through them; the last two are ends. */
export const INVOICE_STATUSES = ['open', 'uncollectible', 'void', 'paid'] as const;
export type InvoiceStatus = (typeof INVOICE_STATUSES)[number];

const moment = z.iso.datetime();

/** A subscription as its provider knew it at a moment. */
export const SubscriptionSnapshot = z.object({
  ref: z.string(),
  customerRef: z.string(),
  priceRef: z.string().nullable(),
  status: z.enum(SUBSCRIPTION_STATUSES),
  periodStart: moment.nullable(),
  periodEnd: moment.nullable(),
  cancelAt: moment.nullable(),
  /** A better plan than that of its price, which was paid for and goes on until the period ends; null: none. */
  keptPlan: z.enum(PLANS).nullable().default(null),
  createdAt: moment.nullable().default(null),
  /** Not bought by a checkout: an operator made it at the provider. */
  isByHand: z.boolean().default(false),
});
export type SubscriptionSnapshot = z.infer<typeof SubscriptionSnapshot>;

/** An invoice as its provider knew it. Amounts in minor units. */
export const InvoiceSnapshot = z.object({
  ref: z.string(),
  customerRef: z.string(),
  /** Null: of no subscription, and so none of ours. */
  subscriptionRef: z.string().nullable(),
  priceRef: z.string().nullable(),
  /** `period`: a whole one of a plan; `change`: the rest of one, after a change of plan; `other`: nothing of these, as a trial's. */
  reason: z.enum(['period', 'change', 'other']),
  status: z.enum(INVOICE_STATUSES),
  amountMinor: z.int().min(0),
  currency: z.string(),
  periodStart: moment.nullable(),
  periodEnd: moment.nullable(),
  dueAt: moment.nullable(),
  paidAt: moment.nullable(),
  /** Where people see it. */
  url: z.string().nullable(),
  /** Whether an attempt to collect it has just failed, and when the next is. */
  isFailed: z.boolean(),
  nextAttemptAt: moment.nullable(),
});
export type InvoiceSnapshot = z.infer<typeof InvoiceSnapshot>;

export const DISPUTE_STATUSES = ['open', 'won', 'lost'] as const;
export type DisputeStatus = (typeof DISPUTE_STATUSES)[number];

/** A payment that a bank asks back, as its provider knew it. */
export const DisputeSnapshot = z.object({
  ref: z.string(),
  status: z.enum(DISPUTE_STATUSES),
  /** In minor units, and of which currency. */
  amountMinor: z.int().min(0),
  currency: z.string(),
});
export type DisputeSnapshot = z.infer<typeof DisputeSnapshot>;

/** A payment as its provider knew it. Amounts in minor units. */
export interface ChargeSnapshot {
  customerRef: string;
  /** What was paid with; its invoice is asked for by it. */
  paymentRef: string;
  refundedMinor: number;
  collectedMinor: number;
}

export type CheckoutStatus = 'open' | 'completed' | 'expired';

/** What an event of a provider's tells us: ids, amounts and states, nothing of people. It is stored as this. */
export const PaymentEvent = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('subscription'), customerRef: z.string(), subscription: SubscriptionSnapshot }),
  z.object({ kind: z.literal('invoice'), customerRef: z.string(), invoice: InvoiceSnapshot }),
  // Something was given back of it, or was not after all: how much is given back now, and whose it is, is asked for.
  z.object({ kind: z.literal('refund'), customerRef: z.string().nullable(), chargeRef: z.string() }),
  // It does not say whose it is, which is asked for too.
  z.object({ kind: z.literal('dispute'), chargeRef: z.string(), dispute: DisputeSnapshot }),
  z.object({
    kind: z.literal('checkout'),
    customerRef: z.string(),
    checkoutId: z.uuid(),
    status: z.enum(['completed', 'expired']),
  }),
]);
export type PaymentEvent = z.infer<typeof PaymentEvent>;

/** A webhook whose signature was good. */
export interface InboundEvent {
  id: string;
  type: string;
  /** By the provider's clock. */
  occurredAt: Date;
  /** Null: it tells nothing that concerns us. */
  event: PaymentEvent | null;
}

/** A snapshot, and when it was true by the provider's clock. */
export interface Answered<Snapshot> {
  at: Date;
  snapshot: Snapshot;
}

/**
 * What we need of who collects money. Every call that changes something takes a key: sent again with the same one, it is done once. All calls
 * throw AppError: 503 with a wait where the provider is away, 4xx for what it refuses. None may be made within a transaction.
 */
export interface PaymentProvider {
  readonly name: 'stripe';
  /** What a plan is sold as there; undefined: not at all. */
  priceOf(plan: Plan): string | undefined;
  planOf(priceRef: string | null): Plan | undefined;
  createCustomer(workspaceId: string): Promise<string>;
  openCheckout(checkout: {
    id: string;
    customerRef: string;
    priceRef: string;
    workspaceId: string;
  }): Promise<{ ref: string; url: string; expiresAt: Date }>;
  /** Nobody can pay by it any more. @returns whether that is so: false, it was paid before */
  closeCheckout(ref: string): Promise<boolean>;
  openPortal(customerRef: string): Promise<string>;
  /** @param isCanceling whether it ends with its period, or goes on, whoever had canceled it */
  setCancel(ref: string, isCanceling: boolean, key: string): Promise<Answered<SubscriptionSnapshot>>;
  /** Another price from now on; what was paid for the rest of the period counts, and the difference is collected at once. */
  changePrice(ref: string, priceRef: string, key: string): Promise<Answered<SubscriptionSnapshot>>;
  /**
   * Another price from the next period on, or for all that was noted so the one there was before; nothing is collected, and nothing given back.
   * @param keptPlan what was paid for, and is given until then; null: that of the price
   */
  changeNextPrice(
    ref: string,
    next: { priceRef: string; keptPlan: Plan | null },
    key: string,
  ): Promise<Answered<SubscriptionSnapshot>>;
  cancelNow(ref: string, key: string): Promise<Answered<SubscriptionSnapshot>>;
  /**
   * Gives back so much of an invoice that it is this much in all; nothing where it is already.
   * @param wantedMinor null: all that was collected for it
   * @returns what is given back of it in all, and what was collected; whether anything was given back by this
   * @throws AppError 409 `nothing_to_refund`, `more_than_collected`
   */
  refund(
    invoiceRef: string,
    wantedMinor: number | null,
  ): Promise<{ refundedMinor: number; collectedMinor: number; isNew: boolean }>;
  findSubscription(ref: string): Promise<Answered<SubscriptionSnapshot> | null>;
  findInvoice(ref: string): Promise<InvoiceSnapshot | null>;
  /** Of a subscription, those that were made since then, oldest first. */
  findInvoices(subscriptionRef: string, since: Date): Promise<InvoiceSnapshot[]>;
  /** What became of an offer, and of which subscription it was. */
  findCheckout(ref: string): Promise<{ status: CheckoutStatus; subscriptionRef: string | null } | null>;
  /** The invoice that a payment paid. */
  findInvoiceOf(paymentRef: string): Promise<string | null>;
  /** Null: of nobody. */
  findCharge(chargeRef: string): Promise<Answered<ChargeSnapshot> | null>;
  findDispute(ref: string): Promise<Answered<DisputeSnapshot> | null>;
  /** An event anew; null: it is too old to be had, or cannot be read. */
  findEvent(ref: string): Promise<InboundEvent | null>;
  /**
   * What happened since then to what is given back or asked back of payments, newest first, by pages.
   * @param after the end of the page before; null: the first one
   * @returns the page's end where there are more
   */
  findReturns(since: Date, after: string | null): Promise<{ told: InboundEvent[]; next: string | null }>;
  /** @returns null when the signature is not good, or too old @throws AppError 400 for a version of its events that we do not read */
  verify(body: Buffer, signature: string): InboundEvent | null;
}
