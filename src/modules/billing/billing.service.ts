import type { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { AppError, conflict, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import {
  type GrantBody,
  type RefundBody,
  type RevokeCodesBody,
  type RevokedCodesView,
  toCredits,
  toMicroCredits,
  type TopupCodesBody,
  type TopupCodesView,
  type TopupView,
} from '#src/modules/billing/billing.schemas.ts';
import {
  findGranted,
  grantCredits,
  insertCodes,
  redeemCode,
  refundJob,
  revokeCodes,
  wasRedeemedBy,
} from '#src/modules/billing/credits.query.ts';
import { hashOf, newCode } from '#src/modules/billing/topup-code.ts';
import { INSTALLATION } from '#src/modules/settings/settings.ts';
import { lockWorkspace } from '#src/modules/workspaces/plans.ts';
import type { Runtime } from '#src/runtime.ts';

type Orm = Pick<Runtime, 'orm'>;

/** @throws AppError 409 `credits_too_many` for the ledger's refusal to give more than an account can hold; else the error itself */
export function tellTooMany(error: unknown): never {
  if (error instanceof Error && 'code' in error && error.code === '22003')
    throw conflict('credits_too_many', 'The workspace cannot have so many credits.');
  throw error;
}

/**
 * Adds the credits of a code to the caller's workspace. A code is redeemed once, whoever tries it at the same time.
 * @throws AppError 404 when the workspace was closed meanwhile, which leaves the code as it is; 409 `topup_code_used` when the workspace had it
 * already, `credits_too_many`; 422 `topup_code_invalid` for every other code that cannot be redeemed
 */
export function redeemTopup(
  { orm }: Orm,
  { workspaceId, userId }: Auth,
  actor: Actor,
  code: string,
): Promise<z.output<typeof TopupView>> {
  return inWorkspaceTx(orm, { workspaceId }, async (em) => {
    await lockWorkspace(em, workspaceId);
    const hash = hashOf(code);
    const redeemed = await redeemCode(em, { workspaceId, userId, hash });
    if (!redeemed) {
      if (await wasRedeemedBy(em, workspaceId, hash))
        throw conflict('topup_code_used', 'Your workspace has redeemed this code already.');
      throw new AppError(422, 'topup_code_invalid', 'There is no such code, or it was used or has expired.');
    }
    const credits = toCredits(redeemed.credits);
    await appendAudit(em, actor, {
      action: 'credits.topped_up',
      target: { type: 'workspace', id: workspaceId },
      after: { credits },
    });
    return { credits, balance: toCredits(redeemed.balance) };
  }).catch(tellTooMany);
}

/** Makes codes and stores their digests: what is returned is all there ever is of them. */
export async function makeCodes(
  { orm, systemPool }: Pick<Runtime, 'orm' | 'systemPool'>,
  actor: Actor,
  { count, credits, expiresAt }: z.output<typeof TopupCodesBody>,
): Promise<z.output<typeof TopupCodesView>> {
  const codes = Array.from({ length: count }, newCode);
  const batchId = await insertCodes(systemPool, {
    hashes: codes.map(hashOf),
    microCredits: toMicroCredits(credits),
    expiresAt: expiresAt === undefined ? null : new Date(expiresAt),
  });
  await inWorkspaceTx(orm, { workspaceId: INSTALLATION }, (em) =>
    appendAudit(em, actor, {
      action: 'topup-codes.created',
      target: { type: 'topup-code-batch', id: batchId },
      after: { count, credits },
    }),
  );
  return { batchId, credits, codes };
}

/** Ends codes that nobody has redeemed. @throws AppError 404 where there are no such codes */
export async function endCodes(
  { orm, systemPool }: Pick<Runtime, 'orm' | 'systemPool'>,
  actor: Actor,
  { batchId, code }: z.output<typeof RevokeCodesBody>,
): Promise<z.output<typeof RevokedCodesView>> {
  const ended = await revokeCodes(systemPool, batchId ?? hashOf(code ?? ''));
  if (!ended) throw notFound(batchId === undefined ? 'The code' : 'The batch');
  await inWorkspaceTx(orm, { workspaceId: INSTALLATION }, (em) =>
    appendAudit(em, actor, {
      action: 'topup-codes.revoked',
      target: { type: 'topup-code-batch', id: ended.batchId },
      after: { count: ended.revoked },
    }),
  );
  return ended;
}

/** Adds credits to a workspace. @returns what is free then @throws AppError 404 when it is gone; 409 `credits_not_moved` for a reference it was given already, `credits_too_many` */
export function grantByOperator(
  { orm }: Orm,
  actor: Actor,
  { workspaceId, credits, referenceId, expiresAt, priority }: z.output<typeof GrantBody>,
): Promise<{ balance: number }> {
  return inWorkspaceTx(orm, { workspaceId }, async (em) => {
    await lockWorkspace(em, workspaceId);
    const balance = await grantCredits(em, {
      workspaceId,
      microCredits: toMicroCredits(credits),
      referenceId,
      expiresAt: expiresAt === undefined ? undefined : new Date(expiresAt),
      priority,
    });
    if (balance === null) {
      const before = toCredits(await findGranted(em, workspaceId, referenceId));
      throw conflict('credits_not_moved', `The workspace was given ${before} credits by this reference already.`);
    }
    await appendAudit(em, actor, {
      action: 'credits.granted',
      target: { type: 'workspace', id: workspaceId },
      after: { credits, referenceId },
    });
    return { balance: toCredits(balance) };
  }).catch(tellTooMany);
}

/** Gives back what a job was charged. @returns what is free then @throws AppError 409 `credits_not_moved`, `credits_too_many` */
export function refundByOperator(
  { orm }: Orm,
  actor: Actor,
  { workspaceId, jobId, credits }: z.output<typeof RefundBody>,
): Promise<{ balance: number }> {
  return inWorkspaceTx(orm, { workspaceId }, async (em) => {
    const microCredits = credits === undefined ? null : toMicroCredits(credits);
    const balance = await refundJob(em, { workspaceId, jobId, microCredits });
    if (balance === null)
      throw conflict(
        'credits_not_moved',
        'The job was charged nothing, or was refunded before, or is not of this workspace.',
      );
    await appendAudit(em, actor, {
      action: 'credits.refunded',
      target: { type: 'job', id: jobId },
      after: { credits },
    });
    return { balance: toCredits(balance) };
  }).catch(tellTooMany);
}
