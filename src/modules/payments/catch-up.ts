import { inWorkspaceTx } from '#src/db/tenant.ts';
import { answering } from '#src/modules/payments/answering.ts';
import { applyInvoice } from '#src/modules/payments/apply-invoice.ts';
import { applySubscription } from '#src/modules/payments/apply-subscription.ts';
import { closeCheckout } from '#src/modules/payments/customers.query.ts';
import { storeInbound } from '#src/modules/payments/inbound.query.ts';
import { inPaymentTx, type PaymentResources } from '#src/modules/payments/inbound.ts';
import {
  findUntoldCheckouts,
  findUntoldSubscriptions,
  noteSweep,
  takeCheckout,
  takeSubscription,
  takeSweep,
  type UntoldKey,
} from '#src/modules/payments/untold.query.ts';

/** Of subscriptions and of offers, in one round. */
const PER_ROUND = 20;
/** An invoice of a period is made about when that begins. */
const MARGIN_MS = 86_400_000;
/** Of what happened to refunds and disputes, in one hour: a thousand. */
const MAX_PAGES = 10;
/** What is younger may be under way to us. */
const UNTOLD_MS = 3_600_000;

/**
 * Asks the provider about what it should have told of and did not, as where its events came to nobody until it gave up. What it says is applied
 * as its events are, each once, whichever comes first. While it is away the rest waits for the next round.
 */
export async function catchUp(resources: PaymentResources): Promise<void> {
  const { systemPool } = resources;
  await each(resources, await findUntoldSubscriptions(systemPool, PER_ROUND), lookAtSubscription);
  await each(resources, await findUntoldCheckouts(systemPool, PER_ROUND), lookAtCheckout);
  try {
    await lookForReturns(resources);
  } catch (error) {
    resources.log.warn(
      { err: error },
      'What a payment provider did not tell of refunds and disputes could not be asked',
    );
  }
}

/** Stores what happened to refunds and disputes as if it had been told, each event once, whichever comes first. */
async function lookForReturns({ systemPool, provider, log }: PaymentResources): Promise<void> {
  const sweep = await takeSweep(systemPool, provider.name);
  if (!sweep) return;
  const untold: string[] = [];
  let { after } = sweep;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const { told, next } = await provider.findReturns(new Date(sweep.since), after);
    for (const one of told) {
      const isNew = one.event !== null && (await storeInbound(systemPool, provider.name, one));
      if (isNew && one.occurredAt.getTime() < Date.now() - UNTOLD_MS) untold.push(one.id);
    }
    await noteSweep(systemPool, provider.name, next);
    after = next;
    if (after === null) break;
  }
  if (untold.length > 0)
    log.warn({ events: untold }, 'A payment provider had not told of this: look at its webhook endpoint');
}

async function each(
  resources: PaymentResources,
  keys: UntoldKey[],
  look: (resources: PaymentResources, key: UntoldKey) => Promise<void>,
): Promise<void> {
  for (const key of keys) {
    try {
      await look(resources, key);
    } catch (error) {
      resources.log.warn({ err: error, ...key }, 'What a payment provider did not tell could not be asked');
      return;
    }
  }
}

async function lookAtSubscription(resources: PaymentResources, { workspaceId, id }: UntoldKey): Promise<void> {
  const taken = await inWorkspaceTx(resources.orm, { workspaceId }, (em) => takeSubscription(em, id));
  if (taken) await takeOver(resources, workspaceId, taken.ref, taken);
}

async function lookAtCheckout(resources: PaymentResources, { workspaceId, id }: UntoldKey): Promise<void> {
  const { orm, provider } = resources;
  const taken = await inWorkspaceTx(orm, { workspaceId }, (em) => takeCheckout(em, id));
  if (!taken) return;
  const { status, subscriptionRef } = (await provider.findCheckout(taken.ref)) ?? {
    status: 'expired' as const,
    subscriptionRef: null,
  };
  if (status === 'open') return;
  if (subscriptionRef !== null) await takeOver(resources, workspaceId, subscriptionRef, taken);
  await inWorkspaceTx(orm, { workspaceId }, (em) => closeCheckout(em, id, status));
}

/** Takes over what a subscription is at the provider, and what was to be paid for it since. */
async function takeOver(
  resources: PaymentResources,
  workspaceId: string,
  ref: string,
  { customerRef, since }: { customerRef: string; since: string | null },
): Promise<void> {
  const { provider, log } = resources;
  const found = await provider.findSubscription(ref);
  if (found?.snapshot.customerRef !== customerRef) {
    log.error({ workspaceId, ref }, 'The payment provider has no such subscription of this customer');
    return;
  }
  const invoices = await provider.findInvoices(ref, new Date(Date.parse(since ?? '') - MARGIN_MS || 0));
  const applied = await answering(provider, { customerRef, at: found.at }, ({ subscriptions }) =>
    inPaymentTx(resources, workspaceId, async (tx) => {
      const asking = { ...tx, asked: subscriptions };
      // Asked for nobody's sake: what was told of the same second meanwhile may have come later.
      const { snapshot, at } = subscriptions.get(ref) ?? found;
      const one = await applySubscription(asking, snapshot, at, subscriptions.has(ref));
      let isNew = one?.isNew ?? false;
      if (one) for (const invoice of invoices) isNew = (await applyInvoice(asking, invoice)) || isNew;
      return one && { isNew, isSetAside: one.row.isSurplus && one.row.isByHand };
    }),
  );
  if (applied?.isNew)
    log.warn({ workspaceId, ref }, 'A payment provider had not told of this: look at its webhook endpoint');
  if (applied?.isSetAside)
    log.error(
      { workspaceId, ref },
      'A customer has two subscriptions that were made by hand: end one at the payment provider',
    );
}
