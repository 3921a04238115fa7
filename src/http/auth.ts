import type { FastifyRequest } from 'fastify';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import type { Runtime } from '#src/runtime.ts';
import { unauthenticated } from '#src/errors.ts';
import { isPermission, mustHave, type Permission } from '#src/http/permissions.ts';
import { isRecord } from '#src/lib/record.ts';

/**
 * Who may call a route: `public` anybody; `person` whoever is signed in, but no API key; `member` any member of the workspace, and any
 * key of it; a permission of the table in `permissions.ts`; `ops` operators (checked by the route's own scope).
 */
export type RouteAccess = 'public' | 'person' | 'member' | 'ops' | Permission;

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; null on public routes. Read it through `authOf`. */
    auth: Auth | null;
  }
  interface FastifyContextConfig {
    /** Every route says who may call it; one that does not stops the server from starting. */
    access?: RouteAccess;
  }
}

/** Routes of plugins, which say nothing of themselves. */
const OF_PLUGINS: [RegExp, RouteAccess][] = [
  [/^\/docs(\/|$)/, 'public'],
  [/^\/ops\/queues(\/|$)/, 'ops'],
];

/**
 * Guards every route that is registered after it by what its `config.access` says. The caller is known before the body is read.
 * @throws when a route says nothing
 */
export function guardRoutes(app: App, rt: Pick<Runtime, 'access'>): void {
  app.decorateRequest('auth', null);
  app.addHook('onRoute', (route) => {
    if (route.method === 'OPTIONS') return;
    const access = route.config?.access ?? OF_PLUGINS.find(([paths]) => paths.test(route.url))?.[1];
    if (!access) throw new Error(`${String(route.method)} ${route.url}: config.access does not say who may call it`);
    route.config = { ...route.config, access };
    if (access === 'public' || access === 'ops') return;
    const before = route.onRequest === undefined ? [] : [route.onRequest].flat();
    route.onRequest = [admit(rt, access), ...before];
  });
}

function admit(rt: Pick<Runtime, 'access'>, access: RouteAccess) {
  return async (request: FastifyRequest): Promise<void> => {
    request.auth = await rt.access.identify(bearerOf(request), takeWorkspaceId(request));
    if (isPermission(access)) mustHave(request.auth, access);
    if (access === 'person') mustBePerson(request.auth);
  };
}

function mustBePerson(auth: Auth): void {
  if (auth.kind !== 'session') throw unauthenticated('An API key cannot do this; sign in.', 'session_required');
}

/** The caller of a route that is not public. */
export function authOf(request: FastifyRequest): Auth {
  if (!request.auth) throw unauthenticated('Sign in first.');
  return request.auth;
}

function bearerOf(request: FastifyRequest): string {
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
