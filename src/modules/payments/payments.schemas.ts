import { z } from 'zod';
import { Plan } from '#src/http/access-token.ts';
import { PageQuery, pageOf } from '#src/http/page.ts';
import { toCredits } from '#src/modules/billing/billing.schemas.ts';
import { HELD, WAITING, type InvoiceRow } from '#src/modules/payments/invoices.query.ts';
import { INVOICE_STATUSES, SUBSCRIPTION_STATUSES } from '#src/modules/payments/provider.ts';
import type { SubscriptionRow } from '#src/modules/payments/subscriptions.query.ts';
import { planGiven } from '#src/modules/payments/terms.ts';

export const PlanBody = z.strictObject({ plan: Plan.exclude(['free']) });

/** Where to pay: a page of the provider's, or an invoice of ours with instructions. */
export const CheckoutView = z.object({ url: z.string().nullable(), invoiceId: z.uuid().nullable() });
export const PortalView = z.object({ url: z.string() });

const moment = z.iso.datetime().nullable();

export const SubscriptionView = z.object({
  /** The plan it gives at this moment: `free` before it is paid for, and once it is over or its grace was. */
  givenPlan: Plan,
  /** Null: there never was one. */
  subscription: z
    .object({
      id: z.uuid(),
      plan: Plan,
      /** From the next period on. */
      nextPlan: Plan.nullable(),
      status: z.enum(SUBSCRIPTION_STATUSES),
      /** Who collects the money: `manual`, by our instructions. */
      provider: z.enum(['stripe', 'manual']),
      periodStart: moment,
      periodEnd: moment,
      /** It ends then. */
      cancelAt: moment,
      /** A payment is overdue since then; without it the plan is gone after `graceUntil`. */
      pastDueSince: moment,
      graceUntil: moment,
    })
    .nullable(),
});

export function presentSubscription(row: SubscriptionRow | null): z.output<typeof SubscriptionView> {
  if (!row) return { givenPlan: 'free', subscription: null };
  const { id, plan, nextPlan, status, provider, periodStart, periodEnd, cancelAt, pastDueSince, graceUntil } = row;
  const given = { periodStart, periodEnd, cancelAt, pastDueSince, graceUntil };
  return { givenPlan: planGiven(row), subscription: { id, plan, nextPlan, status, provider, ...given } };
}

export const InvoicesQuery = PageQuery.extend({ status: z.enum(INVOICE_STATUSES).optional() });

/** Amounts in minor units of the currency. */
export const InvoiceView = z.object({
  id: z.uuid(),
  subscriptionId: z.uuid(),
  plan: Plan.nullable(),
  /** `period`: a whole one; `change`: the rest of one, after a change of plan. */
  reason: z.enum(['period', 'change', 'other']),
  status: z.enum(INVOICE_STATUSES),
  amountMinor: z.int(),
  currency: z.string(),
  periodStart: moment,
  periodEnd: moment,
  dueAt: moment,
  paidAt: moment,
  refundedMinor: z.int(),
  /** What the payer's bank asks back of it, or took. */
  disputedMinor: z.int(),
  /** What it gave, and what of that was taken back with the money; what was spent by then is not collected. */
  credits: z.number(),
  creditsReversed: z.number(),
  creditsUncollected: z.number(),
  /** Paid, but not as its plan is: it waits for the operator. */
  held: z.enum(HELD).nullable(),
  /** Where the provider shows it. */
  url: z.string().nullable(),
  /** How to pay it, where no provider collects it. */
  instructions: z.string().nullable(),
  createdAt: z.iso.datetime(),
});
/** After a refund. */
export const RefundedView = InvoiceView.extend({
  /** What was not given back although everything was asked for: a balance at the provider had paid it. */
  notRefundableMinor: z.int(),
});
export const InvoiceList = pageOf(InvoiceView);

/** @param instructions of the operator, for invoices that are paid by hand */
export function presentInvoice(row: InvoiceRow, instructions: string): z.output<typeof InvoiceView> {
  const {
    provider,
    providerRef: _ref,
    refundKnownAt: _at,
    credits,
    creditsReversed,
    creditsUncollected,
    ...rest
  } = row;
  return {
    ...rest,
    credits: toCredits(credits),
    creditsReversed: toCredits(creditsReversed),
    creditsUncollected: toCredits(creditsUncollected),
    instructions: provider === 'manual' && row.status === 'open' ? instructions : null,
  };
}

export const WaitingQuery = PageQuery.extend({ waiting: z.enum(WAITING) });
export const WaitingList = pageOf(InvoiceView.extend({ workspaceId: z.uuid() }));

/** What is done by being asked for: without a body, or with an empty one. */
export const NothingBody = z.strictObject({}).nullish();

export const RefundInvoiceBody = z.strictObject({
  /** All that is to be given back of it, with what was before; absent: everything. Sent again, it gives nothing more. */
  refundedMinor: z.int().min(1).max(1_000_000_000_000).optional(),
});
export const ReleaseBody = z.strictObject({
  /** Absent: those of the plan, in proportion to what was paid. */
  credits: z.number().min(0).max(1_000_000_000).optional(),
});
