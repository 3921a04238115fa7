import type { EntityManager } from '@mikro-orm/postgresql';
import type { Orm } from '#src/db/orm.ts';
import { Session } from '#src/modules/auth/session.entity.ts';

/** The open sessions of a user, the last used first. */
export function listSessions(orm: Orm, userId: string): Promise<Session[]> {
  const open = { user: userId, revokedAt: null, expiresAt: { $gt: new Date() } };
  return orm.em.fork().find(Session, open, { orderBy: { lastUsedAt: 'desc', id: 'desc' } });
}

/** Ends one session of a user: its refresh token stops working at once, its access tokens within two seconds. @returns whether there was one */
export async function endSession(orm: Orm, userId: string, id: string): Promise<boolean> {
  const ended = await orm.em
    .fork()
    .nativeUpdate(Session, { id, user: userId, revokedAt: null }, { revokedAt: new Date() });
  return ended > 0;
}

/** Ends all sessions of a user, or all but one, in the transaction that `em` is in, if it is in one. */
export async function endSessions(em: EntityManager, userId: string, exceptId?: string): Promise<void> {
  const others = exceptId === undefined ? {} : { id: { $ne: exceptId } };
  await em.nativeUpdate(Session, { user: userId, revokedAt: null, ...others }, { revokedAt: new Date() });
}
