import { z } from 'zod';
import { IdText } from '#src/http/fields.ts';
import { PageQuery, pageOf } from '#src/http/page.ts';

export const NotificationView = z
  .object({
    id: z.uuid(),
    /** What it is about; new kinds are added as there are more. */
    kind: z.string(),
    /** In the language of its reader; show them as text. */
    title: z.string(),
    body: z.string(),
    /** The ids it speaks of, by kind. */
    data: z.record(z.string(), z.unknown()),
    createdAt: z.iso.datetime(),
    readAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Notification' });
export type NotificationView = z.infer<typeof NotificationView>;

export const NotificationQuery = PageQuery.extend({ unread: z.stringbool().optional() });
export type NotificationQuery = z.infer<typeof NotificationQuery>;

export const NotificationList = pageOf(NotificationView).extend({ unreadCount: z.int() });

export const ReadAllBody = z.strictObject({
  /** The last one that was shown; what came later stays unread. Left out: all. */
  upTo: IdText.optional(),
});
export const ReadAllView = z.object({ read: z.int(), unreadCount: z.int() });
