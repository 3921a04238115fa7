import type { EntityManager } from '@mikro-orm/postgresql';
import type { TaskReminderView } from '#src/modules/tasks/tasks.schemas.ts';

export interface TaskReminderRow {
  id: string;
  task_id: string;
  user_id: string;
  remind_at: string;
  minutes_before: number | null;
  status: TaskReminderView['status'];
  sent_at: string | null;
  created_at: string;
  updated_at: string;
}

const time = (column: string) =>
  `to_char(r.${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ${column}`;
const COLUMNS = `r.id, r.task_id, r.user_id, ${time('remind_at')}, r.minutes_before, r.status, ${time('sent_at')}, ${time('created_at')}, ${time('updated_at')}`;
const OF_TASK = 'r.workspace_id = current_workspace() and r.task_id = ?::uuid';

/** A task's reminders, the earliest first. */
export function findTaskReminders(em: EntityManager, taskId: string): Promise<TaskReminderRow[]> {
  return em.execute<TaskReminderRow[]>(
    `select ${COLUMNS} from reminder r where ${OF_TASK} order by r.remind_at, r.id`,
    [taskId],
  );
}

/** For a task that was locked. @returns undefined where it has one for that time, or `max` already */
export async function insertTaskReminder(
  em: EntityManager,
  one: { id: string; taskId: string; userId: string; title: string; remindAt: string; minutesBefore: number | null },
  max: number,
): Promise<TaskReminderRow | undefined> {
  const rows = await em.execute<TaskReminderRow[]>(
    `insert into reminder as r (workspace_id, id, user_id, title, remind_at, subject_type, subject_id, task_id, minutes_before)
      select current_workspace(), ?::uuid, ?::uuid, ?, ?::timestamptz, 'task', ?::uuid, ?::uuid, ?::int
        where (select count(*) < ? and count(*) filter (where r.remind_at = ?::timestamptz and r.status = 'pending') = 0
          from reminder r where ${OF_TASK})
      returning ${COLUMNS}`,
    [
      one.id,
      one.userId,
      one.title,
      one.remindAt,
      one.taskId,
      one.taskId,
      one.minutesBefore,
      max,
      one.remindAt,
      one.taskId,
    ],
  );
  return rows[0];
}

/** Moves one that still waits. @returns undefined when it does not, or there is none */
export async function moveTaskReminder(
  em: EntityManager,
  taskId: string,
  id: string,
  { remindAt, minutesBefore }: { remindAt: string; minutesBefore: number | null },
): Promise<TaskReminderRow | undefined> {
  const rows = await em.execute<TaskReminderRow[]>(
    `update reminder r set remind_at = ?::timestamptz, minutes_before = ?::int, updated_at = now()
      where ${OF_TASK} and r.id = ?::uuid and r.status = 'pending' returning ${COLUMNS}`,
    [remindAt, minutesBefore, taskId, id],
  );
  return rows[0];
}

/** @returns whether it was there */
export async function removeTaskReminder(em: EntityManager, taskId: string, id: string): Promise<boolean> {
  const sql = `delete from reminder r where ${OF_TASK} and r.id = ?::uuid returning r.id`;
  return (await em.execute<unknown[]>(sql, [taskId, id])).length > 0;
}

/** Of a task that is done, none comes any more. */
export async function cancelReminders(em: EntityManager, taskId: string): Promise<void> {
  await em.execute(
    `update reminder r set status = 'cancelled', updated_at = now() where ${OF_TASK} and r.status = 'pending'`,
    [taskId],
  );
}

/** What completing a task cancelled waits again, but for what is past by when the task is due now. Call it while the task is completed still, and `alignReminders` after it. */
export async function restoreReminders(em: EntityManager, taskId: string): Promise<void> {
  await em.execute(
    `update reminder r set status = 'pending', updated_at = now() from task t
      where ${OF_TASK} and r.status = 'cancelled' and t.workspace_id = r.workspace_id and t.id = r.task_id and r.updated_at = t.completed_at
        and case when r.minutes_before is null then r.remind_at else t.due_at - r.minutes_before * interval '1 minute' end > now()`,
    [taskId],
  );
}

/**
 * Brings a task's waiting reminders in line with it: its title, who does it (null: those who were reminded still are), and when it is due.
 * One that would be past by that, or hangs on a time the task no longer has, is cancelled.
 */
export async function alignReminders(
  em: EntityManager,
  task: { id: string; title: string; assignee_id: string | null; due_at: string | null },
): Promise<void> {
  const moved = `case when r.minutes_before is null then r.remind_at
    else coalesce(?::timestamptz - r.minutes_before * interval '1 minute', r.remind_at) end`;
  await em.execute(
    `update reminder r set title = ?, user_id = coalesce(?::uuid, r.user_id), remind_at = ${moved}, updated_at = now(),
        status = case when r.minutes_before is not null and coalesce(?::timestamptz - r.minutes_before * interval '1 minute' <= now(), true)
          and ?::timestamptz is distinct from r.remind_at + r.minutes_before * interval '1 minute' then 'cancelled' else r.status end
      where ${OF_TASK} and r.status = 'pending'`,
    [task.title, task.assignee_id, task.due_at, task.due_at, task.due_at, task.id],
  );
}

/** Gives the next turn the reminders that hang on when it is due, but for what would be past. */
export async function copyReminders(em: EntityManager, fromId: string, toId: string): Promise<void> {
  await em.execute(
    `insert into reminder (workspace_id, id, user_id, title, remind_at, subject_type, subject_id, task_id, minutes_before)
      select t.workspace_id, uuidv7(), coalesce(t.assignee_id, r.user_id), t.title, t.due_at - r.minutes_before * interval '1 minute',
        'task', t.id, t.id, r.minutes_before
      from (select distinct on (r.minutes_before) r.* from reminder r where ${OF_TASK} and r.minutes_before is not null
        order by r.minutes_before, r.id) r
      join task t on t.workspace_id = r.workspace_id and t.id = ?::uuid
      where t.due_at - r.minutes_before * interval '1 minute' > now()`,
    [fromId, toId],
  );
}
