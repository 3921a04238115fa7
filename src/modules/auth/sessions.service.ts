import type { EntityManager } from '@mikro-orm/postgresql';
import type { Orm } from '#src/db/orm.ts';
import type { Auth } from '#src/http/access-token.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { Session } from '#src/modules/auth/session.entity.ts';

/** The open sessions of a user, the last used first. */
export function listSessions(orm: Orm, userId: string): Promise<Session[]> {
  const open = { user: userId, revokedAt: null, expiresAt: { $gt: new Date() } };
  return orm.em.fork().find(Session, open, { orderBy: { lastUsedAt: 'desc', id: 'desc' } });
}

/** Ends one session of the caller: its refresh token stops working at once, its access tokens within two seconds. @returns whether there was one */
export function endSession(orm: Orm, auth: Auth, actor: Actor, id: string): Promise<boolean> {
  return inWorkspaceTx(orm, auth, async (em) => {
    const own = { id, user: auth.userId, revokedAt: null };
    if ((await em.nativeUpdate(Session, own, { revokedAt: new Date() })) === 0) return false;
    await appendAudit(em, actor, { action: 'auth.logout', target: { type: 'session', id } });
    return true;
  });
}

/** Ends all sessions of the caller, this one too. */
export function signOutEverywhere(orm: Orm, auth: Auth, actor: Actor): Promise<void> {
  return inWorkspaceTx(orm, auth, async (em) => {
    await endSessions(em, auth.userId);
    await appendAudit(em, actor, { action: 'auth.logout_all', target: { type: 'user', id: auth.userId } });
  });
}

/** Ends all sessions of a user, or all but one, in the transaction that `em` is in, if it is in one. */
export async function endSessions(em: EntityManager, userId: string, exceptId?: string): Promise<void> {
  const others = exceptId === undefined ? {} : { id: { $ne: exceptId } };
  await em.nativeUpdate(Session, { user: userId, revokedAt: null, ...others }, { revokedAt: new Date() });
}
