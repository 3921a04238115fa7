import { emitEvent } from '#src/events/outbox.query.ts';
import { newId } from '#src/lib/ids.ts';
import { toCredits } from '#src/modules/billing/billing.schemas.ts';
import { nameAskers } from '#src/modules/payments/asks.ts';
import { Question } from '#src/modules/payments/answering.ts';
import type { PaymentTx } from '#src/modules/payments/apply-subscription.ts';
import { readDispute, saveDispute, sumDisputed } from '#src/modules/payments/disputes.query.ts';
import { markReturned, restoreCredits, reverseCredits, type InvoiceRow } from '#src/modules/payments/invoices.query.ts';
import type { DisputeSnapshot } from '#src/modules/payments/provider.ts';
import { readSubscription } from '#src/modules/payments/subscriptions.query.ts';
import { creditsReturned, holdOf } from '#src/modules/payments/terms.ts';

const MONTH_MS = 30 * 86_400_000;

type Tx = Pick<PaymentTx, 'em' | 'workspaceId'>;
type Returned = Pick<InvoiceRow, 'creditsReversed' | 'creditsUncollected'>;

/**
 * Of an invoice so much is no longer paid for: its credits are taken back in proportion, those of them that are left; what was spent is noted as
 * uncollected. Is it less than before, they are given back the same way, for a month at least.
 * @returns how much of its credits was taken back in all, and how much could not be
 */
async function settleReturned(
  { em, workspaceId }: Tx,
  invoice: InvoiceRow,
  {
    refundedMinor,
    disputedMinor,
    refundKnownAt,
    held,
  }: Pick<InvoiceRow, 'refundedMinor' | 'disputedMinor' | 'refundKnownAt' | 'held'>,
): Promise<Returned> {
  const { id, amountMinor, credits, creditsReversed, creditsUncollected } = invoice;
  const returnedMinor = Math.min(amountMinor, refundedMinor + disputedMinor);
  const more = creditsReturned(credits, returnedMinor, amountMinor) - creditsReversed - creditsUncollected;
  const now = { creditsReversed, creditsUncollected };
  const key = { workspaceId, referenceId: id };
  if (more > 0) {
    const taken = await reverseCredits(em, { ...key, microCredits: more });
    now.creditsReversed += taken;
    now.creditsUncollected += more - taken;
  } else if (more < 0) {
    // What was spent by then is owed no more; of the rest, what was taken is there again.
    const forgiven = Math.min(-more, creditsUncollected);
    const until = new Date(Date.now() + MONTH_MS);
    const given = await restoreCredits(em, { ...key, microCredits: -more - forgiven, until });
    now.creditsUncollected -= forgiven;
    now.creditsReversed -= given;
  }
  await markReturned(em, { id, refundedMinor, disputedMinor, refundKnownAt, held, ...now });
  return now;
}

const inCredits = ({ creditsReversed, creditsUncollected }: Returned) => ({
  creditsReversed: toCredits(creditsReversed),
  creditsUncollected: toCredits(creditsUncollected),
});

/** What is given back of an invoice at a moment. */
export interface Refunded {
  /** By the provider's clock. */
  at: Date;
  refundedMinor: number;
  /** What was collected for it: its amount, without what a balance at the provider paid. */
  collectedMinor: number;
  /** The charge it is of, and what was known of the invoice when it was asked about; absent: nobody else can say. */
  charge?: { ref: string; seen: string | undefined };
}

const seenOf = ({ refundKnownAt, refundedMinor }: InvoiceRow): string => `${refundKnownAt} ${refundedMinor}`;

/**
 * So much of an invoice is given back, and its credits with it; less than before, where a refund came to nothing, and they are there again. What
 * is older than what is known changes nothing; what differs in the same second holds where nothing changed since it was asked.
 * @returns whether anything was new
 * @throws Question
 */
export async function applyRefund(tx: Tx, invoice: InvoiceRow, told: Refunded): Promise<boolean> {
  const { amountMinor, credits } = invoice;
  const refundKnownAt = told.at.toISOString();
  if (invoice.refundKnownAt !== null && refundKnownAt < invoice.refundKnownAt) return false;
  const refundedMinor = Math.min(told.refundedMinor, amountMinor);
  const isSame = refundedMinor === invoice.refundedMinor;
  const seen = seenOf(invoice);
  if (!isSame && told.charge && refundKnownAt === invoice.refundKnownAt && told.charge.seen !== seen)
    throw new Question({ charge: told.charge.ref, seen });
  let { held } = invoice;
  // What is given back as a whole waits for nobody, and does again where that came to nothing.
  const isWhole =
    refundedMinor > 0 && refundedMinor + invoice.disputedMinor >= Math.min(amountMinor, told.collectedMinor);
  if (isWhole) held = null;
  else if (refundedMinor < invoice.refundedMinor && credits === 0) held ??= await holdAgain(tx, invoice);
  const returned = await settleReturned(tx, invoice, { ...invoice, refundedMinor, refundKnownAt, held });
  // Of what was asked for, or of everything that was collected.
  const isDone = (wish: string) => refundedMinor >= (Number(wish) || Math.min(amountMinor, told.collectedMinor));
  await nameAskers(tx.em, {
    type: 'invoice',
    id: invoice.id,
    at: told.at,
    outcome: ({ wish }) => (isDone(wish) ? { refundedMinor } : null),
  });
  if (isSame) return false;
  await emitEvent(tx.em, {
    type: 'billing.refunded',
    data: { invoiceId: invoice.id, refundedMinor, ...inCredits(returned) },
    subjectId: null,
    actorId: null,
  });
  return true;
}

async function holdAgain({ em }: Tx, invoice: InvoiceRow): Promise<InvoiceRow['held']> {
  const subscription = await readSubscription(em, { id: invoice.subscriptionId });
  return holdOf(invoice, subscription?.isSurplus ?? false);
}

/**
 * A bank asks an invoice's payment back: while that is open, and once it is lost, it is as if it had been given back; won, all is as before.
 * What is older than what is known changes nothing; of what is told of the same second, the provider is asked.
 * @param at when it was so, by the provider's clock
 * @returns whether anything was new
 * @throws Question
 */
export async function applyDispute(
  tx: PaymentTx,
  invoice: InvoiceRow,
  told: { snapshot: DisputeSnapshot; at: Date; isAnswer: boolean },
): Promise<boolean> {
  const { em } = tx;
  const { ref, status, currency } = told.snapshot;
  // Of another currency it does not say what of the invoice it is.
  const amountMinor = currency === invoice.currency ? told.snapshot.amountMinor : invoice.amountMinor;
  const before = await readDispute(em, 'stripe', ref);
  const knownAt = told.at.toISOString();
  if (before && knownAt < before.knownAt) return false;
  const isSame = before?.status === status && before.amountMinor === amountMinor;
  if (before?.knownAt === knownAt && !isSame && !told.isAnswer) throw new Question({ dispute: ref });
  const one = { provider: 'stripe' as const, providerRef: ref, status, amountMinor, knownAt };
  const id = before?.id ?? newId();
  await saveDispute(em, { ...one, id, invoiceId: invoice.id });
  if (isSame) return false;
  const disputedMinor = await sumDisputed(em, invoice.id);
  // What is given back as a whole waits for nobody, and does again where that came to nothing.
  const isWholeWith = (asked: number) =>
    invoice.refundedMinor > 0 && invoice.refundedMinor + asked >= invoice.amountMinor;
  let held = isWholeWith(disputedMinor) ? null : invoice.held;
  if (isWholeWith(invoice.disputedMinor) && !isWholeWith(disputedMinor) && invoice.credits === 0)
    held ??= await holdAgain(tx, invoice);
  const returned = await settleReturned(tx, invoice, { ...invoice, disputedMinor, held });
  await emitEvent(em, {
    type: 'billing.disputed',
    data: {
      invoiceId: invoice.id,
      disputeId: id,
      status,
      amountMinor,
      currency: invoice.currency,
      ...inCredits(returned),
    },
    subjectId: null,
    actorId: null,
  });
  return true;
}
