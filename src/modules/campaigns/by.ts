import type { FastifyRequest } from 'fastify';
import type { Auth } from '#src/http/access-token.ts';
import { authOf } from '#src/http/auth.ts';
import { actorOf, type Actor } from '#src/modules/audit/audit.ts';

/** A request's caller, and how the log names them. */
export interface By {
  auth: Auth;
  actor: Actor;
}

export const byOf = (request: FastifyRequest): By => ({ auth: authOf(request), actor: actorOf(request) });
