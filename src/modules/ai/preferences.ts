import type { FastifyRequest } from 'fastify';
import { badRequest } from '#src/errors.ts';

const MAX_WAIT_SECONDS = 25;
const KEY_RULE = 'must be 1 to 255 visible ASCII characters';

/** Seconds a client waits for the end of its job: `Prefer: wait=N` (RFC 7240), at most 25; `byDefault` when it says nothing. */
export function waitSecondsOf(request: FastifyRequest, byDefault: number): number {
  const { prefer } = request.headers;
  if (prefer === undefined) return byDefault;
  const match = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})"?\s*(?:[,;]|$)/i.exec(String(prefer));
  return match ? Math.min(MAX_WAIT_SECONDS, Number(match[1])) : byDefault;
}

/** @throws AppError 400 naming the header. */
export function idempotencyKeyOf(request: FastifyRequest): string | null {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw badRequest('validation_failed', `headers.idempotency-key: ${KEY_RULE}`, [
    { path: 'headers.idempotency-key', code: 'invalid_format', message: KEY_RULE },
  ]);
}

/** Whether the client wants the job's events as the answer to its POST. */
export const wantsEvents = (request: FastifyRequest): boolean =>
  (request.headers.accept ?? '').includes('text/event-stream');
