import { randomBytes } from 'node:crypto';

export const API_VERSION = '2026-10-28.endive';
export const MONTH_SECONDS = 30 * 86_400;

/** An id as Stripe makes them: what it is of, and 24 random letters. */
export const idOf = (prefix: string): string => `${prefix}_${randomBytes(12).toString('hex')}`;

export interface Price {
  id: string;
  unitAmount: number;
  currency: string;
}

export interface Session {
  id: string;
  customer: string;
  reference: string | null;
  price: Price;
  metadata: Record<string, string>;
  status: 'open' | 'complete' | 'expired';
  successUrl: string;
  expiresAt: number;
  created: number;
  subscription: string | null;
}

export interface Subscription {
  id: string;
  item: string;
  customer: string;
  price: Price;
  status: string;
  metadata: Record<string, string>;
  start: number;
  end: number;
  cancelAtEnd: boolean;
  /** As the portal cancels in the flexible billing mode: by the moment alone. */
  cancelAt: number | null;
  canceledAt: number | null;
  endedAt: number | null;
  created: number;
  latestInvoice: string | null;
}

/** What went back of a payment, or was to. */
export interface Refund {
  id: string;
  invoice: string;
  amount: number;
  status: 'succeeded' | 'failed' | 'canceled';
  created: number;
}

/** What a bank asks back of a payment. */
export interface Dispute {
  id: string;
  invoice: string;
  amount: number;
  status: string;
  created: number;
}

export interface Line {
  amount: number;
  price: Price;
  start: number;
  end: number;
}

export interface Invoice {
  id: string;
  customer: string;
  subscription: string;
  reason: string;
  lines: Line[];
  currency: string;
  total: number;
  /** What the customer's balance did not pay of it. */
  due: number;
  status: 'open' | 'paid' | 'void' | 'uncollectible';
  attempts: number;
  nextAttempt: number | null;
  paidAt: number | null;
  created: number;
  payment: string;
  charge: string;
  refunded: number;
}

const list = (url: string, data: object[]) => ({ object: 'list', data, has_more: false, url });

const priceObject = ({ id, unitAmount, currency }: Price) => ({
  id,
  object: 'price',
  active: true,
  currency,
  product: `prod_${id}`,
  recurring: { interval: 'month', interval_count: 1, usage_type: 'licensed' },
  type: 'recurring',
  unit_amount: unitAmount,
});

export const customerObject = (id: string, created: number, metadata: object) => ({
  id,
  object: 'customer',
  created,
  email: null,
  livemode: false,
  metadata,
});

export const sessionObject = (one: Session, base: string) => ({
  id: one.id,
  object: 'checkout.session',
  client_reference_id: one.reference,
  created: one.created,
  customer: one.customer,
  // What is of people must not stay anywhere.
  customer_details: { email: 'pessoa@example.com', name: 'Pessoa Pagadora', phone: '+5511987654321' },
  expires_at: one.expiresAt,
  livemode: false,
  mode: 'subscription',
  payment_status: one.status === 'complete' ? 'paid' : 'unpaid',
  status: one.status,
  subscription: one.subscription,
  success_url: one.successUrl,
  url: one.status === 'open' ? `${base}/stripe/pay/${one.id}` : null,
});

export const subscriptionObject = (one: Subscription) => ({
  id: one.id,
  object: 'subscription',
  billing_cycle_anchor: one.created,
  billing_mode: { type: 'flexible', flexible: { proration_discounts: 'included' } },
  cancel_at: one.cancelAt,
  cancel_at_period_end: one.cancelAtEnd,
  canceled_at: one.canceledAt,
  collection_method: 'charge_automatically',
  created: one.created,
  currency: one.price.currency,
  customer: one.customer,
  ended_at: one.endedAt,
  items: list(`/v1/subscription_items?subscription=${one.id}`, [
    {
      id: one.item,
      object: 'subscription_item',
      created: one.created,
      current_period_end: one.end,
      current_period_start: one.start,
      price: priceObject(one.price),
      quantity: 1,
      subscription: one.id,
    },
  ]),
  latest_invoice: one.latestInvoice,
  livemode: false,
  metadata: one.metadata,
  start_date: one.created,
  status: one.status,
});

export const invoiceObject = (one: Invoice, base: string) => ({
  id: one.id,
  object: 'invoice',
  amount_due: one.due,
  amount_paid: one.status === 'paid' ? one.due : 0,
  amount_remaining: one.status === 'paid' ? 0 : one.due,
  attempt_count: one.attempts,
  attempted: one.attempts > 0,
  billing_reason: one.reason,
  collection_method: 'charge_automatically',
  created: one.created,
  currency: one.currency,
  customer: one.customer,
  customer_email: 'pessoa@example.com',
  customer_name: 'Pessoa Pagadora',
  due_date: null,
  hosted_invoice_url: `${base}/stripe/invoice/${one.id}`,
  lines: list(
    `/v1/invoices/${one.id}/lines`,
    one.lines.map((line, at) => ({
      id: `il_${one.id.slice(3)}${at}`,
      object: 'line_item',
      amount: line.amount,
      currency: one.currency,
      period: { start: line.start, end: line.end },
      pricing: {
        type: 'price_details',
        price_details: { price: line.price.id, product: `prod_${line.price.id}` },
        unit_amount_decimal: `${line.price.unitAmount}`,
      },
      quantity: 1,
    })),
  ),
  livemode: false,
  metadata: {},
  next_payment_attempt: one.nextAttempt,
  parent: {
    type: 'subscription_details',
    quote_details: null,
    subscription_details: { metadata: {}, subscription: one.subscription },
  },
  // Of the time before: what an invoice is for stands in its lines.
  period_end: one.created,
  period_start: one.created - MONTH_SECONDS,
  status: one.status,
  status_transitions: {
    finalized_at: one.created,
    marked_uncollectible_at: null,
    paid_at: one.paidAt,
    voided_at: null,
  },
  subtotal: one.total,
  total: one.total,
});

export const paymentObject = (one: Invoice) => ({
  id: `inpay_${one.id.slice(3)}`,
  object: 'invoice_payment',
  amount_paid: one.status === 'paid' ? one.due : null,
  amount_requested: one.due,
  created: one.created,
  currency: one.currency,
  invoice: one.id,
  is_default: true,
  livemode: false,
  payment: { type: 'payment_intent', payment_intent: one.payment },
  status: one.status === 'paid' ? 'paid' : 'open',
  status_transitions: { canceled_at: null, paid_at: one.paidAt },
});

export const chargeObject = (one: Invoice, isDisputed: boolean, refunds?: Refund[]) => ({
  id: one.charge,
  object: 'charge',
  amount: one.due,
  amount_captured: one.due,
  amount_refunded: one.refunded,
  billing_details: { email: 'pessoa@example.com', name: 'Pessoa Pagadora' },
  captured: true,
  created: one.created,
  currency: one.currency,
  customer: one.customer,
  disputed: isDisputed,
  livemode: false,
  metadata: {},
  paid: true,
  payment_intent: one.payment,
  refunded: one.refunded === one.due,
  ...(refunds && {
    refunds: list(
      `/v1/charges/${one.charge}/refunds`,
      refunds.map((refund) => refundObject(refund, one)),
    ),
  }),
  status: 'succeeded',
});

export const refundObject = (
  { id, amount, status, created }: Refund,
  { charge, currency, customer, payment }: Invoice,
) => ({
  id,
  object: 'refund',
  amount,
  balance_transaction: `txn_${id.slice(3)}`,
  charge,
  created,
  currency,
  customer,
  ...(status === 'failed' && {
    failure_balance_transaction: `txn_failed_${id.slice(3)}`,
    failure_reason: 'expired_or_canceled_card',
  }),
  metadata: {},
  payment_intent: payment,
  reason: null,
  status,
});

export const disputeObject = ({ id, amount, status, created }: Dispute, { charge, payment, currency }: Invoice) => ({
  id,
  object: 'dispute',
  amount,
  balance_transactions: [],
  charge,
  created,
  currency,
  evidence: { customer_email_address: 'pessoa@example.com', customer_name: 'Pessoa Pagadora' },
  evidence_details: { due_by: created + 7 * 86_400, has_evidence: false, past_due: false, submission_count: 0 },
  is_charge_refundable: false,
  livemode: false,
  metadata: {},
  payment_intent: payment,
  reason: 'fraudulent',
  status,
});

/** A list as Stripe answers with one, all of it on one page. */
export const listOf = list;
