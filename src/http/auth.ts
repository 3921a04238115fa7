import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import type { Runtime } from '#src/runtime.ts';
import { ConfigError } from '#src/config.ts';
import { forbidden, unauthenticated } from '#src/errors.ts';
import { isPermission, mustHave, type Permission } from '#src/http/permissions.ts';
import { LimitedError } from '#src/http/rate-limit/limiter.ts';
import { isRouteName, OF_KNOWN, OF_PUBLIC, OF_REFUSED, type PolicyName } from '#src/http/rate-limit/policies.ts';
import { isUuid } from '#src/lib/ids.ts';
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
    /** The limits it counts against beside the general ones; `none` for what must always answer. */
    limits?: readonly PolicyName[] | 'none';
    /** The parameter of its path that names the workspace it works in, whatever the token or a header says. */
    workspaceParam?: string;
  }
}

type Needs = Pick<Runtime, 'access' | 'limiter' | 'config'>;

/** Routes of plugins, which say nothing of themselves. */
const OF_PLUGINS: [RegExp, RouteAccess][] = [
  [/^\/docs(\/|$)/, 'public'],
  [/^\/ops\/queues(\/|$)/, 'ops'],
];

/**
 * Guards every route that is registered after it by what its `config.access` says, and counts its requests against the limits. Both are
 * done before the body is read.
 * @throws when a route says nothing; before the server is ready, ConfigError when `RATE_LIMITS` names a route that there is not
 */
export function guardRoutes(app: App, rt: Needs): void {
  app.decorateRequest('auth', null);
  const limited = new Set(Object.keys(rt.config.RATE_LIMITS).filter(isRouteName));
  const unknown = new Set(limited);
  app.addHook('onReady', async () => {
    const [name] = unknown;
    if (name !== undefined) throw new ConfigError(`RATE_LIMITS: there is no route "${name}"`);
  });
  app.addHook('onRoute', (route) => {
    if (route.method === 'OPTIONS') return;
    const access = route.config?.access ?? OF_PLUGINS.find(([paths]) => paths.test(route.url))?.[1];
    if (!access) throw new Error(`${String(route.method)} ${route.url}: config.access does not say who may call it`);
    route.config = { ...route.config, access };
    const names = [route.method].flat().map((method) => `${method === 'HEAD' ? 'GET' : method} ${route.url}`);
    const own = names.filter(isRouteName).filter((name) => limited.has(name));
    for (const name of own) unknown.delete(name);
    const { limits: said = [] } = route.config;
    const limits = said === 'none' ? said : [...said, ...own];
    const before = route.onRequest === undefined ? [] : [route.onRequest].flat();
    if (access === 'public' || access === 'ops') {
      if (limits !== 'none') route.onRequest = [count(rt, [...OF_PUBLIC, ...limits]), ...before];
      return;
    }
    if (limits === 'none') throw new Error(`${route.url}: only public routes can be without limits`);
    route.onRequest = [admit(rt), count(rt, [...OF_KNOWN, ...limits]), ...before];
    route.preParsing = [permit(access), ...(route.preParsing === undefined ? [] : [route.preParsing].flat())];
  });
}

/** Finds out who calls. Tokens that are not good are counted against the network they come from. */
function admit(rt: Needs) {
  const guessing = count(rt, OF_REFUSED);
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    try {
      request.auth = await rt.access.identify(bearerOf(request), workspaceOf(request));
    } catch (error) {
      await guessing(request, reply);
      throw error;
    }
  };
}

/** Counts a request against its limits, and says in the answer what is left of them. */
function count(rt: Needs, policies: readonly PolicyName[]) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    try {
      reply.headers(await rt.limiter.take(policies, request));
    } catch (error) {
      if (error instanceof LimitedError) reply.headers(error.headers);
      throw error;
    }
  };
}

/** Checks what the caller may. After the count, so that being refused is not free. */
function permit(access: RouteAccess) {
  return async (request: FastifyRequest): Promise<void> => {
    if (isPermission(access)) mustHave(authOf(request), access);
    if (access === 'person') mustBePerson(authOf(request));
  };
}

function mustBePerson(auth: Auth): void {
  if (auth.kind !== 'session') throw forbidden('An API key cannot do this; sign in.');
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

function workspaceOf(request: FastifyRequest): string | undefined {
  const named = takeWorkspaceId(request);
  const { workspaceParam } = request.routeOptions.config;
  if (workspaceParam === undefined) return named;
  const id = isRecord(request.params) ? request.params[workspaceParam] : undefined;
  // What is no id is refused with its name when the parameters are checked, before anything is done.
  return typeof id === 'string' && isUuid(id) ? id : named;
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
