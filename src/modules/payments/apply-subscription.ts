import type { EntityManager } from '@mikro-orm/postgresql';
import { emitEvent } from '#src/events/outbox.query.ts';
import type { Plan } from '#src/http/access-token.ts';
import { newId } from '#src/lib/ids.ts';
import { SYSTEM, type Actor } from '#src/modules/audit/audit.ts';
import { rankOf } from '#src/modules/billing/plans.ts';
import { setPlan } from '#src/modules/billing/set-plan.ts';
import { nameAskers } from '#src/modules/payments/asks.ts';
import type { Ask } from '#src/modules/payments/asks.query.ts';
import { Question } from '#src/modules/payments/answering.ts';
import type { Answered, SubscriptionSnapshot } from '#src/modules/payments/provider.ts';
import {
  askSoon,
  hasOther,
  insertSubscription,
  readOther,
  readSubscription,
  updateSubscription,
  type ProviderName,
  type SubscriptionRow,
  type SubscriptionState,
} from '#src/modules/payments/subscriptions.query.ts';
import { isLive, planGiven, withGrace } from '#src/modules/payments/terms.ts';

/** A transaction that has locked its workspace, and what it knows of the provider. */
export interface PaymentTx {
  em: EntityManager;
  workspaceId: string;
  provider: { name: ProviderName; planOf(priceRef: string | null): Plan | undefined };
  graceDays: number;
  /** Of a workspace that was closed nobody is to pay: what lives on is written down as one too many, to be ended. */
  isClosed?: boolean;
  /** What the provider said of subscriptions when it was asked, by their refs. */
  asked?: ReadonlyMap<string, Answered<SubscriptionSnapshot>>;
}

const FIRST: Omit<SubscriptionState, 'plan' | 'status' | 'knownAt'> = {
  nextPlan: null,
  isSurplus: false,
  isByHand: false,
  periodStart: null,
  periodEnd: null,
  cancelAt: null,
  pastDueSince: null,
  graceUntil: null,
  lapsedAt: null,
};

/** A subscription that begins. */
export const newState = (
  state: Pick<SubscriptionState, 'plan' | 'status' | 'knownAt'> & Partial<SubscriptionState>,
): SubscriptionState => ({ ...FIRST, ...state });

/**
 * Writes down what became of a subscription, with all that follows: the workspace's plan, the events.
 * @param before as it was read in this transaction; null: it is new
 * @param reason for the log, as the verb of what happened
 */
export async function saveState(
  { em, workspaceId, provider }: Pick<PaymentTx, 'em' | 'workspaceId' | 'provider'>,
  before: SubscriptionRow | null,
  one: { id: string; providerRef: string; state: SubscriptionState },
  { reason, actor = SYSTEM }: { reason: string; actor?: Actor },
): Promise<void> {
  const { id, providerRef, state } = one;
  if (before) await updateSubscription(em, id, state);
  else await insertSubscription(em, { id, provider: provider.name, providerRef }, state);
  const [was, now] = [planGiven(before), planGiven(state)];
  const isChanged =
    was !== now ||
    before?.status !== state.status ||
    before.cancelAt !== state.cancelAt ||
    before.plan !== state.plan ||
    before.nextPlan !== state.nextPlan;
  // What a second one is about is told by its invoice, which is held.
  if (state.isSurplus) return;
  if (isChanged)
    await emitEvent(em, {
      type: 'billing.subscription_changed',
      data: { subscriptionId: id, plan: state.plan, status: state.status, givenPlan: now, cancelAt: state.cancelAt },
      subjectId: null,
      actorId: actor.kind === 'session' ? actor.id : null,
    });
  if (state.graceUntil !== null && before?.graceUntil !== state.graceUntil)
    await emitEvent(em, {
      type: 'billing.past_due',
      data: { subscriptionId: id, graceUntil: state.graceUntil },
      subjectId: null,
      actorId: null,
    });
  if (was !== now) await setPlan(em, workspaceId, now, { source: 'subscription', reason, periodEnd: null, actor });
}

const isSame = (row: SubscriptionRow, state: SubscriptionState): boolean =>
  row.plan === state.plan &&
  row.nextPlan === state.nextPlan &&
  row.status === state.status &&
  row.periodEnd === state.periodEnd &&
  row.cancelAt === state.cancelAt &&
  row.isSurplus === state.isSurplus &&
  row.isByHand === state.isByHand;

const toIso = (moment: string | null): string | null => (moment === null ? null : new Date(moment).toISOString());

/** What the log says of what was asked of a subscription that is in such a state; null: it is not so. */
const outcomeIn =
  (state: SubscriptionState) =>
  ({ action, wish }: Ask): object | null => {
    const isEnding = !isLive(state) || state.cancelAt !== null;
    if (action === 'subscription.canceled') return isEnding ? {} : null;
    if (action === 'subscription.reactivated') return isEnding ? null : {};
    return (state.nextPlan ?? state.plan) === wish ? { plan: wish } : null;
  };

/**
 * Takes over what a provider says of a subscription. What is older than what is known changes nothing. Its clock counts seconds: of what is
 * told of the same one in another state, nobody can say which came last, and so it is asked what holds.
 * @param at when it was so, by the provider's clock
 * @param isAnswer whether it was asked for; an event otherwise
 * @returns the subscription as it is known then, and whether anything was new; null for one of a price that is none of ours
 * @throws Question
 */
export async function applySubscription(
  tx: PaymentTx,
  snapshot: SubscriptionSnapshot,
  at: Date,
  isAnswer: boolean,
): Promise<{ row: SubscriptionRow; isNew: boolean } | null> {
  const { em, provider, graceDays } = tx;
  const before = await readSubscription(em, { provider: provider.name, ref: snapshot.ref });
  const knownAt = at.toISOString();
  if (before && knownAt < before.knownAt) return { row: before, isNew: false };
  const priced = provider.planOf(snapshot.priceRef) ?? before?.nextPlan ?? before?.plan;
  if (priced === undefined) return null;
  const kept = snapshot.keptPlan ?? priced;
  const plan = rankOf(kept) > rankOf(priced) ? kept : priced;
  const id = before?.id ?? newId();
  const told = {
    plan,
    nextPlan: plan === priced ? null : priced,
    status: snapshot.status,
    periodStart: toIso(snapshot.periodStart),
    periodEnd: toIso(snapshot.periodEnd),
    cancelAt: toIso(snapshot.cancelAt),
    isByHand: snapshot.isByHand,
    knownAt,
  };
  const base = before ? { ...before, ...told } : newState(told);
  const isSurplus = tx.isClosed === true || (await isTooMany(tx, { before, base, id }, snapshot));
  const state = withGrace({ ...base, isSurplus }, knownAt, graceDays);
  if (before && isSame(before, state)) {
    if (before.knownAt !== knownAt) await updateSubscription(em, id, { ...before, knownAt });
    await nameAskers(em, { type: 'subscription', id, at, outcome: outcomeIn(state) });
    return { row: { ...before, knownAt }, isNew: false };
  }
  if (before?.knownAt === knownAt && !isAnswer) throw new Question({ subscription: snapshot.ref });
  const reason = isLive(state) ? 'paid' : 'ended';
  await saveState(tx, before, { id, providerRef: snapshot.ref, state }, { reason });
  if (before) await nameAskers(em, { type: 'subscription', id, at, outcome: outcomeIn(state) });
  // One that was set aside counts now.
  if (before && isLive(before) && !isLive(state)) await askSoon(em);
  const row = {
    ...state,
    id,
    provider: provider.name,
    providerRef: snapshot.ref,
    revision: (before?.revision ?? 0) + 1,
  };
  return { row, isNew: true };
}

/** Whether a subscription is one too many of its workspace, which gets a plan once. @throws Question */
async function isTooMany(
  tx: PaymentTx,
  { before, base, id }: { before: SubscriptionRow | null; base: SubscriptionState; id: string },
  snapshot: SubscriptionSnapshot,
): Promise<boolean> {
  if (!isLive(base)) return base.isSurplus;
  // What was bought twice is being ended; what an operator made is not, and counts once it is alone.
  if (base.isSurplus) return !base.isByHand || hasOther(tx.em, id);
  if (before && isLive(before)) return false;
  const other = await readOther(tx.em, id);
  if (!other) return false;
  if (other.provider !== tx.provider.name) return true;
  // It may have ended without our having been told.
  const asked = tx.asked?.get(other.providerRef);
  if (!asked) throw new Question({ subscription: other.providerRef });
  if (!isLive(asked.snapshot)) {
    await applySubscription(tx, asked.snapshot, asked.at, true);
    return hasOther(tx.em, id);
  }
  if (!countsBefore(snapshot, asked.snapshot)) return true;
  const { id: otherId, providerRef } = other;
  await saveState(
    tx,
    other,
    { id: otherId, providerRef, state: { ...other, isSurplus: true } },
    { reason: 'replaced' },
  );
  return false;
}

/**
 * Of two that live the newer one counts where an operator made it, knowing of the other; who bought twice has what was bought first, and of one
 * second what is known already: its payment has given its credits.
 */
function countsBefore(one: SubscriptionSnapshot, other: SubscriptionSnapshot): boolean {
  if (one.createdAt === other.createdAt && !one.isByHand && !other.isByHand) return false;
  const [a, b] = [`${one.createdAt} ${one.ref}`, `${other.createdAt} ${other.ref}`];
  return a > b ? one.isByHand : !other.isByHand;
}
