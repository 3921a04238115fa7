import type { EntityManager } from '@mikro-orm/postgresql';
import type { PoolClient } from 'pg';
import type { KindName } from '#src/modules/notifications/kinds.ts';

/** Who hears of something: one person, or all who run the workspace but one. */
export type Audience = { userId: string } | { adminsBut: string | null };

/** Somebody who hears of the notice with the index `at`. */
export interface Reader {
  at: number;
  userId: string;
  locale: string;
  /** Null until they have proven that it is theirs. */
  email: string | null;
  isMember: boolean;
  /** JSON by key, of what they have set. */
  settings: Record<string, string> | null;
}

/** Who hears of what: active people, of workspaces that are there. @param tx as the system: it asks about several workspaces */
export async function findReaders(
  tx: PoolClient,
  notices: readonly { workspaceId: string; to: Audience }[],
): Promise<Reader[]> {
  const { rows } = await tx.query<Reader>({
    name: 'notification-readers',
    text: `select n.at, u.id as "userId", u.locale, case when u.email_verified_at is not null then u.email end as email,
        r.is_member as "isMember", (select json_object_agg(s.key, s.value::text) from user_setting s
          where s.user_id = u.id and (s.key like 'notifications.%' or s.key = 'ui.timeZone')) as settings
      from unnest($1::int[], $2::uuid[], $3::uuid[], $4::uuid[]) as n (at, workspace_id, user_id, but_id)
      join workspace w on w.id = n.workspace_id and w.deleted_at is null
      cross join lateral (
        select m.user_id, true as is_member from member m where n.user_id is null and m.workspace_id = n.workspace_id
          and m.role in ('owner', 'admin') and m.user_id is distinct from n.but_id
        union all
        select n.user_id, exists (select from member m where m.workspace_id = n.workspace_id and m.user_id = n.user_id)
          where n.user_id is not null
      ) r
      join app_user u on u.id = r.user_id and u.status = 'active' order by n.at, u.id`,
    values: [
      notices.map((_, at) => at),
      notices.map(({ workspaceId }) => workspaceId),
      notices.map(({ to }) => ('userId' in to ? to.userId : null)),
      notices.map(({ to }) => ('adminsBut' in to ? to.adminsBut : null)),
    ],
  });
  return rows;
}

export interface NewNotification {
  workspaceId: string;
  id: string;
  userId: string;
  kind: KindName;
  data: unknown;
  /** The event or the reminder it comes of: it makes one for each reader, however often it is handed over. */
  sourceId: string;
}

/** Writes notifications and, for each that was not there, the event that tells its reader's screens. */
export async function insertNotifications(tx: PoolClient, made: readonly NewNotification[]): Promise<void> {
  await tx.query({
    name: 'notification-insert',
    text: `with made as (
        insert into notification (workspace_id, id, user_id, kind, data, source_id)
        select w, i, u, k, d::json, s from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[])
          as n (w, i, u, k, d, s)
        on conflict (workspace_id, user_id, source_id) do nothing returning workspace_id, id, user_id, kind)
      insert into outbox_event (workspace_id, id, type, subject_id, actor_id, data)
      select workspace_id, uuidv7(), 'notification.created', id, null,
        json_build_object('notificationId', id, 'kind', kind, 'recipientId', user_id) from made`,
    values: [
      made.map(({ workspaceId }) => workspaceId),
      made.map(({ id }) => id),
      made.map(({ userId }) => userId),
      made.map(({ kind }) => kind),
      made.map(({ data }) => JSON.stringify(data)),
      made.map(({ sourceId }) => sourceId),
    ],
  });
}

export interface NotificationRow {
  id: string;
  kind: string;
  data: unknown;
  created_at: string;
  read_at: string | null;
  /** The reader's. */
  locale: string;
  /** Of the member it speaks of, while they are one. */
  name: string | null;
}

const time = (column: string) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

const SELECT = `select n.id, n.kind, n.data::text as data, ${time('n.created_at')} as created_at, ${time('n.read_at')} as read_at,
    u.locale, p.name
  from notification n join app_user u on u.id = n.user_id
    left join member m on m.workspace_id = n.workspace_id and m.user_id = (n.data->>'userId')::uuid
    left join app_user p on p.id = m.user_id
  where n.workspace_id = ?::uuid and n.user_id = ?::uuid`;

/** Whose notifications: one member's of one workspace. */
export interface Mine {
  workspaceId: string;
  userId: string;
}
const ofMine = ({ workspaceId, userId }: Mine) => [workspaceId, userId];
const OWN = 'workspace_id = ?::uuid and user_id = ?::uuid';

async function select(em: EntityManager, sql: string, values: unknown[]): Promise<NotificationRow[]> {
  const rows = await em.execute<(Omit<NotificationRow, 'data'> & { data: string })[]>(`${SELECT} ${sql}`, values);
  return rows.map((row) => ({ ...row, data: JSON.parse(row.data) }));
}

/** The newest first. @param before the id they come before; null: from the newest */
export function findNotifications(
  em: EntityManager,
  mine: Mine,
  { unread, before, limit }: { unread: boolean | undefined; before: string | null; limit: number },
): Promise<NotificationRow[]> {
  return select(
    em,
    `and (?::uuid is null or n.id < ?::uuid) and (?::boolean is null or (n.read_at is null) = ?::boolean)
      order by n.id desc limit ?`,
    [...ofMine(mine), before, before, unread ?? null, unread ?? null, limit],
  );
}

export async function findNotification(
  em: EntityManager,
  mine: Mine,
  id: string,
): Promise<NotificationRow | undefined> {
  return (await select(em, 'and n.id = ?::uuid', [...ofMine(mine), id]))[0];
}

export async function countUnread(em: EntityManager, mine: Mine): Promise<number> {
  const [row] = await em.execute<{ unread: number }[]>(
    `select count(*)::int as unread from notification where ${OWN} and read_at is null`,
    ofMine(mine),
  );
  return row?.unread ?? 0;
}

/** Notes that one, or all up to one, were read. @returns how many were not before */
export async function markRead(em: EntityManager, mine: Mine, which: { id: string } | { upTo: string | null }) {
  const [sql, values] =
    'id' in which ? ['id = ?::uuid', [which.id]] : ['(?::uuid is null or id <= ?::uuid)', [which.upTo, which.upTo]];
  const rows = await em.execute<unknown[]>(
    `update notification set read_at = now() where ${OWN} and read_at is null and ${sql} returning id`,
    [...ofMine(mine), ...values],
  );
  return rows.length;
}

/** @returns whether it was there */
export async function removeNotification(em: EntityManager, mine: Mine, id: string): Promise<boolean> {
  const rows = await em.execute<unknown[]>(`delete from notification where ${OWN} and id = ?::uuid returning id`, [
    ...ofMine(mine),
    id,
  ]);
  return rows.length > 0;
}

/** Drops notifications after 90 days, read or not. @returns how many; call again while > 0 */
export async function purgeNotifications(pool: { query: PoolClient['query'] }): Promise<number> {
  const { rowCount } = await pool.query(
    `delete from notification where (workspace_id, id) in (select workspace_id, id from notification
       where created_at < now() - interval '90 days' order by created_at limit 1000 for update skip locked)`,
  );
  return rowCount ?? 0;
}
