import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Pool } from 'pg';
import type { Config } from '#src/config.ts';
import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { answering, Question, since, type Answers } from '#src/modules/payments/answering.ts';
import { applyInvoice } from '#src/modules/payments/apply-invoice.ts';
import { applyDispute, applyRefund } from '#src/modules/payments/apply-return.ts';
import { applySubscription, type PaymentTx } from '#src/modules/payments/apply-subscription.ts';
import { closeCheckout, findWorkspaceOf } from '#src/modules/payments/customers.query.ts';
import {
  findInbound,
  noteOutcome,
  postponeInbound,
  setAside,
  takeInbound,
  type Outcome,
  type StoredInbound,
} from '#src/modules/payments/inbound.query.ts';
import { notePayment, readInvoice, type InvoiceRow } from '#src/modules/payments/invoices.query.ts';
import { PaymentEvent, type ChargeSnapshot, type PaymentProvider } from '#src/modules/payments/provider.ts';
import { findOpenWorkspace } from '#src/modules/payments/workspace.query.ts';

export interface PaymentResources {
  systemPool: Pool;
  orm: Orm;
  provider: PaymentProvider;
  config: Pick<Config, 'BILLING_GRACE_DAYS'>;
  log: Logger;
}

const BATCH = 100;
/** So many of different customers, so that who waits for an answer of the provider's holds up few others. */
const SIDE_BY_SIDE = 4;
/** Whoever takes longer goes on beside what comes next. */
const PATIENCE_MS = 500;
const ALARM_ATTEMPTS = 8;

/** A transaction of a workspace that is there, which it locks. @returns null when it was closed */
export async function inPaymentTx<Result>(
  { orm, provider, config }: Pick<PaymentResources, 'orm' | 'config'> & Pick<PaymentTx, 'provider'>,
  workspaceId: string,
  work: (tx: PaymentTx) => Promise<Result>,
): Promise<Result | null> {
  return inWorkspaceTx(orm, { workspaceId }, async (em) => {
    if (!(await findOpenWorkspace(em, workspaceId))) return null;
    return work({ em, workspaceId, provider, graceDays: config.BILLING_GRACE_DAYS });
  });
}

/**
 * Works off what the provider told, in the order in which it happened, customers side by side; each event in one transaction with its mark: a kill
 * anywhere is harmless, and several processes may do it at once. What fails is tried again, ever later, and does not hold up the rest.
 * @returns `step` does so once, tells how many it found, and does not wait for those that take long; `idle` does
 */
export function createInbound(resources: PaymentResources): {
  step: () => Promise<number>;
  idle: () => Promise<void>;
} {
  const { systemPool, log } = resources;
  const busy = new Map<string, Promise<void>>();
  const workOffAll = async (told: StoredInbound[]): Promise<void> => {
    // What follows a failure is looked for anew: the customer's turn is over.
    for (const stored of told) if (!(await attempt(resources, stored))) return;
  };
  return {
    async step() {
      const due = await findInbound(systemPool, BATCH, [...busy.keys()]);
      for (const [subject, told] of Map.groupBy(due, (stored) => stored.subject)) {
        while (busy.size >= SIDE_BY_SIDE) await Promise.race(busy.values());
        if (busy.has(subject)) continue;
        const work = workOffAll(told)
          .catch((error: unknown) => log.warn({ err: error }, 'What a payment provider told is looked at later'))
          .finally(() => busy.delete(subject));
        busy.set(subject, work);
      }
      if (busy.size > 0)
        await Promise.race([Promise.all(busy.values()), sleep(PATIENCE_MS, undefined, { ref: false })]);
      return due.length;
    },
    async idle() {
      await Promise.all(busy.values());
    },
  };
}

/** @returns whether it was worked off */
async function attempt(resources: PaymentResources, stored: StoredInbound): Promise<boolean> {
  const { systemPool, provider, log } = resources;
  try {
    await workOff(resources, stored);
    return true;
  } catch (error) {
    const attempts = await postponeInbound(systemPool, stored);
    const about = { err: error, provider: provider.name, event: stored.id, type: stored.type, attempts };
    if (attempts >= ALARM_ATTEMPTS) log.error(about, 'What a payment provider told cannot be worked off');
    else log.warn(about, 'What a payment provider told is worked off later');
    return false;
  }
}

async function workOff(resources: PaymentResources, stored: StoredInbound): Promise<void> {
  const { systemPool, orm, provider, config, log } = resources;
  const told = await readStored(resources, stored);
  if (typeof told === 'string') return setAside(systemPool, stored, told);
  const at = new Date(stored.occurredAt);
  const event = 'chargeRef' in told ? await ofSomebody(provider, told, at) : told;
  const workspaceId = event && (await findWorkspaceOf(systemPool, provider.name, event.customerRef));
  if (!event || !workspaceId) return setAside(systemPool, stored, 'stranger');
  await answering(provider, { customerRef: event.customerRef, at }, (answers) =>
    inWorkspaceTx(orm, { workspaceId }, async (em) => {
      // The lock before the mark: what else changes the workspace's subscription takes them in the same order.
      const isClosed = !(await findOpenWorkspace(em, workspaceId));
      if (!(await takeInbound(em, stored))) return;
      const { subscriptions: asked } = answers;
      const tx = { em, workspaceId, provider, graceDays: config.BILLING_GRACE_DAYS, isClosed, asked };
      const isWanted = !isClosed || event.kind === 'subscription';
      const outcome = isWanted ? await applyEvent(tx, event, at, answers) : 'ignored';
      if (outcome !== 'applied') await noteOutcome(em, stored, outcome);
    }),
  );
  if (event.kind === 'dispute')
    log.warn({ workspaceId, ...event.dispute }, 'A payment is disputed: answer it at the payment provider');
}

/** What an event told. One that was stored by code of another time is asked for anew. @returns why it is set aside, where it tells nothing */
async function readStored(
  { provider, log }: PaymentResources,
  { id, type, event }: StoredInbound,
): Promise<PaymentEvent | 'ignored' | 'unreadable'> {
  const stored = PaymentEvent.safeParse(event);
  if (stored.success) return stored.data;
  const asked = await provider.findEvent(id);
  if (asked) return asked.event ?? 'ignored';
  const about = { err: stored.error, provider: provider.name, event: id, type };
  log.error(about, 'A stored event of a payment provider cannot be read any more: send it again from its page');
  return 'unreadable';
}

/** An event as it is applied: of a customer. A return says what was paid with, and how much of that is given back now. */
type Return = Extract<PaymentEvent, { chargeRef: string }> & ChargeSnapshot & { chargedAt: Date };
type Event = Exclude<PaymentEvent, { chargeRef: string }> | Return;

/** @returns null for a return of nobody's payment */
async function ofSomebody(
  provider: PaymentProvider,
  told: Extract<PaymentEvent, { chargeRef: string }>,
  at: Date,
): Promise<Return | null> {
  const found = await provider.findCharge(told.chargeRef);
  return found && { ...told, ...found.snapshot, chargedAt: since(found, at).at };
}

async function applyEvent(tx: PaymentTx, event: Event, at: Date, answers: Answers): Promise<Outcome> {
  if (event.kind === 'subscription') {
    const answer = answers.subscriptions.get(event.subscription.ref);
    const applied = await applySubscription(
      tx,
      answer?.snapshot ?? event.subscription,
      answer?.at ?? at,
      answer !== undefined,
    );
    return outcomeOf(applied && applied.isNew);
  }
  if (event.kind === 'invoice') return outcomeOf(await applyInvoice(tx, event.invoice));
  if (event.kind === 'refund' || event.kind === 'dispute') {
    const invoice = await findReturned(tx, event.paymentRef, answers);
    if (!invoice) return 'ignored';
    if (event.kind === 'refund') {
      const {
        snapshot,
        at: askedAt,
        seen,
      } = answers.charge ?? { snapshot: event, at: event.chargedAt, seen: undefined };
      const { refundedMinor, collectedMinor } = snapshot;
      const charge = { ref: event.chargeRef, seen };
      return outcomeOf(await applyRefund(tx, invoice, { at: askedAt, refundedMinor, collectedMinor, charge }));
    }
    const told = answers.dispute ?? { snapshot: event.dispute, at };
    return outcomeOf(await applyDispute(tx, invoice, { ...told, isAnswer: answers.dispute !== undefined }));
  }
  await closeCheckout(tx.em, event.checkoutId, event.status);
  return 'applied';
}

const outcomeOf = (isNew: boolean | null): Outcome => (isNew === null ? 'ignored' : isNew ? 'applied' : 'older');

/**
 * What is returned names what was paid with. Which invoice that was, and that it was paid, is asked for where it was not told yet.
 * @returns the invoice as paid; null: it is none of ours, or was not paid
 */
async function findReturned(tx: PaymentTx, paymentRef: string, answers: Answers): Promise<InvoiceRow | null> {
  const { em, provider } = tx;
  if (answers.invoice) await applyInvoice(tx, answers.invoice);
  const known = await readInvoice(em, { paymentRef });
  if (!known && answers.invoiceRef === undefined) throw new Question({ payment: paymentRef });
  const ref = known?.providerRef ?? answers.invoiceRef ?? null;
  if (ref === null) return null;
  const invoice = known ?? (await readInvoice(em, { provider: provider.name, ref }));
  if (invoice?.status !== 'paid') {
    if (answers.invoice) return null;
    throw new Question({ invoice: ref });
  }
  await notePayment(em, invoice.id, paymentRef);
  return invoice;
}
