import helmet from '@fastify/helmet';
import type { FastifyCorsOptions } from '@fastify/cors';
import type { FastifyInstance } from 'fastify';
import type { FastifyHelmetOptions } from '@fastify/helmet';

/** What every answer carries; a JSON answer that a browser is made to open may load and run nothing. */
export const SAFE_HEADERS = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'x-content-type-options': 'nosniff',
} as const;

/** Without the directive that makes a browser ask an installation on plain HTTP for HTTPS. */
const HELMET_OPTIONS: FastifyHelmetOptions = {
  contentSecurityPolicy: { directives: { upgradeInsecureRequests: null } },
};

/** Helmet for the scope of routes that answer with pages. Not for the API: it builds its headers anew for every answer. */
export async function protectPages(pages: FastifyInstance): Promise<void> {
  // Helmet writes to the bare response, whose headers lose to the reply's own: those would keep a page from loading its scripts.
  pages.addHook('onRequest', async (_request, reply) => {
    for (const name of Object.keys(SAFE_HEADERS)) reply.removeHeader(name);
  });
  await pages.register(helmet, HELMET_OPTIONS);
}

/**
 * Which web pages may call: the listed origins, spelled exactly so (`src/config.ts` takes no patterns), and never with cookies: a
 * caller is known by its bearer token alone.
 */
export function corsOptions(allowedOrigins: readonly string[]): FastifyCorsOptions {
  return {
    origin: [...allowedOrigins],
    credentials: false,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: [
      'Authorization',
      'Content-Type',
      'X-Workspace-Id',
      'X-Request-Id',
      'Idempotency-Key',
      'If-Match',
      'If-None-Match',
      'Prefer',
      'Last-Event-ID',
    ],
    exposedHeaders: [
      'X-Request-Id',
      'Location',
      'ETag',
      'Retry-After',
      'RateLimit',
      'RateLimit-Policy',
      'Idempotent-Replayed',
      'Preference-Applied',
    ],
    maxAge: 600,
    // The strict mode answers a malformed preflight in plain text.
    strictPreflight: false,
  };
}
