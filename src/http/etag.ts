import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { AppError } from '#src/errors.ts';

/** A strong ETag (RFC 9110, section 8.8.3) of anything JSON can tell apart. */
export function etagOf(state: unknown): string {
  return `"${createHash('sha256').update(JSON.stringify(state)).digest('base64url').slice(0, 22)}"`;
}

/** The request's `If-Match`, if it has one. */
export const ifMatchOf = (request: FastifyRequest): string | undefined => request.headers['if-match'];

/**
 * Refuses a change that was made on the ground of an older state; `*` and no condition at all allow any.
 * @throws AppError 412 `version_mismatch`
 */
export function mustMatch(ifMatch: string | undefined, etag: string): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  if (ifMatch.split(',').some((one) => one.trim() === etag)) return;
  throw new AppError(412, 'version_mismatch', 'It was changed since you read it. Read it again, then change it.');
}
