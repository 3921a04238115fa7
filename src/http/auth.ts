import type { FastifyRequest } from 'fastify';
import type { Auth, Role } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import type { Runtime } from '#src/runtime.ts';
import { forbidden, notFound, unauthenticated } from '#src/errors.ts';
import { ROLES } from '#src/http/access-token.ts';
import { findRole } from '#src/http/auth.query.ts';
import { isUuid } from '#src/lib/ids.ts';
import { isRecord } from '#src/lib/record.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; set by `authenticate`, null on routes without it. Read it through `authOf`. */
    auth: Auth | null;
  }
}

type Hook = (request: FastifyRequest) => Promise<void>;

/** Gives every request its `auth` property; before any route is registered. */
export function decorateAuth(app: App): void {
  app.decorateRequest('auth', null);
}

/**
 * The onRequest hook of a route that needs a signed-in caller. Runs before the body is read.
 * The workspace is the token's, or the one `X-Workspace-Id` (or `?workspaceId=`) names.
 * Throws 401 without a good token, 404 for a workspace that is not the caller's.
 */
export function authenticate(rt: Pick<Runtime, 'accessTokens' | 'pool'>): Hook {
  return async (request) => {
    const auth = await rt.accessTokens.verify(bearerToken(request));
    const wanted = takeWorkspaceId(request) ?? auth.workspaceId;
    request.auth = wanted === auth.workspaceId ? auth : await inWorkspace(rt.pool, auth, wanted);
  };
}

/**
 * The same caller in another workspace, with the role they have there.
 * @throws AppError 404 when it is not one of theirs, so that nobody learns which workspaces exist
 */
export async function inWorkspace(pool: Runtime['pool'], auth: Auth, workspaceId: string): Promise<Auth> {
  const role = isUuid(workspaceId) ? await findRole(pool, auth.userId, workspaceId) : undefined;
  if (!role) throw notFound('The workspace');
  return { ...auth, workspaceId: workspaceId.toLowerCase(), role };
}

/** The caller of a route behind `authenticate`. */
export function authOf(request: FastifyRequest): Auth {
  if (!request.auth) throw unauthenticated('Sign in first.');
  return request.auth;
}

/** Whether a role may do what `needed` may: owner > admin > member > viewer. */
export function isAtLeast(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** The preHandler hook of a route, behind `authenticate`, that takes a certain role. Throws 403. */
export function atLeast(needed: Role): Hook {
  return async (request) => {
    if (!isAtLeast(authOf(request).role, needed)) throw forbidden(`This takes the role ${needed} in the workspace.`);
  };
}

function bearerToken(request: FastifyRequest): string {
  const header = request.headers.authorization;
  if (!header) throw unauthenticated('Send an access token: Authorization: Bearer <token>.');
  const [, token] = /^Bearer +(\S+)$/i.exec(header) ?? [];
  if (!token) throw unauthenticated('The Authorization header must be: Bearer <token>.', 'invalid_token');
  return token;
}

/** The workspace the caller names. Its alias in the query is taken out, because routes refuse query fields they do not know. */
function takeWorkspaceId(request: FastifyRequest): string | undefined {
  let named: unknown = request.headers['x-workspace-id'];
  if (isRecord(request.query)) {
    named ??= request.query['workspaceId'];
    delete request.query['workspaceId'];
  }
  if (named === undefined) return undefined;
  // Named twice is no workspace.
  return typeof named === 'string' ? named : '';
}
