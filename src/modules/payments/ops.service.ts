import type { z } from 'zod';
import { conflict, notFound } from '#src/errors.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { toCredits, toMicroCredits } from '#src/modules/billing/billing.schemas.ts';
import { giveCredits } from '#src/modules/payments/apply-invoice.ts';
import { applyRefund } from '#src/modules/payments/apply-return.ts';
import {
  findWorkspaceOfInvoice,
  markPaid,
  readInvoice,
  type InvoiceRow,
} from '#src/modules/payments/invoices.query.ts';
import { noteAsk, takeAsk, type Ask } from '#src/modules/payments/asks.query.ts';
import { askProvider } from '#src/modules/payments/ask-provider.ts';
import { payManual, voidManual, type ManualTx } from '#src/modules/payments/manual.ts';
import type { RefundInvoiceBody, ReleaseBody } from '#src/modules/payments/payments.schemas.ts';
import { creditsFor } from '#src/modules/payments/terms.ts';
import { findOpenWorkspace } from '#src/modules/payments/workspace.query.ts';
import type { Runtime } from '#src/runtime.ts';

type OpsRuntime = Pick<Runtime, 'orm' | 'systemPool' | 'payments'>;

/** Changes an invoice in a transaction that has locked its workspace. @returns how it is then @throws AppError 404 */
async function withInvoice(
  { orm, systemPool }: OpsRuntime,
  id: string,
  work: (tx: ManualTx, invoice: InvoiceRow) => Promise<void>,
): Promise<InvoiceRow> {
  const workspaceId = await findWorkspaceOfInvoice(systemPool, id);
  if (workspaceId === null) throw notFound('The invoice');
  return inWorkspaceTx(orm, { workspaceId }, async (em) => {
    if (!(await findOpenWorkspace(em, workspaceId))) throw notFound('The workspace');
    const invoice = await readInvoice(em, { id });
    if (!invoice) throw notFound('The invoice');
    await work({ em, workspaceId }, invoice);
    return (await readInvoice(em, { id })) ?? invoice;
  });
}

const audited = ({ em }: ManualTx, actor: Actor, action: string, id: string, after: object) =>
  appendAudit(em, actor, { action, target: { type: 'invoice', id }, after });

/** The money of a manual invoice has come. Said again, it changes nothing. @throws AppError 409 `invoice_closed`, `not_manual` */
export const payByOperator = (rt: OpsRuntime, actor: Actor, id: string): Promise<InvoiceRow> =>
  withInvoice(rt, id, async (tx, { status }) => {
    await payManual(tx, id, actor);
    if (status !== 'paid') await audited(tx, actor, 'invoice.paid', id, {});
  });

/** A manual invoice is not to be paid. @throws AppError 409 as above */
export const voidByOperator = (rt: OpsRuntime, actor: Actor, id: string): Promise<InvoiceRow> =>
  withInvoice(rt, id, async (tx, { status }) => {
    await voidManual(tx, id, actor);
    if (status !== 'void') await audited(tx, actor, 'invoice.voided', id, {});
  });

/**
 * Gives back an invoice, or a part of it. A provider is told to, and what it tells then takes the credits back; of a manual one they are at once.
 * @returns the invoice, and what of everything cannot be given back
 * @throws AppError 409 `not_paid`, `more_than_collected`, `nothing_to_refund`; 503 while the provider is away
 */
export async function refundByOperator(
  rt: OpsRuntime,
  actor: Actor,
  id: string,
  { refundedMinor: wantedMinor }: z.output<typeof RefundInvoiceBody>,
): Promise<{ invoice: InvoiceRow; notRefundableMinor: number }> {
  const { payments } = rt;
  const ask: Ask = { targetId: id, action: 'invoice.refunded', wish: `${wantedMinor ?? ''}` };
  let isFirst = false;
  const invoice = await withInvoice(rt, id, async (tx, one) => {
    const { status, provider, amountMinor, refundedMinor: before } = one;
    if (status !== 'paid') throw conflict('not_paid', 'Only a paid invoice can be given back.');
    const refundedMinor = wantedMinor ?? amountMinor;
    if (refundedMinor > amountMinor) throw conflict('more_than_collected', 'That is more than was paid.');
    const isAsked = provider !== 'manual' && payments && (wantedMinor === undefined || wantedMinor > before);
    if (isAsked) isFirst = await noteAsk(tx.em, actor, ask);
    if (provider !== 'manual' || refundedMinor <= before) return;
    await applyRefund(tx, one, { at: new Date(), refundedMinor, collectedMinor: amountMinor });
    await audited(tx, actor, 'invoice.refunded', id, { refundedMinor });
  });
  if (invoice.provider === 'manual') return { invoice, notRefundableMinor: 0 };
  if (wantedMinor !== undefined && wantedMinor <= invoice.refundedMinor) return { invoice, notRefundableMinor: 0 };
  if (!payments) throw conflict('no_provider', 'The payment provider of this invoice is not set up.');
  const { refundedMinor, collectedMinor, isNew } = await askProvider(
    () => payments.refund(invoice.providerRef, wantedMinor ?? null),
    async (code, isRefused) => {
      await withInvoice(rt, id, async (tx) => {
        if (isRefused && isFirst) await takeAsk(tx.em, actor, ask);
        const wanted = wantedMinor !== undefined && { refundedMinor: wantedMinor };
        await audited(tx, actor, 'invoice.refund_failed', id, { ...wanted, code });
      });
    },
  );
  // It was given back before: if they had asked for that too, what the provider tells names them.
  if (isNew || isFirst)
    await withInvoice(rt, id, async (tx) => {
      if ((await takeAsk(tx.em, actor, ask)) && isNew)
        await audited(tx, actor, 'invoice.refunded', id, { refundedMinor });
    });
  const isAll = wantedMinor === undefined;
  return { invoice, notRefundableMinor: isAll ? Math.max(0, invoice.amountMinor - collectedMinor) : 0 };
}

/** Lets a held invoice give its credits. @throws AppError 409 `not_held`; `returned` for one of which money was given back or is asked back */
export const releaseByOperator = (
  rt: OpsRuntime,
  actor: Actor,
  id: string,
  body: z.output<typeof ReleaseBody>,
): Promise<InvoiceRow> =>
  withInvoice(rt, id, async (tx, invoice) => {
    const { held, plan, amountMinor, paidAt, refundedMinor, disputedMinor } = invoice;
    if (held === null || paidAt === null) throw conflict('not_held', 'This invoice does not wait for anybody.');
    if (refundedMinor + disputedMinor > 0)
      throw conflict('returned', 'Some of this invoice is not paid any more. Grant what credits it is still to give.');
    const credits =
      body.credits === undefined ? (plan === null ? 0 : creditsFor(plan, amountMinor)) : toMicroCredits(body.credits);
    await markPaid(tx.em, { id, paidAt, credits, held: null });
    await giveCredits(tx, invoice, paidAt, credits);
    await audited(tx, actor, 'invoice.released', id, { credits: toCredits(credits) });
  });
