import type { EntityManager } from '@mikro-orm/postgresql';
import type { Claim } from '#src/db/claim.ts';
import { AppError } from '#src/errors.ts';

const BUSY_RETRY_MS = 1000;

/** An earlier request with the key was answered: `claim.earlier` says what. */
export class AnsweredError extends Error {
  override name = 'AnsweredError';
}

export const mismatch = () =>
  new AppError(422, 'idempotency_mismatch', 'This Idempotency-Key was used before with another body.');

export const resultUnknown = () =>
  new AppError(
    409,
    'idempotency_result_unknown',
    'What this Idempotency-Key came with has changed something, but its answer is not kept: look at what is there before you ask under another key.',
  );

const inProgress = () =>
  new AppError(409, 'idempotency_in_progress', 'The first request with this Idempotency-Key is still at work.', {
    retryAfterMs: BUSY_RETRY_MS,
  });

interface Entered {
  outcome: 'entered' | 'mismatch' | 'answered' | 'unknown' | 'in_progress';
  id: string | null;
  answer: string | null;
}

const valuesOf = (claim: Claim) => [
  claim.workspaceId,
  claim.userId,
  claim.route,
  claim.key,
  claim.requestHash().toString('hex'),
  claim.id,
];

/**
 * Begins a transaction of a request with a key, and sets its scope.
 * @throws AnsweredError where an earlier one was answered; AppError 422 `idempotency_mismatch`, 409 `idempotency_in_progress`,
 * 409 `idempotency_result_unknown`
 */
export async function enterClaimed(
  em: EntityManager,
  { workspaceId = '', userId = '' }: { workspaceId?: string | undefined; userId?: string | undefined },
  claim: Claim,
): Promise<void> {
  const [entered] = await em.execute<Entered[]>(
    `select outcome, id, answer from idempotency_enter(?::uuid, ?::uuid, ?, ?, decode(?, 'hex'), ?::uuid, ?, ?)`,
    [...valuesOf(claim), workspaceId, userId],
  );
  if (!entered) throw new Error('The statement that begins a transaction returned nothing');
  const { outcome, id, answer } = entered;
  if (outcome === 'entered') return;
  if (outcome === 'mismatch') throw mismatch();
  if (outcome === 'in_progress') throw inProgress();
  if (outcome === 'unknown' || id === null || answer === null) throw resultUnknown();
  claim.earlier = { id, answer: Buffer.from(answer, 'hex') };
  throw new AnsweredError('An earlier request with the key was answered');
}

/**
 * Notes the key in the transaction that changes something; where it changes nothing, it notes nothing.
 * @throws AppError 409 `idempotency_in_progress` where another request has noted it since this one looked
 */
export async function noteClaim(em: EntityManager, claim: Claim): Promise<void> {
  const [noted] = await em.execute<{ outcome: 'unchanged' | 'noted' | 'taken' }[]>(
    `select idempotency_note(?::uuid, ?::uuid, ?, ?, decode(?, 'hex'), ?::uuid) as outcome`,
    valuesOf(claim),
  );
  if (noted?.outcome === 'taken') throw inProgress();
  claim.isNoted ||= noted?.outcome === 'noted';
}
