import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { SAFE_HEADERS } from '#src/http/browsers.ts';
import type { Metrics } from '#src/lib/metrics.ts';
import { newId } from '#src/lib/ids.ts';

const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** The caller's `X-Request-Id` when it is harmless in a log line and a header, else a new one. */
export function requestId(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : newId();
}

/** Names every answer, keeps it out of caches, and logs and measures: never a body, and never the URL, whose query can hold secrets. */
export function nameAndLogRequests(app: FastifyInstance, metrics: Metrics): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(SAFE_HEADERS).header('x-request-id', request.id).header('cache-control', 'no-store');
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    const labels = { method: request.method, route, status: String(reply.statusCode) };
    metrics.httpSeconds.observe(labels, reply.elapsedTime / 1000);
    request.log.info(
      {
        method: request.method,
        route,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime * 10) / 10,
      },
      'answered',
    );
  });
}
