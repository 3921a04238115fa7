import type { FastifyRequest } from 'fastify';

const MAX_WAIT_SECONDS = 25;

/** Seconds a client waits for the end of its job: `Prefer: wait=N` (RFC 7240), at most 25; `byDefault` when it says nothing. */
export function waitSecondsOf(request: FastifyRequest, byDefault: number): number {
  const { prefer } = request.headers;
  if (prefer === undefined) return byDefault;
  const match = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})"?\s*(?:[,;]|$)/i.exec(String(prefer));
  return match ? Math.min(MAX_WAIT_SECONDS, Number(match[1])) : byDefault;
}

/** Whether the client wants the job's events as the answer to its POST. */
export const wantsEvents = (request: FastifyRequest): boolean =>
  (request.headers.accept ?? '').includes('text/event-stream');
