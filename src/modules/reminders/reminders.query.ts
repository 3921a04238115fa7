import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool, PoolClient } from 'pg';
import type { Mine } from '#src/modules/notifications/notifications.query.ts';
import type { ReminderView } from '#src/modules/reminders/reminders.schemas.ts';

export interface ReminderRow {
  id: string;
  title: string;
  note: string | null;
  remind_at: string;
  subject: ReminderView['subject'];
  status: ReminderView['status'];
  sent_at: string | null;
  created_at: string;
  updated_at: string;
}

const time = (column: string) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ${column}`;

const COLUMNS = `id, title, note, ${time('remind_at')}, status, ${time('sent_at')}, ${time('created_at')}, ${time('updated_at')},
  case when subject_type is not null then json_build_object('type', subject_type, 'id', subject_id) end as subject`;
const OWN = 'workspace_id = ?::uuid and user_id = ?::uuid';
const ofMine = ({ workspaceId, userId }: Mine) => [workspaceId, userId];

/** One's own, the earliest first. @param after the time and id they come after */
export function findReminders(
  em: EntityManager,
  mine: Mine,
  { status, after, limit }: { status: string | null; after: readonly [string, string] | null; limit: number },
): Promise<ReminderRow[]> {
  const [at, id] = after ?? [null, null];
  return em.execute<ReminderRow[]>(
    `select ${COLUMNS} from reminder r where ${OWN} and (?::text is null or status = ?::text)
       and (?::uuid is null or (date_trunc('milliseconds', r.remind_at), r.id) > (?::timestamptz, ?::uuid))
     order by date_trunc('milliseconds', r.remind_at), r.id limit ?`,
    [...ofMine(mine), status, status, id, at, id, limit],
  );
}

export async function findReminder(em: EntityManager, mine: Mine, id: string): Promise<ReminderRow | undefined> {
  const sql = `select ${COLUMNS} from reminder r where ${OWN} and id = ?::uuid`;
  return (await em.execute<ReminderRow[]>(sql, [...ofMine(mine), id]))[0];
}

/** @returns the row, or undefined where its owner has `maxPending` already */
export async function insertReminder(
  em: EntityManager,
  mine: Mine,
  row: { id: string; title: string; note: string | null; remindAt: Date; subject: ReminderView['subject'] },
  maxPending: number,
): Promise<ReminderRow | undefined> {
  const { id, title, note, remindAt, subject } = row;
  const rows = await em.execute<ReminderRow[]>(
    `insert into reminder (workspace_id, user_id, id, title, note, remind_at, subject_type, subject_id)
     select ?::uuid, ?::uuid, ?::uuid, ?::text, ?::text, ?::timestamptz, ?::text, ?::uuid
       where (select count(*) from reminder where ${OWN} and status = 'pending') < ?
     returning ${COLUMNS}`,
    [
      ...ofMine(mine),
      id,
      title,
      note,
      remindAt.toISOString(),
      subject?.type ?? null,
      subject?.id ?? null,
      ...ofMine(mine),
      maxPending,
    ],
  );
  return rows[0];
}

/** Changes one that still waits. @returns undefined when it does not, or there is none */
export async function changeReminder(
  em: EntityManager,
  mine: Mine,
  id: string,
  row: { title: string; note: string | null; remindAt: string; status: 'pending' | 'cancelled' },
): Promise<ReminderRow | undefined> {
  const rows = await em.execute<ReminderRow[]>(
    `update reminder set title = ?, note = ?, remind_at = ?::timestamptz, status = ?, updated_at = now()
     where ${OWN} and id = ?::uuid and status = 'pending' returning ${COLUMNS}`,
    [row.title, row.note, row.remindAt, row.status, ...ofMine(mine), id],
  );
  return rows[0];
}

/** @returns whether it was there */
export async function removeReminder(em: EntityManager, mine: Mine, id: string): Promise<boolean> {
  const sql = `delete from reminder where ${OWN} and id = ?::uuid returning id`;
  return (await em.execute<unknown[]>(sql, [...ofMine(mine), id])).length > 0;
}

/** A reminder whose time has come. */
export interface DueReminder {
  workspaceId: string;
  id: string;
  userId: string;
  /** The task it was made for. */
  taskId: string | null;
  title: string;
  note: string | null;
  remindAt: Date;
  isLate: boolean;
}

/** Takes reminders whose time has come, for the transaction and, once it is committed, for good. Several may; none gets what another has. */
export async function takeDueReminders(tx: PoolClient, limit: number, lateAfterMs: number): Promise<DueReminder[]> {
  const { rows } = await tx.query<DueReminder>({
    name: 'reminder-take-due',
    text: `with due as materialized (select workspace_id, id from reminder where status = 'pending' and remind_at <= now()
        order by remind_at limit $1 for update skip locked)
      update reminder r set status = 'sent', sent_at = now(), updated_at = now() from due
        where r.workspace_id = due.workspace_id and r.id = due.id
      returning r.workspace_id as "workspaceId", r.id, r.user_id as "userId", r.task_id as "taskId", r.title, r.note, r.remind_at as "remindAt",
        now() - r.remind_at > $2 * interval '1 millisecond' as "isLate"`,
    values: [limit, lateAfterMs],
  });
  return rows;
}

/** Tells of tasks whose reminders have come (`task.due`), in the transaction that took them. */
export async function tellDueTasks(tx: PoolClient, due: readonly DueReminder[]): Promise<void> {
  const ofTasks = due.filter(({ taskId }) => taskId !== null);
  if (ofTasks.length === 0) return;
  await tx.query({
    name: 'reminder-tell-due-tasks',
    text: `insert into outbox_event (workspace_id, id, type, subject_id, actor_id, data)
      select t.workspace_id, uuidv7(), 'task.due', t.contact_id, null,
        json_build_object('taskId', t.id, 'contactId', t.contact_id, 'dealId', t.deal_id, 'ownerId', t.assignee_id)
      from (select distinct w, i from unnest($1::uuid[], $2::uuid[]) as n (w, i)) n join task t on t.workspace_id = n.w and t.id = n.i`,
    values: [ofTasks.map(({ workspaceId }) => workspaceId), ofTasks.map(({ taskId }) => taskId)],
  });
}

/** Drops reminders 90 days after they were over. @returns how many; call again while > 0 */
export async function purgeReminders(pool: Pool): Promise<number> {
  const { rowCount } = await pool.query(
    `delete from reminder where (workspace_id, id) in (select workspace_id, id from reminder where status <> 'pending'
       and updated_at < now() - interval '90 days' order by updated_at limit 1000 for update skip locked)`,
  );
  return rowCount ?? 0;
}
