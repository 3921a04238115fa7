import type { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { AppError, conflict, notFound } from '#src/errors.ts';
import type { Auth, Plan } from '#src/http/access-token.ts';
import { newId } from '#src/lib/ids.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { rankOf } from '#src/modules/billing/plans.ts';
import { noteAsk, takeAsk, type Ask } from '#src/modules/payments/asks.query.ts';
import { askProvider } from '#src/modules/payments/ask-provider.ts';
import { applySubscription } from '#src/modules/payments/apply-subscription.ts';
import {
  closeCheckout,
  findCustomer,
  insertCheckout,
  noteCheckout,
  readOpenCheckout,
  saveCustomer,
} from '#src/modules/payments/customers.query.ts';
import {
  askForPlan,
  cancelManual,
  changeManual,
  changeState,
  checkChange,
  type ManualTx,
} from '#src/modules/payments/manual.ts';
import {
  presentSubscription,
  type CheckoutView,
  type SubscriptionView,
} from '#src/modules/payments/payments.schemas.ts';
import type { Answered, PaymentProvider, SubscriptionSnapshot } from '#src/modules/payments/provider.ts';
import { readCurrent, type SubscriptionRow } from '#src/modules/payments/subscriptions.query.ts';
import { isLive, priceMinorOf } from '#src/modules/payments/terms.ts';
import { findOpenWorkspace } from '#src/modules/payments/workspace.query.ts';
import type { Runtime } from '#src/runtime.ts';

export type PaymentRuntime = Pick<Runtime, 'orm' | 'pool' | 'config' | 'payments'>;
type View = z.output<typeof SubscriptionView>;

const alreadySubscribed = () =>
  conflict('already_subscribed', 'There is a subscription. Change its plan, or pay its open invoice.');
const checkoutReplaced = () => conflict('checkout_replaced', 'Another plan was chosen at the same time.');
const notSold = (plan: Plan) =>
  new AppError(422, 'plan_not_sold', `The plan ${plan} is not sold here. Ask the operator for it.`);

/** A transaction that has locked the caller's workspace, and knows its subscription. */
function inBillingTx<Result>(
  { orm }: Pick<PaymentRuntime, 'orm'>,
  workspaceId: string,
  work: (tx: ManualTx, current: SubscriptionRow | null) => Promise<Result>,
): Promise<Result> {
  return inWorkspaceTx(orm, { workspaceId }, async (em) => {
    if (!(await findOpenWorkspace(em, workspaceId))) throw notFound('The workspace');
    return work({ em, workspaceId }, await readCurrent(em));
  });
}

/** Writes down that somebody asked for something of a subscription. */
const audited = ({ em }: ManualTx, actor: Actor, action: string, id: string, after: object): Promise<void> =>
  appendAudit(em, actor, { action, target: { type: 'subscription', id }, after });

/**
 * Offers a plan for payment. Asked at once by several, all get the same offer, and so pay once.
 * @throws AppError 409 `already_subscribed`, `checkout_replaced`; 422 `plan_not_sold`; 503 while the provider is away
 */
export async function openCheckout(
  rt: PaymentRuntime,
  auth: Auth,
  actor: Actor,
  plan: Plan,
): Promise<z.output<typeof CheckoutView>> {
  if (priceMinorOf(plan) === undefined) throw notSold(plan);
  const { payments, config } = rt;
  if (payments) return { url: await offer(rt, payments, auth.workspaceId, actor, plan), invoiceId: null };
  const invoiceId = await inBillingTx(rt, auth.workspaceId, async (tx, current) => {
    if (current && isLive(current)) throw alreadySubscribed();
    const id = await askForPlan(tx, current, plan, { actor, dueDays: config.BILLING_DUE_DAYS });
    await appendAudit(tx.em, actor, {
      action: 'billing.checkout',
      target: { type: 'invoice', id },
      after: { plan },
    });
    return id;
  });
  return { url: null, invoiceId };
}

async function customerOf(rt: PaymentRuntime, provider: PaymentProvider, workspaceId: string): Promise<string> {
  const known = await findCustomer(rt.pool, workspaceId);
  if (known !== null) return known;
  const ref = await provider.createCustomer(workspaceId);
  return inWorkspaceTx(rt.orm, { workspaceId }, (em) => saveCustomer(em, provider.name, ref));
}

/**
 * Notes the offer of a plan; of the same one there is one.
 * @param wish.closed the offer at the provider that nobody can pay any more
 * @returns it, with its page where that is known; or the offer of another plan that can be paid, which is to be closed at the provider first:
 * noted as over before, nobody would close it once the provider had been away
 */
function beginCheckout(
  rt: PaymentRuntime,
  workspaceId: string,
  { plan, closed }: { plan: Plan; closed: string | null },
): Promise<{ id: string; url: string | null } | { former: string }> {
  return inBillingTx(rt, workspaceId, async ({ em }, current) => {
    if (current && isLive(current)) throw alreadySubscribed();
    const open = await readOpenCheckout(em);
    if (open && !open.isOver && open.plan === plan) return { id: open.id, url: open.url };
    if (open?.ref && !open.isOver && open.ref !== closed) return { former: open.ref };
    if (open) await closeCheckout(em, open.id, open.isOver ? 'expired' : 'replaced');
    const id = newId();
    await insertCheckout(em, id, plan);
    return { id, url: null };
  });
}

async function offer(
  rt: PaymentRuntime,
  provider: PaymentProvider,
  workspaceId: string,
  actor: Actor,
  plan: Plan,
): Promise<string> {
  const priceRef = provider.priceOf(plan);
  if (priceRef === undefined) throw notSold(plan);
  const customerRef = await customerOf(rt, provider, workspaceId);
  const begin = (closed: string | null) => beginCheckout(rt, workspaceId, { plan, closed });
  let begun = await begin(null);
  if ('former' in begun) {
    if (!(await provider.closeCheckout(begun.former))) throw alreadySubscribed();
    begun = await begin(begun.former);
    if ('former' in begun) throw checkoutReplaced();
  }
  const { id, url } = begun;
  if (url !== null) return url;
  const made = await provider.openCheckout({ id, customerRef, priceRef, workspaceId });
  const isOpen = await inBillingTx(rt, workspaceId, async ({ em }) => {
    const open = await readOpenCheckout(em);
    if (open?.id !== id) return false;
    // By whoever was first.
    if (open.ref !== null) return true;
    await noteCheckout(em, id, made);
    await appendAudit(em, actor, { action: 'billing.checkout', target: { type: 'checkout', id }, after: { plan } });
    return true;
  });
  if (isOpen) return made.url;
  // Another plan was chosen meanwhile, by somebody who could not know of this offer.
  await provider.closeCheckout(made.ref);
  throw checkoutReplaced();
}

/** @throws AppError 409 `no_portal` without a provider, or before the first checkout */
export async function openPortal(rt: PaymentRuntime, { workspaceId }: Auth): Promise<{ url: string }> {
  const customerRef = rt.payments ? await findCustomer(rt.pool, workspaceId) : null;
  if (!rt.payments || customerRef === null)
    throw conflict('no_portal', 'There is no page of a payment provider for this workspace.');
  return { url: await rt.payments.openPortal(customerRef) };
}

type Do = {
  action: Exclude<Ask['action'], 'invoice.refunded'>;
  /** Named so that the same wish, of the same state, is done once. */
  key: string;
  check?: (current: SubscriptionRow) => void;
  byProvider(provider: PaymentProvider, current: SubscriptionRow, key: string): Promise<Answered<SubscriptionSnapshot>>;
  byHand(tx: ManualTx, current: SubscriptionRow): Promise<void>;
  after: { plan?: Plan };
};

/** Changes the live subscription: at its provider, outside of a transaction, and then here; or here alone. */
async function change(rt: PaymentRuntime, { workspaceId }: Auth, actor: Actor, one: Do): Promise<View> {
  const { action, after } = one;
  const askOf = ({ id: targetId }: SubscriptionRow): Ask => ({ targetId, action, wish: after.plan ?? '' });
  const { payments: provider, config } = rt;
  let isFirst = false;
  const known = await inBillingTx(rt, workspaceId, async (tx, current) => {
    if (!current || !isLive(current)) throw conflict('not_subscribed', 'There is no subscription.');
    one.check?.(current);
    if (current.provider !== 'manual') {
      if (!provider) throw conflict('no_provider', 'The payment provider of this subscription is not set up.');
      isFirst = await noteAsk(tx.em, actor, askOf(current));
      return current;
    }
    await one.byHand(tx, current);
    await audited(tx, actor, action, current.id, after);
    return current;
  });
  if (known.provider === 'stripe' && provider) {
    const { snapshot, at } = await askProvider(
      () => one.byProvider(provider, known, `${one.key}-${known.providerRef}-${known.revision}`),
      (code, isRefused) =>
        inBillingTx(rt, workspaceId, async (tx) => {
          if (isRefused && isFirst) await takeAsk(tx.em, actor, askOf(known));
          await audited(tx, actor, 'subscription.change_failed', known.id, { ...after, change: action, code });
        }),
    );
    await inBillingTx(rt, workspaceId, async (tx) => {
      // Otherwise what the provider told was faster, and has named them.
      const isUnnamed = await takeAsk(tx.em, actor, askOf(known));
      await applySubscription({ ...tx, provider, graceDays: config.BILLING_GRACE_DAYS }, snapshot, at, true);
      if (isUnnamed) await audited(tx, actor, action, known.id, after);
    });
  }
  return presentSubscription(await inBillingTx(rt, workspaceId, async (_tx, current) => current));
}

/** The subscription ends with the period that is paid for; one that is overdue ends now. @throws AppError 409 `not_subscribed`; 503 while the provider is away */
export const cancelSubscription = (rt: PaymentRuntime, auth: Auth, actor: Actor): Promise<View> =>
  change(rt, auth, actor, {
    action: 'subscription.canceled',
    key: 'cancel',
    // Otherwise it would go on to be collected for a period that nobody wants.
    byProvider: (provider, { status, providerRef }, key) =>
      status === 'past_due' ? provider.cancelNow(providerRef, key) : provider.setCancel(providerRef, true, key),
    byHand: (tx, current) => cancelManual(tx, current, actor),
    after: {},
  });

/** It goes on after all. @throws as cancelling does */
export const reactivateSubscription = (rt: PaymentRuntime, auth: Auth, actor: Actor): Promise<View> =>
  change(rt, auth, actor, {
    action: 'subscription.reactivated',
    key: 'reactivate',
    byProvider: (provider, { providerRef }, key) => provider.setCancel(providerRef, false, key),
    byHand: (tx, current) => changeState(tx, current, { cancelAt: null }, { reason: 'reactivated', actor }),
    after: {},
  });

/**
 * Another plan: a better one at once, what was paid for the rest of the period counts; a lesser one from the next period on. The one there is
 * takes such a change back.
 * @throws as cancelling does; 409 `payment_due`, `change_pending`; 422 `plan_not_sold`, `payment_refused`
 */
export async function changePlan(rt: PaymentRuntime, auth: Auth, actor: Actor, plan: Plan): Promise<View> {
  if (priceMinorOf(plan) === undefined) throw notSold(plan);
  return change(rt, auth, actor, {
    action: 'subscription.plan_changed',
    key: `change-${plan}`,
    check: (current) => checkChange(current, plan),
    byProvider: (provider, { providerRef, plan: paid }, key) => {
      const priceRef = provider.priceOf(plan);
      if (priceRef === undefined) throw notSold(plan);
      if (rankOf(plan) > rankOf(paid)) return provider.changePrice(providerRef, priceRef, key);
      // Money for what was paid would come back as credit, for which the better plan could be had again, with its credits.
      return provider.changeNextPrice(providerRef, { priceRef, keptPlan: plan === paid ? null : paid }, key);
    },
    byHand: (tx, current) => changeManual(tx, current, plan, actor),
    after: { plan },
  });
}
