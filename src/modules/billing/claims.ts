import type { Plan } from '#src/http/access-token.ts';
import { rankOf, type PlanOverride } from '#src/modules/billing/plans.ts';

/** What gives a workspace a plan. */
export type PlanSource = 'license' | 'subscription';

/** A plan that a licence or a subscription gives. */
export interface PlanClaim {
  source: PlanSource;
  plan: Plan;
  override: PlanOverride | null;
  /** When it, or its period, ends; null: never. */
  endsAt: Date | null;
}

/**
 * Which of them a workspace's plan comes from, and all of it from that one: the better plan; of equal ones what lasts longer; of those the
 * licence, which is paid already. What loses runs on beside it.
 */
export function winnerOf(claims: readonly PlanClaim[]): PlanClaim | null {
  const endOf = ({ endsAt }: PlanClaim) => endsAt?.getTime() ?? Infinity;
  const order = (a: PlanClaim, b: PlanClaim): number =>
    rankOf(b.plan) - rankOf(a.plan) ||
    (endOf(a) === endOf(b) ? 0 : endOf(b) - endOf(a)) ||
    Number(b.source === 'license') - Number(a.source === 'license');
  return claims.toSorted(order)[0] ?? null;
}

/** What a workspace has in all: what its winning claim gives, unless it has a better plan without any. */
export function planOf(
  claims: readonly PlanClaim[],
  basePlan: Plan,
): Omit<PlanClaim, 'source' | 'endsAt'> & { source: PlanSource | null } {
  const claim = winnerOf(claims);
  if (!claim || rankOf(claim.plan) < rankOf(basePlan)) return { source: null, plan: basePlan, override: null };
  const { source, plan, override } = claim;
  return { source, plan, override };
}

/** The month that credits of a plan were last given for. */
export interface CreditPeriod {
  source: PlanSource;
  /** Months are counted from here. */
  anchorAt: Date;
  endsAt: Date;
  /** Where the claim ended that it was given for. */
  claimEndsAt: Date | null;
}

/** A subscription's month is not longer than a calendar's by this: February's days. */
const SLACK_MS = 4 * 86_400_000;

/**
 * The month that a claim gives credits for. A subscription that was renewed begins a new one; all else goes on with what there is until it ends.
 * @returns the period there is, when it goes on; null when the claim has ended
 */
export function periodOf(was: CreditPeriod | null, { source, endsAt }: PlanClaim, now: Date): CreditPeriod | null {
  if (endsAt !== null && endsAt <= now) return null;
  const isSame = was?.source === source;
  const isRenewed = isSame && source === 'subscription' && endsAt !== null && endsAt > (was.claimEndsAt ?? endsAt);
  if (was && was.endsAt > now && !isRenewed) return was;
  const anchorAt = isSame && !isRenewed ? was.anchorAt : now;
  let months = 1;
  while (addMonths(anchorAt, months) <= now) months += 1;
  const month = addMonths(anchorAt, months);
  const isLast = endsAt !== null && endsAt.getTime() < month.getTime() + SLACK_MS;
  return { source, anchorAt, endsAt: isLast ? endsAt : month, claimEndsAt: endsAt };
}

/** The same day and time some months on (UTC); a day that the month has not is its last. */
export function addMonths(from: Date, months: number): Date {
  const to = new Date(from);
  to.setUTCMonth(to.getUTCMonth() + months);
  if (to.getUTCDate() !== from.getUTCDate()) to.setUTCDate(0);
  return to;
}
