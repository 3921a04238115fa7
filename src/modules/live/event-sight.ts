import { EVENTS, isEventType, isPersonal } from '#src/events/catalog.ts';
import type { FeedEvent } from '#src/events/feed-topic.ts';
import { z } from 'zod';
import type { Auth } from '#src/http/access-token.ts';
import { isPermission, may, type Permission } from '#src/http/permissions.ts';

const Owned = z.object({ ownerId: z.uuid() });
const Personal = z.object({ recipientId: z.uuid() });

/** What it takes to see all of a kind, where some see their own alone. Messages are their contact's. */
const allOf = (permission: Permission): string =>
  permission === 'messages:read' ? 'contacts:all' : `${permission.split(':', 1)[0]}:all`;

/**
 * Whether a caller may see an event: they have its permission, and, where they are limited to their own of what it is about (they lack
 * `jobs:all` or its like), it was they who did it or they look after it; a personal one only its recipient, signed in. What the catalogue does not know, a newer version's, nobody sees.
 */
export function maySeeEvent(auth: Auth, { about, data }: Pick<FeedEvent, 'about' | 'data'>): boolean {
  if (about === null) return true;
  if (!isEventType(about.type)) return false;
  const { permission } = EVENTS[about.type];
  if (!may(auth, permission)) return false;
  if (isPersonal(about.type)) {
    const { success, data: personal } = Personal.safeParse(JSON.parse(data));
    return success && auth.scopes === null && personal.recipientId === auth.userId;
  }
  const all = allOf(permission);
  if (!isPermission(all) || may(auth, all) || about.actorId === auth.userId) return true;
  return Owned.safeParse(JSON.parse(data)).data?.ownerId === auth.userId;
}
