import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import { z } from 'zod';
import { AnsweredError, resultUnknown } from '#src/db/claim.query.ts';
import { claiming, type Claim } from '#src/db/claim.ts';
import { badRequest } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { endClaim } from '#src/http/idempotency.query.ts';
import { canonicalJson } from '#src/lib/canonical-json.ts';
import type { Place } from '#src/lib/envelope.ts';
import { newId } from '#src/lib/ids.ts';
import type { Runtime } from '#src/runtime.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** What the request's Idempotency-Key stands for; null without one, and where none is heeded. */
    claim: Claim | null;
  }
  interface FastifyContextConfig {
    /** Of a POST: `own` where the route itself knows what was asked before; `none` where a key says nothing. */
    idempotency?: 'own' | 'none';
  }
}

type Needs = Pick<Runtime, 'pool' | 'vault' | 'log'>;

const KEY_RULE = 'must be 1 to 255 visible ASCII characters';
/** These give out tokens, or take passwords. */
const OF_ACCOUNTS = '/api/auth/';
/** What of an answer's head belongs to what was done, and not to the one exchange. */
const KEPT_HEADERS = ['content-type', 'location', 'etag'] as const;

const KeptAnswer = z.tuple([z.int(), z.record(z.string(), z.string()), z.string()]);

/** @throws AppError 400 naming the header. */
export function idempotencyKeyOf(request: FastifyRequest): string | null {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw badRequest('validation_failed', `headers.idempotency-key: ${KEY_RULE}`, [
    { path: 'headers.idempotency-key', code: 'invalid_format', message: KEY_RULE },
  ]);
}

/**
 * Makes every POST that is registered after it heed `Idempotency-Key` (the IETF's draft of that name): the same request of the same person is
 * done once and answered twice. The key is written in the transaction of the change (`src/db/claim.ts`), the answer, sealed, before it is
 * sent; so what changed nothing may be done again, and what did and lost its answer with its process says so. After `guardRoutes`.
 */
export function heedIdempotencyKeys(app: App, rt: Needs): void {
  app.decorateRequest('claim', null);
  app.addHook('onRoute', (route) => {
    if (!isHeeded(route)) return;
    const { handler } = route;
    route.preValidation = [claimKey(route.url), ...[route.preValidation ?? []].flat()];
    route.handler = function doOnce(request, reply) {
      const { claim } = request;
      return claim
        ? answerOnce(rt, claim, handler.bind(this, request, reply), reply)
        : handler.call(this, request, reply);
    };
    route.onSend = [...[route.onSend ?? []].flat(), keepAnswer(rt)];
  });
}

function isHeeded({ method, url, config }: RouteOptions): boolean {
  const { access, idempotency } = config ?? {};
  if (method !== 'POST' || idempotency !== undefined || url.startsWith(OF_ACCOUNTS)) return false;
  // What takes the right to read alone changes nothing: searches, previews.
  return access !== undefined && access !== 'public' && access !== 'ops' && !access.endsWith(':read');
}

const claimKey =
  (url: string) =>
  async (request: FastifyRequest): Promise<void> => {
    const key = idempotencyKeyOf(request);
    if (key === null) return;
    const { workspaceId, userId } = authOf(request);
    const { body, query } = request;
    const [path] = request.url.split('?', 1);
    let hash: Buffer | undefined;
    request.claim = {
      id: newId(),
      workspaceId,
      userId,
      route: `POST ${url}`,
      key,
      // As it was sent: what a schema makes of it may change with the version.
      requestHash: () =>
        (hash ??= createHash('sha256')
          .update(canonicalJson([path, query, body]))
          .digest()),
      inside: 0,
      entry: Promise.resolve(),
      isNoted: false,
      isOver: false,
      earlier: undefined,
    };
  };

const placeOf = ({ workspaceId }: Claim, rowId: string): Place => ({
  table: 'idempotent_request',
  column: 'answer',
  workspaceId,
  rowId,
});

async function answerOnce(rt: Needs, claim: Claim, handle: () => unknown, reply: FastifyReply): Promise<unknown> {
  try {
    return await claiming(claim, handle);
  } catch (error) {
    if (!(error instanceof AnsweredError) || !claim.earlier) throw error;
    const { id, answer } = claim.earlier;
    const text = await rt.vault.open(placeOf(claim, id), answer).catch((cause: unknown) => {
      rt.log.warn({ err: cause, workspaceId: claim.workspaceId }, 'A kept answer could not be opened');
      throw resultUnknown();
    });
    const [status, headers, body] = KeptAnswer.parse(JSON.parse(text));
    return reply.code(status).headers(headers).header('idempotent-replayed', 'true').serializer(String).send(body);
  } finally {
    claim.isOver = true;
  }
}

/** Keeps what a request that changed something is answered, so that it can be told again. A failure of ours is no answer. */
const keepAnswer =
  ({ pool, vault, log }: Needs) =>
  async (request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> => {
    const { claim } = request;
    if (!claim?.isNoted) return payload;
    claim.isOver = true;
    try {
      const isAnswer = reply.statusCode < 500 && typeof payload === 'string';
      const headers = KEPT_HEADERS.flatMap((name) => {
        const value = reply.getHeader(name);
        return value === undefined ? [] : [[name, String(value)]];
      });
      const text = JSON.stringify([reply.statusCode, Object.fromEntries(headers), payload]);
      await endClaim(pool, claim, isAnswer ? await vault.seal(placeOf(claim, claim.id), text) : null);
    } catch (error) {
      // It was done, and is answered all the same; asked again, the route says that the answer was not kept.
      log.warn({ err: error, workspaceId: claim.workspaceId }, 'An answer could not be kept');
    }
    return payload;
  };
