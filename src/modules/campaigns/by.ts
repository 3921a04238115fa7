import type { EntityManager } from '@mikro-orm/postgresql';
import type { FastifyRequest } from 'fastify';
import type { Auth } from '#src/http/access-token.ts';
import { authOf } from '#src/http/auth.ts';
import { may, mustHave, onlyOwner } from '#src/http/permissions.ts';
import { actorOf, type Actor } from '#src/modules/audit/audit.ts';
import { segmentsOf, type OnlyOf } from '#src/modules/campaigns/audience.query.ts';
import type { People } from '#src/modules/campaigns/campaigns.schemas.ts';
import { asksForDeals } from '#src/modules/segments/segment-filter.ts';

/** A request's caller, and how the log names them. */
export interface By {
  auth: Auth;
  actor: Actor;
}

export const byOf = (request: FastifyRequest): By => ({ auth: authOf(request), actor: actorOf(request) });

/** A key for campaigns goes by all that its maker may see, whatever else it may. */
const makerOf = (auth: Auth): Auth => ({ ...auth, scopes: null });

/** Whose contacts and deals alone a caller's campaigns go by; who may see none has only what is their own. */
export function onlyOf(auth: Auth): OnlyOf {
  const maker = makerOf(auth);
  const of = (kind: 'contacts' | 'deals') =>
    may(maker, `${kind}:read`) ? (onlyOwner(maker, kind) ?? null) : maker.userId;
  return { ownerId: of('contacts'), dealOwnerId: of('deals') };
}

/** Whom a campaign is for is told, by numbers and by names: nobody chooses by what they may not see. @throws AppError 403 */
export async function mustChoose(em: EntityManager, auth: Auth, people: People): Promise<void> {
  const maker = makerOf(auth);
  mustHave(maker, 'contacts:read');
  const segments = await segmentsOf(em, people);
  if (segments.some(({ filter }) => asksForDeals(filter))) mustHave(maker, 'deals:read');
}
