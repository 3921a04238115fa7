import type { Logger } from 'pino';
import type { Pool } from 'pg';
import type { Config } from '#src/config.ts';
import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { applySubscription } from '#src/modules/payments/apply-subscription.ts';
import { catchUp } from '#src/modules/payments/catch-up.ts';
import { findToRemind, noteReminded, readInvoice } from '#src/modules/payments/invoices.query.ts';
import { changeState, endNow, tendManual, type ManualTx } from '#src/modules/payments/manual.ts';
import type { PaymentProvider } from '#src/modules/payments/provider.ts';
import {
  findAbandoned,
  findLapsing,
  findManualDue,
  findNeverPaid,
  findSurplus,
  readSubscription,
  updateSubscription,
  type SubscriptionKey,
  type SubscriptionRow,
} from '#src/modules/payments/subscriptions.query.ts';
import { isLive } from '#src/modules/payments/terms.ts';
import { findOpenWorkspace } from '#src/modules/payments/workspace.query.ts';

export interface TendResources {
  systemPool: Pool;
  orm: Orm;
  /** Null: nobody collects for us. */
  provider: PaymentProvider | null;
  config: Pick<Config, 'BILLING_GRACE_DAYS' | 'BILLING_DUE_DAYS' | 'BILLING_REMIND_DAYS'>;
  log: Logger;
}

/**
 * Does what time asks of subscriptions: the provider is asked about those it tells nothing of, plans whose grace is over go, second subscriptions and those of closed workspaces are ended, and what is
 * paid by hand gets its next invoice, its reminders and its end. Every step is a transaction that looks again: several may do it at once.
 * @returns a function that does so once
 */
export function createSubscriptionCare(resources: TendResources): () => Promise<void> {
  const { systemPool, provider, config } = resources;
  const { BILLING_GRACE_DAYS: graceDays, BILLING_DUE_DAYS: dueDays, BILLING_REMIND_DAYS: remindDays } = config;
  return async () => {
    // Before anything ends for want of news.
    if (provider) await catchUp({ ...resources, provider });
    await each(resources, await findManualDue(systemPool, dueDays), (tx, { id }) =>
      tendManual(tx, id, { graceDays, dueDays, now: new Date() }),
    );
    await each(resources, await findLapsing(systemPool), lapse);
    await each(resources, await findNeverPaid(systemPool, graceDays), async (tx, { id }) => {
      const current = await readSubscription(tx.em, { id });
      if (current?.status === 'incomplete') await endNow(tx, current, { reason: 'never_paid' });
    });
    await each(resources, await findToRemind(systemPool, remindDays), remind);
    await endSurplus(resources);
    await endAbandoned(resources);
  };
}

/** One transaction for each; what fails does not hold up the others, and is found again. */
async function each(
  { orm, log }: TendResources,
  keys: SubscriptionKey[],
  work: (tx: ManualTx, key: SubscriptionKey) => Promise<void>,
): Promise<void> {
  for (const key of keys) {
    const { workspaceId } = key;
    try {
      await inWorkspaceTx(orm, { workspaceId }, async (em) => {
        if (await findOpenWorkspace(em, workspaceId)) await work({ em, workspaceId }, key);
      });
    } catch (error) {
      log.error({ err: error, ...key }, 'A subscription could not be tended');
    }
  }
}

async function lapse(tx: ManualTx, { id }: SubscriptionKey): Promise<void> {
  const current = await readSubscription(tx.em, { id });
  const isOver = current?.graceUntil && Date.parse(current.graceUntil) <= Date.now();
  if (!isOver || current.status !== 'past_due' || current.lapsedAt !== null) return;
  // What is known of the provider is not newer by that.
  const { knownAt } = current;
  await changeState(tx, current, { lapsedAt: new Date().toISOString(), knownAt }, { reason: 'unpaid' });
}

async function remind(tx: ManualTx, { id }: SubscriptionKey): Promise<void> {
  const invoice = await readInvoice(tx.em, { id });
  if (!invoice || !(await noteReminded(tx.em, id))) return;
  const { amountMinor, currency, dueAt } = invoice;
  await emitEvent(tx.em, {
    type: 'billing.invoice_due',
    data: { invoiceId: id, amountMinor, currency, dueAt },
    subjectId: null,
    actorId: null,
  });
}

async function endSurplus(resources: TendResources): Promise<void> {
  const { systemPool, provider, config } = resources;
  if (!provider) return;
  for (const key of await findSurplus(systemPool))
    await endAtProvider(resources, provider, key, config.BILLING_GRACE_DAYS);
}

/** Ends a subscription at the provider, outside of a transaction, and takes over what it says then. */
async function endAtProvider(
  { orm, log }: TendResources,
  provider: PaymentProvider,
  { workspaceId, id }: SubscriptionKey,
  graceDays: number,
): Promise<void> {
  try {
    const row = await inWorkspaceTx(orm, { workspaceId }, (em) => readSubscription(em, { id }));
    if (!row || !isLive(row)) return;
    const { snapshot, at } = await provider.cancelNow(row.providerRef, `end-${row.providerRef}`);
    await inWorkspaceTx(orm, { workspaceId }, async (em) => {
      if (await findOpenWorkspace(em, workspaceId))
        await applySubscription({ em, workspaceId, provider, graceDays }, snapshot, at, true);
      else await updateSubscription(em, id, ended(row));
    });
    log.warn({ workspaceId, subscription: id }, 'A subscription that nobody is to pay was ended');
  } catch (error) {
    log.error({ err: error, workspaceId, subscription: id }, 'A subscription that nobody is to pay could not be ended');
  }
}

const ended = (row: SubscriptionRow): SubscriptionRow => ({ ...row, status: 'canceled', graceUntil: null });

async function endAbandoned(resources: TendResources): Promise<void> {
  const { systemPool, orm, provider, config } = resources;
  for (const key of await findAbandoned(systemPool)) {
    const { workspaceId, id } = key;
    const row = await inWorkspaceTx(orm, { workspaceId }, (em) => readSubscription(em, { id }));
    if (row?.provider === 'stripe') {
      if (provider) await endAtProvider(resources, provider, key, config.BILLING_GRACE_DAYS);
    } else if (row) await inWorkspaceTx(orm, { workspaceId }, (em) => updateSubscription(em, id, ended(row)));
  }
}
