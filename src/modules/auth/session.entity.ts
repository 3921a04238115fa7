import { defineEntity, p } from '@mikro-orm/postgresql';
import { newId } from '#src/lib/ids.ts';
import { User } from '#src/modules/auth/user.entity.ts';

/** One signed-in device. Its refresh token is not stored: `counter` and `refreshKey` are what a presented one is checked against. */
export const SessionSchema = defineEntity({
  name: 'Session',
  properties: {
    id: p
      .uuid()
      .primary()
      .defaultRaw('uuidv7()')
      .onCreate(() => newId()),
    user: () => p.manyToOne(User).ref().deleteRule('cascade').index(),
    /** Where it works, when that was chosen; a wish, which counts only while its user is a member there. */
    workspaceId: p.uuid().nullable(),
    refreshKey: p.blob(),
    counter: p.bigint('number').defaultRaw('0'),
    createdAt: p.datetime().defaultRaw('now()'),
    /** When the refresh token was last exchanged for a new one. */
    lastUsedAt: p.datetime().defaultRaw('now()'),
    expiresAt: p.datetime().index(),
    revokedAt: p.datetime().nullable(),
    userAgent: p.string().length(300).nullable(),
    ip: p.string().length(45).nullable(),
  },
});

export class Session extends SessionSchema.class {}
SessionSchema.setClass(Session);
