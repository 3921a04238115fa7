import { inWorkspaceTx } from '#src/db/tenant.ts';
import { answering } from '#src/modules/payments/answering.ts';
import { applyInvoice } from '#src/modules/payments/apply-invoice.ts';
import { applySubscription } from '#src/modules/payments/apply-subscription.ts';
import { closeCheckout } from '#src/modules/payments/customers.query.ts';
import { inPaymentTx, type PaymentResources } from '#src/modules/payments/inbound.ts';
import {
  findUntoldCheckouts,
  findUntoldSubscriptions,
  takeCheckout,
  takeSubscription,
  type UntoldKey,
} from '#src/modules/payments/untold.query.ts';

/** Of subscriptions and of offers, in one round. */
const PER_ROUND = 20;
/** An invoice of a period is made about when that begins. */
const MARGIN_MS = 86_400_000;

/**
 * Asks the provider about what it should have told of and did not, as where its events came to nobody until it gave up. What it says is applied
 * as its events are, each once, whichever comes first. While it is away the rest waits for the next round.
 */
export async function catchUp(resources: PaymentResources): Promise<void> {
  const { systemPool } = resources;
  await each(resources, await findUntoldSubscriptions(systemPool, PER_ROUND), lookAtSubscription);
  await each(resources, await findUntoldCheckouts(systemPool, PER_ROUND), lookAtCheckout);
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
      const one = await applySubscription(asking, found.snapshot, found.at, true);
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
