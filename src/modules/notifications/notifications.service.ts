import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { notFound } from '#src/errors.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { isRecord } from '#src/lib/record.ts';
import { isKindName, KINDS } from '#src/modules/notifications/kinds.ts';
import {
  countUnread,
  findNotification,
  findNotifications,
  markRead,
  removeNotification,
  type Mine,
  type NotificationRow,
} from '#src/modules/notifications/notifications.query.ts';
import type { NotificationQuery, NotificationView } from '#src/modules/notifications/notifications.schemas.ts';
import type { Runtime } from '#src/runtime.ts';

type Needs = Pick<Runtime, 'orm' | 'settings'>;

/** One's own notifications, the newest first, and how many are unread. */
export async function listNotifications(rt: Needs, mine: Mine, { limit, cursor, unread }: NotificationQuery) {
  const before = cursor === undefined ? null : decodeCursor(cursor, z.tuple([z.uuid()]))[0];
  const timeZone = await timeZoneOf(rt, mine);
  const { rows, unreadCount } = await inWorkspaceTx(rt.orm, mine, async (em) => ({
    rows: await findNotifications(em, mine, { unread, before, limit: limit + 1 }),
    unreadCount: await countUnread(em, mine),
  }));
  const shown = toPage(
    rows,
    limit,
    ({ id }) => [id],
    (row) => present(row, timeZone),
  );
  return { ...shown, unreadCount };
}

/** Notes that one was read; again changes nothing. @throws AppError 404 */
export async function readNotification(rt: Needs, mine: Mine, id: string): Promise<NotificationView> {
  const timeZone = await timeZoneOf(rt, mine);
  return inWorkspaceTx(rt.orm, mine, async (em) => {
    await markRead(em, mine, { id });
    const row = await findNotification(em, mine, id);
    if (!row) throw notFound('The notification');
    return present(row, timeZone);
  });
}

/** Notes that all up to one were read, or all. */
export function readAllNotifications({ orm }: Needs, mine: Mine, upTo: string | null) {
  return inWorkspaceTx(orm, mine, async (em) => ({
    read: await markRead(em, mine, { upTo }),
    unreadCount: await countUnread(em, mine),
  }));
}

/** @throws AppError 404 */
export function deleteNotification({ orm }: Needs, mine: Mine, id: string): Promise<void> {
  return inWorkspaceTx(orm, mine, async (em) => {
    if (!(await removeNotification(em, mine, id))) throw notFound('The notification');
  });
}

const timeZoneOf = async ({ settings }: Needs, { userId }: Mine) => (await settings.readUser(userId))['ui.timeZone'];

/** A kind that is no more is shown by its name alone. */
function present(row: NotificationRow, timeZone: string): NotificationView {
  const { id, kind, name, locale } = row;
  const data = isRecord(row.data) ? row.data : {};
  const { title, body } = isKindName(kind)
    ? KINDS[kind].say(data, { name, locale, timeZone })
    : { title: kind, body: '' };
  return { id, kind, title, body, data, createdAt: row.created_at, readAt: row.read_at };
}
