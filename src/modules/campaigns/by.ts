import type { FastifyRequest } from 'fastify';
import type { Auth } from '#src/http/access-token.ts';
import { authOf } from '#src/http/auth.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { actorOf, type Actor } from '#src/modules/audit/audit.ts';
import type { OnlyOf } from '#src/modules/campaigns/audience.query.ts';

/** A request's caller, and how the log names them. */
export interface By {
  auth: Auth;
  actor: Actor;
}

export const byOf = (request: FastifyRequest): By => ({ auth: authOf(request), actor: actorOf(request) });

/** Whose contacts and deals alone a caller's campaigns go by. A key for campaigns goes by all that its maker may see, whatever else it may. */
export function onlyOf(auth: Auth): OnlyOf {
  const maker = { ...auth, scopes: null };
  return { ownerId: onlyOwner(maker, 'contacts') ?? null, dealOwnerId: onlyOwner(maker, 'deals') ?? null };
}
