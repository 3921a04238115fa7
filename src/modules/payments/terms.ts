import { CATALOGUE, PLAN_CURRENCY } from '#src/modules/billing/plans.ts';
import type { Plan } from '#src/http/access-token.ts';
import { toMicroCredits } from '#src/modules/billing/billing.schemas.ts';
import type { Held, InvoiceRow } from '#src/modules/payments/invoices.query.ts';
import type { SubscriptionState } from '#src/modules/payments/subscriptions.query.ts';

const DAY_MS = 86_400_000;

/** A month of a plan in minor units of `PLAN_CURRENCY`; undefined: it is not sold by subscription. */
export function priceMinorOf(plan: Plan): number | undefined {
  const { priceMinor } = CATALOGUE[plan];
  return priceMinor === null || priceMinor === 0 ? undefined : priceMinor;
}

const LIVE: ReadonlySet<string> = new Set(['trialing', 'active', 'past_due']);
export const isLive = ({ status }: Pick<SubscriptionState, 'status'>): boolean => LIVE.has(status);

/** The plan that a subscription gives; `free` where it gives none. */
export function planGiven(one: SubscriptionState | null): Plan {
  return one && isLive(one) && !one.isSurplus && one.lapsedAt === null ? one.plan : 'free';
}

/**
 * A subscription's state with its grace: from when a payment is overdue it goes on for some days; once it is paid, all that is forgotten.
 * @param state with the grace there was
 * @param at when that was so
 */
export function withGrace(state: SubscriptionState, at: string, graceDays: number): SubscriptionState {
  if (state.status !== 'past_due') return { ...state, pastDueSince: null, graceUntil: null, lapsedAt: null };
  const pastDueSince = state.pastDueSince ?? at;
  const graceUntil = state.graceUntil ?? new Date(Date.parse(pastDueSince) + graceDays * DAY_MS).toISOString();
  return { ...state, pastDueSince, graceUntil };
}

/** Why a paid invoice must not be taken for a payment of its plan; null: it may. */
export function holdOf(
  { plan, reason, amountMinor, currency }: Pick<InvoiceRow, 'plan' | 'reason' | 'amountMinor' | 'currency'>,
  isSurplus: boolean,
): Held | null {
  if (isSurplus) return 'subscription';
  // What was for nothing gives nothing.
  if (reason === 'other' && amountMinor === 0) return null;
  const price = plan === null ? undefined : priceMinorOf(plan);
  if (price === undefined) return 'price';
  const isRight = reason === 'period' ? amountMinor === price : reason === 'change' && amountMinor <= price;
  return isRight && currency === PLAN_CURRENCY ? null : 'amount';
}

/** The micro-credits that a payment buys: a month's for the price of one, and in proportion for a part. */
export function creditsFor(plan: Plan, amountMinor: number): number {
  const price = priceMinorOf(plan);
  if (price === undefined) return 0;
  return Math.round(toMicroCredits(CATALOGUE[plan].creditsPerMonth) * Math.min(1, amountMinor / price));
}

/** How many of an invoice's credits are no longer paid for once so much of it was returned. */
export const creditsReturned = (credits: number, returnedMinor: number, amountMinor: number): number =>
  amountMinor === 0 ? 0 : Math.round(credits * (returnedMinor / amountMinor));

/**
 * What the rest of a period costs more in one plan than in another, in minor units; never below 0. As Stripe prorates: by the second.
 * @param at between the period's ends
 */
export function differenceMinor(from: Plan, to: Plan, period: { start: string; end: string }, at: Date): number {
  const [start, end] = [Date.parse(period.start), Date.parse(period.end)];
  const left = Math.min(1, Math.max(0, (end - at.getTime()) / (end - start)));
  return Math.max(0, Math.round(((priceMinorOf(to) ?? 0) - (priceMinorOf(from) ?? 0)) * left));
}
