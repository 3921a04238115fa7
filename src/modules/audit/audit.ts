import type { EntityManager } from '@mikro-orm/postgresql';
import type { FastifyRequest } from 'fastify';
import type { Auth } from '#src/http/access-token.ts';
import { newId } from '#src/lib/ids.ts';
import { maskText, redact } from '#src/lib/redact.ts';
import { anchorOf } from '#src/modules/audit/anchor.ts';
import { insertEntry, type ActorKind } from '#src/modules/audit/audit.query.ts';

/** Who does something, and from where. */
export interface Actor {
  kind: ActorKind;
  /** The user's id, or the API key's; null for the platform itself. */
  id: string | null;
  ip: string | null;
  userAgent: string | null;
  requestId: string | null;
}

/** What was done, as `resource.verb` (`member.removed`), to what, and how that was before and after. */
export interface Change {
  action: string;
  target?: { type: string; id: string } | undefined;
  before?: unknown;
  after?: unknown;
}

/** The platform itself: sweepers, schedules. */
export const SYSTEM: Actor = { kind: 'system', id: null, ip: null, userAgent: null, requestId: null };

type Caller = Pick<Auth, 'kind' | 'userId' | 'sessionId'>;

/**
 * Who sends a request.
 * @param auth the caller, where the request itself does not say it: at signing in. Without one, the platform (operators).
 */
export function actorOf(
  request: Pick<FastifyRequest, 'ip' | 'id' | 'headers' | 'auth'>,
  auth: Caller | null = request.auth,
): Actor {
  return {
    kind: auth?.kind ?? 'system',
    id: auth ? (auth.kind === 'api_key' ? auth.sessionId : auth.userId) : null,
    ip: request.ip.slice(0, 45),
    userAgent: request.headers['user-agent']?.slice(0, 300) ?? null,
    requestId: request.id,
  };
}

/**
 * What of a resource was given, by the names of its fields: where people write freely, a person may be named, and what is in the log stays.
 */
export const fieldsOf = (body: unknown): { fields: string[] } => ({
  fields: typeof body === 'object' && body !== null ? Object.keys(body) : [],
});

const documentOf = (value: unknown) => (value === undefined || value === null ? null : JSON.stringify(redact(value)));

/**
 * Writes down a change, in the transaction that makes it (`inWorkspaceTx`): both last, or neither does. Secrets and contact data in
 * `before` and `after` are redacted here. Call it last: it makes the workspace's other audited changes wait until the transaction ends.
 */
export async function appendAudit(em: EntityManager, actor: Actor, change: Change): Promise<void> {
  await insertEntry(em, anchorOf(em), {
    id: newId(),
    actor_kind: actor.kind,
    actor_id: actor.id,
    action: change.action,
    target_type: change.target?.type ?? null,
    target_id: change.target === undefined ? null : maskText(change.target.id),
    before: documentOf(change.before),
    after: documentOf(change.after),
    ip: actor.ip,
    user_agent: actor.userAgent?.toWellFormed().replaceAll('\0', '') ?? null,
    request_id: actor.requestId,
  });
}
