import type { EntityManager } from '@mikro-orm/postgresql';
import { conflict, notFound } from '#src/errors.ts';
import type { Plan } from '#src/http/access-token.ts';
import { newId } from '#src/lib/ids.ts';
import type { Actor } from '#src/modules/audit/audit.ts';
import { addMonths } from '#src/modules/billing/claims.ts';
import { PLAN_CURRENCY, rankOf } from '#src/modules/billing/plans.ts';
import { settlePaid } from '#src/modules/payments/apply-invoice.ts';
import { newState, saveState } from '#src/modules/payments/apply-subscription.ts';
import {
  readInvoice,
  readOpenInvoices,
  readPaidAhead,
  saveInvoice,
  type InvoiceRow,
} from '#src/modules/payments/invoices.query.ts';
import {
  hasOther,
  readSubscription,
  type SubscriptionRow,
  type SubscriptionState,
} from '#src/modules/payments/subscriptions.query.ts';
import { differenceMinor, isLive, priceMinorOf, withGrace } from '#src/modules/payments/terms.ts';

/** Subscriptions that no provider collects for: owners pay by our instructions, and an operator says what was paid. */
export const MANUAL = { name: 'manual', planOf: () => undefined } as const;

/** A transaction that has locked its workspace. */
export interface ManualTx {
  em: EntityManager;
  workspaceId: string;
}

const DAY_MS = 86_400_000;
const isoOf = (at: Date): string => at.toISOString();
const monthAfter = (at: string): string => isoOf(addMonths(new Date(at), 1));

/** Writes what became of a subscription. @param change what is different of it */
export function changeState(
  tx: ManualTx,
  before: SubscriptionRow,
  change: Partial<SubscriptionState>,
  by: { reason: string; actor?: Actor; graceDays?: number },
): Promise<void> {
  const knownAt = isoOf(new Date());
  const state = withGrace({ ...before, knownAt, ...change }, knownAt, by.graceDays ?? 0);
  return saveState({ ...tx, provider: MANUAL }, before, { id: before.id, providerRef: before.providerRef, state }, by);
}

async function openInvoice(
  { em }: ManualTx,
  one: Pick<InvoiceRow, 'subscriptionId' | 'plan' | 'reason' | 'amountMinor' | 'periodStart' | 'periodEnd' | 'dueAt'>,
): Promise<string> {
  const id = newId();
  const rest = { provider: 'manual', currency: PLAN_CURRENCY, status: 'open', url: null } as const;
  await saveInvoice(em, { ...one, ...rest, id, providerRef: id });
  return id;
}

/** Takes back what is still to be paid of a subscription. */
async function voidOpen({ em }: ManualTx, subscriptionId: string, only?: InvoiceRow['reason']): Promise<void> {
  for (const invoice of await readOpenInvoices(em, subscriptionId))
    if (only === undefined || invoice.reason === only) await saveInvoice(em, { ...invoice, status: 'void' });
}

/** Asks for a plan: an invoice for its first month, which begins once that is paid. Asked again, the same. @returns the invoice's id */
export async function askForPlan(
  tx: ManualTx,
  current: SubscriptionRow | null,
  plan: Plan,
  by: { actor: Actor; dueDays: number },
): Promise<string> {
  const { em } = tx;
  if (current?.status === 'incomplete') {
    const [open] = await readOpenInvoices(em, current.id);
    if (open?.plan === plan) return open.id;
    await endNow(tx, current, { reason: 'replaced', actor: by.actor });
  }
  const now = new Date();
  const id = newId();
  const state = newState({ plan, status: 'incomplete', knownAt: isoOf(now) });
  await saveState({ ...tx, provider: MANUAL }, null, { id, providerRef: id, state }, { reason: 'asked', ...by });
  const amountMinor = priceMinorOf(plan) ?? 0;
  const dueAt = isoOf(new Date(now.getTime() + by.dueDays * DAY_MS));
  const unknown = { periodStart: null, periodEnd: null };
  return openInvoice(tx, { subscriptionId: id, plan, reason: 'period', amountMinor, dueAt, ...unknown });
}

export async function endNow(
  tx: ManualTx,
  current: SubscriptionRow,
  by: { reason: string; actor?: Actor },
): Promise<void> {
  await voidOpen(tx, current.id);
  await changeState(tx, current, { status: 'canceled', cancelAt: null, nextPlan: null }, by);
}

/** It ends with what was paid for; one that is overdue ends now. */
export async function cancelManual(tx: ManualTx, current: SubscriptionRow, actor: Actor): Promise<void> {
  const by = { reason: 'canceled', actor };
  if (current.status === 'past_due') return endNow(tx, current, by);
  await voidOpen(tx, current.id);
  const ahead = await readPaidAhead(tx.em, current);
  await changeState(tx, current, { cancelAt: ahead?.periodEnd ?? current.periodEnd, nextPlan: null }, by);
}

/** @throws AppError 409 `payment_due` while the period is not paid, `change_pending` for a better plan while a lesser one is to begin */
export function checkChange({ status, plan: paid, nextPlan }: SubscriptionRow, plan: Plan): void {
  if (status === 'past_due') throw conflict('payment_due', 'Pay the open invoice first.');
  if (nextPlan !== null && rankOf(plan) > rankOf(paid))
    throw conflict('change_pending', `The plan ${nextPlan} is to begin next. Choose ${paid} to take that back first.`);
}

/**
 * Another plan. A better one costs the difference for the rest of the period, and is there once that is paid; a lower one begins with the next
 * period. Choosing what there is takes a change back that was not paid yet.
 */
export async function changeManual(tx: ManualTx, current: SubscriptionRow, plan: Plan, actor: Actor): Promise<void> {
  const { periodStart: start, periodEnd: end } = current;
  if (start === null || end === null) throw conflict('payment_due', 'Pay the open invoice first.');
  if (await readPaidAhead(tx.em, current))
    throw conflict('paid_ahead', 'The next month is paid already. Change the plan once it has begun.');
  await voidOpen(tx, current.id);
  const isBetter = rankOf(plan) > rankOf(current.plan);
  const nextPlan = isBetter || plan === current.plan ? null : plan;
  await changeState(tx, current, { nextPlan }, { reason: 'changed', actor });
  if (!isBetter) return;
  const now = new Date();
  const amountMinor = differenceMinor(current.plan, plan, { start, end }, now);
  const period = { periodStart: isoOf(now), periodEnd: end, dueAt: end };
  await openInvoice(tx, { subscriptionId: current.id, plan, reason: 'change', amountMinor, ...period });
}

/** An operator says that an invoice was paid. @throws AppError 409 for one that is not to be paid; one that was paid is left as it is */
export async function payManual(tx: ManualTx, invoiceId: string, actor: Actor): Promise<void> {
  const { em } = tx;
  const invoice = await manualInvoice(em, invoiceId);
  const subscription = await readSubscription(em, { id: invoice.subscriptionId });
  if (invoice.status === 'paid') return;
  if (invoice.status !== 'open' || subscription?.provider !== 'manual' || invoice.plan === null)
    throw conflict('invoice_closed', 'This invoice is no longer to be paid.');
  if (!isLive(subscription) && (await hasOther(em, subscription.id)))
    throw conflict('already_subscribed', 'The workspace pays for another subscription by now. Void this invoice.');
  const now = isoOf(new Date());
  if (invoice.reason === 'change') {
    // It is the price of the rest of a period, and not of the next one.
    if (invoice.periodEnd !== null && invoice.periodEnd <= now)
      throw conflict('invoice_closed', 'The period that this invoice is of is over. Void it, and give the money back.');
    await settlePaid(tx, invoice, now, false);
    // What was asked for the next month is of the plan there was: it is asked for anew.
    await voidOpen(tx, subscription.id, 'period');
    return changeState(tx, subscription, { plan: invoice.plan }, { reason: 'paid', actor });
  }
  // The first month, and one after a pause, begins with the payment; any other where the last one ended.
  const isPause = !isLive(subscription) || subscription.lapsedAt !== null;
  const periodStart = isPause ? now : (invoice.periodStart ?? now);
  const period = { periodStart, periodEnd: monthAfter(periodStart) };
  await saveInvoice(em, { ...invoice, ...period });
  await settlePaid(tx, { ...invoice, ...period }, now, false);
  // Paid ahead, it begins when the month that runs is over.
  if (periodStart > now) return;
  await changeState(tx, subscription, begun({ ...invoice, ...period }), { reason: 'paid', actor });
}

const begun = ({ plan, periodStart, periodEnd }: InvoiceRow): Partial<SubscriptionState> => ({
  ...(plan && { plan }),
  status: 'active',
  nextPlan: null,
  periodStart,
  periodEnd,
});

/** An operator takes an invoice back: what it was for does not begin, or ends. */
export async function voidManual(tx: ManualTx, invoiceId: string, actor: Actor): Promise<void> {
  const invoice = await manualInvoice(tx.em, invoiceId);
  if (invoice.status === 'void') return;
  if (invoice.status !== 'open') throw conflict('invoice_closed', 'This invoice is no longer to be paid.');
  await saveInvoice(tx.em, { ...invoice, status: 'void' });
  const subscription = await readSubscription(tx.em, { id: invoice.subscriptionId });
  if (invoice.reason === 'change' || !subscription || subscription.status === 'canceled') return;
  if (subscription.status === 'active') return cancelManual(tx, subscription, actor);
  await endNow(tx, subscription, { reason: 'voided', actor });
}

async function manualInvoice(em: EntityManager, id: string): Promise<InvoiceRow> {
  const invoice = await readInvoice(em, { id });
  if (!invoice) throw notFound('The invoice');
  if (invoice.provider !== 'manual')
    throw conflict('not_manual', 'The payment provider collects this invoice, and tells what becomes of it.');
  return invoice;
}

/** What the time asks of a subscription that is paid by hand: the next invoice, its end, or that it is overdue. */
export async function tendManual(
  tx: ManualTx,
  id: string,
  { graceDays, dueDays, now }: { graceDays: number; dueDays: number; now: Date },
): Promise<void> {
  const current = await readSubscription(tx.em, { id });
  if (!current || !isLive(current) || current.periodEnd === null) return;
  const isOver = Date.parse(current.periodEnd) <= now.getTime();
  const ahead = await readPaidAhead(tx.em, current);
  if (isOver && ahead) {
    // Of the period that is over.
    await voidOpen(tx, id, 'change');
    return changeState(tx, current, begun(ahead), { reason: 'renewed' });
  }
  if (isOver && current.cancelAt !== null) return endNow(tx, current, { reason: 'ended' });
  const open = await readOpenInvoices(tx.em, id);
  const isNear = Date.parse(current.periodEnd) <= now.getTime() + dueDays * DAY_MS;
  const isAsked = ahead !== null || open.some(({ reason }) => reason === 'period');
  if (current.cancelAt === null && isNear && !isAsked) {
    const plan = current.nextPlan ?? current.plan;
    const period = {
      periodStart: current.periodEnd,
      periodEnd: monthAfter(current.periodEnd),
      dueAt: current.periodEnd,
    };
    const amountMinor = priceMinorOf(plan) ?? 0;
    await openInvoice(tx, { subscriptionId: id, plan, reason: 'period', amountMinor, ...period });
  }
  if (!isOver || current.status === 'past_due') return;
  await voidOpen(tx, id, 'change');
  await changeState(tx, current, { status: 'past_due' }, { reason: 'overdue', graceDays });
}
