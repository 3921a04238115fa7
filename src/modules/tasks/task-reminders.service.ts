import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, conflict, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { newId } from '#src/lib/ids.ts';
import {
  findTaskReminders,
  insertTaskReminder,
  moveTaskReminder,
  removeTaskReminder,
  type TaskReminderRow,
} from '#src/modules/tasks/task-reminders.query.ts';
import type { TaskRow } from '#src/modules/tasks/tasks.query.ts';
import type { TaskReminderBody, TaskReminderView } from '#src/modules/tasks/tasks.schemas.ts';
import { momentOf, mustFindTask, type TaskNeeds } from '#src/modules/tasks/tasks.service.ts';

/** How many reminders a task may have. */
const MAX_REMINDERS = 20;
/** A clock that is wrong by a minute is no reason to refuse. */
const SLACK_MS = 60_000;
const FARTHEST_MS = 5 * 366 * 86_400_000;

const invalid = (path: string, message: string) =>
  badRequest('validation_failed', `${path} ${message}.`, [{ path, code: 'out_of_range', message }]);

/** When a body's reminder comes. @param given its `remindAt` as a moment */
function timeOf(body: TaskReminderBody, given: Date | undefined, task: TaskRow) {
  const minutesBefore = 'minutesBefore' in body ? body.minutesBefore : null;
  const path = minutesBefore === null ? 'remindAt' : 'minutesBefore';
  if (minutesBefore !== null && task.due_at === null) throw invalid(path, 'needs a task that is due at some time');
  const atMs = given?.getTime() ?? Date.parse(task.due_at ?? '') - (minutesBefore ?? 0) * 60_000;
  const awayMs = atMs - Date.now();
  if (awayMs < -SLACK_MS) throw invalid(path, 'must not be past');
  if (awayMs > FARTHEST_MS) throw invalid(path, 'must be within five years');
  return { remindAt: new Date(atMs).toISOString(), minutesBefore };
}

const givenTime = (rt: TaskNeeds, auth: Auth, body: TaskReminderBody): Promise<Date> | undefined =>
  'remindAt' in body ? momentOf(rt, auth, body.remindAt) : undefined;

/** A task's reminders, whoever's they are. @throws AppError 404 */
export async function readReminders({ orm }: TaskNeeds, auth: Auth, taskId: string) {
  const rows = await inWorkspaceTx(orm, auth, async (em) => {
    await mustFindTask(em, auth, taskId);
    return findTaskReminders(em, taskId);
  });
  return { data: rows.map(present) };
}

/** @throws AppError 404 */
export async function readReminder(rt: TaskNeeds, auth: Auth, taskId: string, id: string): Promise<TaskReminderView> {
  const { data } = await readReminders(rt, auth, taskId);
  const one = data.find((row) => row.id === id);
  if (!one) throw notFound('The reminder');
  return one;
}

/**
 * Who does the task is reminded; of a task nobody does, the caller.
 * @throws AppError 400 for a time that is past or too far, 404, 409 `task_completed`, `reminder_refused`
 */
export async function addReminder(
  rt: TaskNeeds,
  auth: Auth,
  taskId: string,
  body: TaskReminderBody,
): Promise<TaskReminderView> {
  const given = await givenTime(rt, auth, body);
  return inWorkspaceTx(rt.orm, auth, async (em) => {
    const task = await mustFindTask(em, auth, taskId, { isLocked: true });
    if (task.status === 'completed') throw conflict('task_completed', 'The task is done. Reopen it first.');
    const userId = task.assignee_id ?? auth.userId;
    const one = { id: newId(), taskId, userId, title: task.title, ...timeOf(body, given, task) };
    const row = await insertTaskReminder(em, one, MAX_REMINDERS);
    if (row) return present(row);
    throw conflict('reminder_refused', `A task has one reminder for a time, and ${MAX_REMINDERS} at most.`);
  });
}

/** @throws AppError 400 as `addReminder`, 404, 409 `reminder_over` */
export async function moveReminder(
  rt: TaskNeeds,
  auth: Auth,
  { taskId, id }: { taskId: string; id: string },
  body: TaskReminderBody,
): Promise<TaskReminderView> {
  const given = await givenTime(rt, auth, body);
  return inWorkspaceTx(rt.orm, auth, async (em) => {
    const task = await mustFindTask(em, auth, taskId, { isLocked: true });
    const row = await moveTaskReminder(em, taskId, id, timeOf(body, given, task));
    if (row) return present(row);
    if (!(await findTaskReminders(em, taskId)).some((one) => one.id === id)) throw notFound('The reminder');
    throw conflict('reminder_over', 'The reminder has come or was cancelled. Make a new one.');
  });
}

/** @throws AppError 404 */
export async function deleteReminder({ orm }: TaskNeeds, auth: Auth, taskId: string, id: string): Promise<void> {
  await inWorkspaceTx(orm, auth, async (em) => {
    await mustFindTask(em, auth, taskId);
    if (!(await removeTaskReminder(em, taskId, id))) throw notFound('The reminder');
  });
}

const present = (row: TaskReminderRow): TaskReminderView => ({
  id: row.id,
  taskId: row.task_id,
  userId: row.user_id,
  remindAt: row.remind_at,
  minutesBefore: row.minutes_before,
  status: row.status,
  sentAt: row.sent_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});
