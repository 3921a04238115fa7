import { emitEvent } from '#src/events/outbox.query.ts';
import { newId } from '#src/lib/ids.ts';
import { toCredits } from '#src/modules/billing/billing.schemas.ts';
import { grantCredits } from '#src/modules/billing/credits.query.ts';
import { Question } from '#src/modules/payments/answering.ts';
import { applySubscription, type PaymentTx } from '#src/modules/payments/apply-subscription.ts';
import { markPaid, readInvoice, saveInvoice, type InvoiceRow } from '#src/modules/payments/invoices.query.ts';
import { INVOICE_STATUSES, type InvoiceSnapshot } from '#src/modules/payments/provider.ts';
import { readSubscription, type SubscriptionRow } from '#src/modules/payments/subscriptions.query.ts';
import { creditsFor, holdOf } from '#src/modules/payments/terms.ts';

const MONTH_MS = 30 * 86_400_000;
const rankOf = (one: { status: InvoiceRow['status'] }): number => INVOICE_STATUSES.indexOf(one.status);

/** A month's credits go with the month; of one that is over when it is paid, a month later. */
const expiryOf = (periodEnd: string | null, paidAt: string): Date => {
  const end = periodEnd === null ? 0 : Date.parse(periodEnd);
  return new Date(end > Date.now() ? end : Math.max(Date.parse(paidAt), Date.now()) + MONTH_MS);
};

const tell = (tx: PaymentTx, type: 'billing.payment_failed', invoice: InvoiceRow, nextAttemptAt: string | null) =>
  emitEvent(tx.em, { type, data: { invoiceId: invoice.id, nextAttemptAt }, subjectId: null, actorId: null });

/**
 * An invoice was paid: gives its credits, once, by its id. One whose amount is not what its plan costs, or that pays for what is none of ours,
 * gives nothing and waits for an operator. In a transaction that has read the invoice as not paid, under the workspace's lock.
 */
export async function settlePaid(
  tx: Pick<PaymentTx, 'em' | 'workspaceId'>,
  invoice: InvoiceRow,
  paidAt: string,
  isSurplus: boolean,
): Promise<void> {
  const { em } = tx;
  const held = holdOf(invoice, isSurplus);
  const credits = held === null && invoice.plan !== null ? creditsFor(invoice.plan, invoice.amountMinor) : 0;
  await markPaid(em, { id: invoice.id, paidAt, credits, held });
  if (held !== null)
    await emitEvent(em, {
      type: 'billing.invoice_held',
      data: { invoiceId: invoice.id, reason: held },
      subjectId: null,
      actorId: null,
    });
  await giveCredits(tx, invoice, paidAt, credits);
  await emitEvent(em, {
    type: 'billing.invoice_paid',
    data: {
      invoiceId: invoice.id,
      amountMinor: invoice.amountMinor,
      currency: invoice.currency,
      credits: toCredits(credits),
    },
    subjectId: null,
    actorId: null,
  });
}

/** Grants the credits of an invoice; the ledger does so once for each. */
export async function giveCredits(
  { em, workspaceId }: Pick<PaymentTx, 'em' | 'workspaceId'>,
  invoice: InvoiceRow,
  paidAt: string,
  microCredits: number,
): Promise<void> {
  if (microCredits === 0) return;
  const expiresAt = expiryOf(invoice.periodEnd, paidAt);
  await grantCredits(em, { workspaceId, microCredits, referenceId: invoice.id, expiresAt });
}

/**
 * Takes over what a provider says of an invoice. It only goes forward: open, given up, void, paid, whatever order that is told in.
 * @returns whether anything was new; null for one that is of no subscription of ours
 * @throws Question
 */
export async function applyInvoice(tx: PaymentTx, told: InvoiceSnapshot): Promise<boolean | null> {
  const { em, provider } = tx;
  if (told.subscriptionRef === null) return null;
  const subscription = await subscriptionOf(tx, told.subscriptionRef);
  if (!subscription) return null;
  const before = await readInvoice(em, { provider: provider.name, ref: told.ref });
  if (before && rankOf(told) < rankOf(before)) return false;
  if (before?.status === 'paid') return false;
  const invoice = rowOf(tx, told, subscription, before);
  // Paid is what gives, and is written by it.
  await saveInvoice(em, { ...invoice, status: told.status === 'paid' ? 'open' : told.status });
  if (told.isFailed && told.status === 'open') await tell(tx, 'billing.payment_failed', invoice, told.nextAttemptAt);
  if (told.status === 'paid')
    await settlePaid(tx, invoice, told.paidAt ?? new Date().toISOString(), subscription.isSurplus);
  return true;
}

/** @returns null for one of a price that is none of ours */
async function subscriptionOf(tx: PaymentTx, ref: string): Promise<SubscriptionRow | null> {
  const known = await readSubscription(tx.em, { provider: tx.provider.name, ref });
  if (known) return known;
  const asked = tx.asked?.get(ref);
  if (!asked) throw new Question({ subscription: ref });
  const applied = await applySubscription(tx, asked.snapshot, asked.at, true);
  return applied && applied.row;
}

function rowOf(
  { provider }: PaymentTx,
  told: InvoiceSnapshot,
  subscription: SubscriptionRow,
  before: InvoiceRow | null,
): InvoiceRow {
  const { reason, status, amountMinor, currency, periodStart, periodEnd, dueAt, url } = told;
  const rest = { reason, status, amountMinor, currency, periodStart, periodEnd, dueAt, url };
  return {
    refundedMinor: 0,
    refundKnownAt: null,
    disputedMinor: 0,
    credits: 0,
    creditsReversed: 0,
    creditsUncollected: 0,
    held: null,
    paidAt: null,
    createdAt: new Date().toISOString(),
    ...before,
    ...rest,
    id: before?.id ?? newId(),
    subscriptionId: subscription.id,
    provider: provider.name,
    providerRef: told.ref,
    plan: provider.planOf(told.priceRef) ?? null,
  };
}
