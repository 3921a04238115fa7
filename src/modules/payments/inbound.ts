import type { Logger } from 'pino';
import type { Pool } from 'pg';
import type { Config } from '#src/config.ts';
import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { applyInvoice } from '#src/modules/payments/apply-invoice.ts';
import { applyDispute, applyRefund } from '#src/modules/payments/apply-return.ts';
import { applySubscription, Question, type PaymentTx } from '#src/modules/payments/apply-subscription.ts';
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
import {
  PaymentEvent,
  type Answered,
  type DisputeSnapshot,
  type InvoiceSnapshot,
  type PaymentProvider,
  type SubscriptionSnapshot,
} from '#src/modules/payments/provider.ts';
import { findOpenWorkspace } from '#src/modules/payments/workspace.query.ts';

export interface PaymentResources {
  systemPool: Pool;
  orm: Orm;
  provider: PaymentProvider;
  config: Pick<Config, 'BILLING_GRACE_DAYS'>;
  log: Logger;
}

/** What the provider said when it was asked about an event. */
interface Answers {
  subscription?: Answered<SubscriptionSnapshot>;
  invoice?: InvoiceSnapshot;
  dispute?: Answered<DisputeSnapshot>;
  /** The invoice that was paid by what is returned; null: none. */
  invoiceRef?: string | null;
}

const BATCH = 100;
/** An event needs its subscription, its invoice, the invoice's subscription at most, and once more where two of them move. */
const MAX_QUESTIONS = 6;
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
 * Works off what the provider told, in the order in which it happened, each event in one transaction with its mark: a kill anywhere is harmless,
 * and several may do it at once. What fails is tried again, ever later, and does not hold up the rest.
 * @returns a function that does so once, and tells how many it found
 */
export function createInboundStep(resources: PaymentResources): () => Promise<number> {
  const { systemPool, provider, log } = resources;
  return async () => {
    const due = await findInbound(systemPool, BATCH);
    for (const stored of due) {
      try {
        await workOff(resources, stored);
      } catch (error) {
        const attempts = await postponeInbound(systemPool, stored);
        const about = { err: error, provider: provider.name, event: stored.id, type: stored.type, attempts };
        if (attempts >= ALARM_ATTEMPTS) log.error(about, 'What a payment provider told cannot be worked off');
        else log.warn(about, 'What a payment provider told is worked off later');
      }
    }
    return due.length;
  };
}

async function workOff(resources: PaymentResources, stored: StoredInbound): Promise<void> {
  const { systemPool, provider, log } = resources;
  const told = PaymentEvent.parse(stored.event);
  const event = told.kind === 'dispute' ? await ofSomebody(provider, told) : told;
  const workspaceId = event && (await findWorkspaceOf(systemPool, provider.name, event.customerRef));
  if (!event || !workspaceId) return setAside(systemPool, stored);
  const answers: Answers = {};
  for (let asked = 0; ; asked += 1) {
    try {
      await inWorkspaceTx(resources.orm, { workspaceId }, async (em) => {
        // The lock before the mark: what else changes the workspace's subscription takes them in the same order.
        const isClosed = !(await findOpenWorkspace(em, workspaceId));
        if (!(await takeInbound(em, stored))) return;
        const tx = { em, workspaceId, provider, graceDays: resources.config.BILLING_GRACE_DAYS, isClosed };
        const isWanted = !isClosed || event.kind === 'subscription';
        const outcome = isWanted ? await applyEvent(tx, event, new Date(stored.occurredAt), answers) : 'ignored';
        if (outcome !== 'applied') await noteOutcome(em, stored, outcome);
      });
      if (event.kind === 'dispute')
        log.warn({ workspaceId, ...event.dispute }, 'A payment is disputed: answer it at the payment provider');
      return;
    } catch (error) {
      if (!(error instanceof Question) || asked === MAX_QUESTIONS) throw error;
      await answer(provider, error, event.customerRef, answers);
    }
  }
}

/** An event as it is applied: of a customer. A return says what was paid with. */
type Event =
  | Exclude<PaymentEvent, { kind: 'dispute' }>
  | (Extract<PaymentEvent, { kind: 'dispute' }> & { customerRef: string; paymentRef: string });

/** @returns null for a dispute of nobody's payment */
async function ofSomebody(
  provider: PaymentProvider,
  told: Extract<PaymentEvent, { kind: 'dispute' }>,
): Promise<Event | null> {
  const found = await provider.findCharge(told.chargeRef);
  return found && { ...told, ...found };
}

/** Asks the provider; what it says of another customer is not of this workspace, and is not believed. */
async function answer(
  provider: PaymentProvider,
  { about }: Question,
  customerRef: string,
  answers: Answers,
): Promise<void> {
  const isOurs = (one: { customerRef: string }) => one.customerRef === customerRef;
  if ('subscription' in about) {
    const found = await provider.findSubscription(about.subscription);
    if (!found || !isOurs(found.snapshot)) throw new Error('There is no such subscription of this customer');
    answers.subscription = found;
  } else if ('invoice' in about) {
    const found = await provider.findInvoice(about.invoice);
    if (!found || !isOurs(found)) throw new Error('There is no such invoice of this customer');
    answers.invoice = found;
  } else if ('dispute' in about) answers.dispute = await disputeOf(provider, about.dispute);
  else answers.invoiceRef = await provider.findInvoiceOf(about.payment);
}

async function disputeOf(provider: PaymentProvider, ref: string): Promise<Answered<DisputeSnapshot>> {
  const found = await provider.findDispute(ref);
  if (!found) throw new Error('There is no such dispute');
  return found;
}

async function applyEvent(tx: PaymentTx, event: Event, at: Date, answers: Answers): Promise<Outcome> {
  if (answers.subscription) {
    const applied = await applySubscription(tx, answers.subscription.snapshot, answers.subscription.at, true);
    if (event.kind === 'subscription') return outcomeOf(applied && applied.isNew);
    // Of a price that is none of ours.
    if (!applied) return 'ignored';
  }
  if (event.kind === 'subscription') {
    const applied = await applySubscription(tx, event.subscription, at, false);
    return outcomeOf(applied && applied.isNew);
  }
  if (event.kind === 'invoice') return outcomeOf(await applyInvoice(tx, event.invoice));
  if (event.kind === 'refund' || event.kind === 'dispute') {
    const invoice = await findReturned(tx, event.paymentRef, answers);
    if (!invoice) return 'ignored';
    if (event.kind === 'refund') return outcomeOf(await applyRefund(tx, invoice, event.refundedMinor));
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
