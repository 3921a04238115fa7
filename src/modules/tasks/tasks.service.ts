import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, notFound } from '#src/errors.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import type { Auth } from '#src/http/access-token.ts';
import { etagOf, mustMatch } from '#src/http/etag.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { newId } from '#src/lib/ids.ts';
import { momentIn, wallTimeIn } from '#src/lib/time-zone.ts';
import { addActivities } from '#src/modules/activities/activity.query.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { nextTurn } from '#src/modules/tasks/recurrence.ts';
import {
  alignReminders,
  cancelReminders,
  copyReminders,
  restoreReminders,
} from '#src/modules/tasks/task-reminders.query.ts';
import {
  findMissing,
  findTask,
  insertTask,
  listTasks,
  removeTask,
  setStatus,
  updateTask,
  type TaskFields,
  type TaskFilter,
  type TaskRow,
} from '#src/modules/tasks/tasks.query.ts';
import type {
  PlateQuery,
  TaskBody,
  TaskPatch,
  TaskQuery,
  TaskSort,
  TaskView,
  UpcomingQuery,
} from '#src/modules/tasks/tasks.schemas.ts';
import type { Runtime } from '#src/runtime.ts';

export type TaskNeeds = Pick<Runtime, 'orm' | 'settings'>;

/** Who asks, and how that is written down. */
export interface Caller {
  auth: Auth;
  actor: Actor;
}

/** `-infinity` and its like are no places of these lists; tasks without a time stand behind all others. */
const Due = z.union([z.literal('infinity'), z.iso.datetime().refine((at) => /^(1[89]|2)/.test(at))]);
const PLACES: Record<TaskSort, z.ZodType<(string | number)[]>> = {
  dueAt: z.tuple([Due, z.uuid()]),
  '-dueAt': z.tuple([Due, z.uuid()]),
  createdAt: z.tuple([z.uuid()]),
  '-createdAt': z.tuple([z.uuid()]),
  priority: z.tuple([z.int().min(0).max(9), Due, z.uuid()]),
};

const placeOf = (sort: TaskSort, { id, due_at, urgency }: TaskRow): (string | number)[] => {
  const due = due_at ?? 'infinity';
  if (sort === 'priority') return [urgency, due, id];
  return sort.endsWith('dueAt') ? [due, id] : [id];
};

const zoneOf = async ({ settings }: TaskNeeds, userId: string): Promise<string> =>
  (await settings.readUser(userId))['ui.timeZone'];

/** A time a client wrote, without a zone by the caller's clock. */
export async function momentOf(rt: TaskNeeds, { userId }: Auth, text: string): Promise<Date> {
  return momentIn(text, await zoneOf(rt, userId));
}

async function page(
  { orm }: TaskNeeds,
  auth: Auth,
  filter: TaskFilter,
  { sort, cursor, limit }: { sort: TaskSort; cursor?: string | undefined; limit: number },
) {
  const after = cursor === undefined ? null : decodeCursor(cursor, PLACES[sort]);
  const asked = { ...filter, onlyOf: onlyOwner(auth, 'tasks') };
  const rows = await inWorkspaceTx(orm, auth, (em) => listTasks(em, asked, { sort, after, limit: limit + 1 }));
  return toPage(rows, limit, (row) => placeOf(sort, row), presentTask);
}

/** The tasks the caller may see. */
export async function readTasks(rt: TaskNeeds, auth: Auth, { dueFrom, dueBefore, ...query }: TaskQuery) {
  const { sort, cursor, limit, ...filter } = query;
  const from = dueFrom === undefined ? undefined : await momentOf(rt, auth, dueFrom);
  const before = dueBefore === undefined ? undefined : await momentOf(rt, auth, dueBefore);
  return page(rt, auth, { ...filter, dueFrom: from, dueBefore: before }, { sort, cursor, limit });
}

/** When a day begins, by the caller's clock. @param daysAhead 0: today */
async function dayStart(rt: TaskNeeds, { userId }: Auth, daysAhead: number): Promise<Date> {
  const zone = await zoneOf(rt, userId);
  const today = Date.parse(`${wallTimeIn(new Date(), zone).slice(0, 10)}T00:00:00Z`);
  return momentIn(new Date(today + daysAhead * 86_400_000).toISOString().slice(0, 19), zone);
}

/** What is open and due by the end of the day, by the caller's clock: also what was due before. */
export async function readToday(rt: TaskNeeds, auth: Auth, { assigneeId, cursor, limit }: PlateQuery) {
  const filter = {
    status: 'open',
    assigneeId: assigneeId ?? auth.userId,
    dueBefore: await dayStart(rt, auth, 1),
  } as const;
  return page(rt, auth, filter, { sort: 'dueAt', cursor, limit });
}

/** What is open and due within some days from tomorrow on. */
export async function readUpcoming(rt: TaskNeeds, auth: Auth, { assigneeId, days, cursor, limit }: UpcomingQuery) {
  const [dueFrom, dueBefore] = [await dayStart(rt, auth, 1), await dayStart(rt, auth, days + 1)];
  const filter = { status: 'open', assigneeId: assigneeId ?? auth.userId, dueFrom, dueBefore } as const;
  return page(rt, auth, filter, { sort: 'dueAt', cursor, limit });
}

/** @throws AppError 404 */
export async function readTask({ orm }: TaskNeeds, auth: Auth, id: string): Promise<TaskView> {
  return presentTask(await inWorkspaceTx(orm, auth, (em) => mustFindTask(em, auth, id)));
}

/** @throws AppError 404 where there is none the caller may see */
export async function mustFindTask(em: EntityManager, auth: Auth, id: string, how = {}): Promise<TaskRow> {
  const row = await findTask(em, id, onlyOwner(auth, 'tasks'), how);
  if (!row) throw notFound('The task');
  return row;
}

const invalid = (path: string, message: string) =>
  badRequest('validation_failed', `${path} ${message}.`, [{ path, code: 'invalid', message }]);

/** @throws AppError 404 for what it is linked with, 400 */
async function checkLinks(em: EntityManager, auth: Auth, fields: Partial<TaskFields>): Promise<void> {
  const missing = await findMissing(em, {
    assigneeId: fields.assignee_id ?? null,
    contactId: fields.contact_id ?? null,
    dealId: fields.deal_id ?? null,
    contactOf: onlyOwner(auth, 'contacts'),
    dealOf: onlyOwner(auth, 'deals'),
  });
  if (missing.contact) throw notFound('The contact');
  if (missing.deal) throw notFound('The deal');
  if (missing.assignee) throw invalid('assigneeId', 'must be a member of the workspace');
}

/** Whose clocks say when: read before a transaction, which has one connection. */
interface Clocks {
  caller: string;
  /** Of who does the task; of one nobody does, the caller's. */
  assignee: string;
}

async function readClocks(rt: TaskNeeds, { userId }: Auth, assigneeId: string | null): Promise<Clocks> {
  const caller = await zoneOf(rt, userId);
  return { caller, assignee: assigneeId === null ? caller : await zoneOf(rt, assigneeId) };
}

/** Where a series begins: with its first turn, by the clock of who does it. @throws AppError 400 for a rule without a second turn */
function begin(rule: string, dueAt: string, timeZone: string) {
  const due = new Date(dueAt);
  const start = wallTimeIn(due, timeZone);
  const next = nextTurn({ rule, startsAt: start, turnAt: start, timeZone }, due);
  if (!next) throw invalid('recurrence', 'never comes again after dueAt');
  return { recurrence: rule, series_start: start, turn_at: start };
}

const NO_SERIES = { recurrence: null, series_start: null, turn_at: null };

/** What is to be written of a task, `row` as it was. @throws AppError 400 */
function fieldsOf(patch: TaskPatch, row: TaskFields, clocks: Clocks): TaskFields {
  const { title, description, priority, dueAt, assigneeId, contactId, dealId, recurrence } = patch;
  const fields = {
    ...row,
    ...(title === undefined ? {} : { title }),
    ...(description === undefined ? {} : { description }),
    ...(priority === undefined ? {} : { priority }),
    ...(assigneeId === undefined ? {} : { assignee_id: assigneeId }),
    ...(contactId === undefined ? {} : { contact_id: contactId }),
    ...(dealId === undefined ? {} : { deal_id: dealId }),
    ...(dueAt === undefined ? {} : { due_at: dueAt && momentIn(dueAt, clocks.caller).toISOString() }),
  };
  if (recurrence === null) return { ...fields, ...NO_SERIES };
  const rule = recurrence ?? fields.recurrence;
  if (rule === null) return fields;
  if (fields.due_at === null) throw invalid('dueAt', 'must be given for a task that recurs');
  return recurrence === undefined ? fields : { ...fields, ...begin(rule, fields.due_at, clocks.assignee) };
}

/** @throws AppError 400, 404 for what it is linked with */
export async function addTask(rt: TaskNeeds, { auth, actor }: Caller, body: TaskBody): Promise<TaskView> {
  const empty: TaskFields = {
    title: body.title,
    description: null,
    priority: 'normal',
    due_at: null,
    assignee_id: auth.userId,
    contact_id: null,
    deal_id: null,
    ...NO_SERIES,
  };
  const clocks = await readClocks(rt, auth, body.assigneeId ?? null);
  const fields = fieldsOf(body, empty, clocks);
  return inWorkspaceTx(rt.orm, auth, async (em) => {
    await checkLinks(em, auth, fields);
    const row = await insertTask(em, newId(), fields, null);
    if (!row) throw new Error('A first turn comes after none');
    await tell(em, 'task.created', row, auth.userId);
    const after = { fields: Object.keys(body) };
    await appendAudit(em, actor, { action: 'task.created', target: { type: 'task', id: row.id }, after });
    return presentTask(row);
  });
}

/** A recurring task whose `dueAt` alone changes is put off this once; with `recurrence` its series begins anew. @throws AppError 400, 404, 412 */
export async function editTask(
  rt: TaskNeeds,
  { auth, actor }: Caller,
  id: string,
  { patch, ifMatch }: { patch: TaskPatch; ifMatch: string | undefined },
): Promise<TaskView> {
  const seen = await inWorkspaceTx(rt.orm, auth, (em) => mustFindTask(em, auth, id));
  const clocks = await readClocks(rt, auth, patch.assigneeId === undefined ? seen.assignee_id : patch.assigneeId);
  return inWorkspaceTx(rt.orm, auth, async (em) => {
    const before = await lockTask(em, auth, { id, ifMatch });
    const fields = fieldsOf(patch, before, clocks);
    await checkLinks(em, auth, changedLinks(before, fields));
    await updateTask(em, id, fields);
    await alignReminders(em, { ...fields, id });
    const after = { fields: Object.keys(patch) };
    await appendAudit(em, actor, { action: 'task.changed', target: { type: 'task', id }, after });
    return presentTask(await mustStay(em, id));
  });
}

/** A member who has left, or a contact that is gone, is no reason to refuse another change. */
const changedLinks = (before: TaskFields, after: TaskFields): Partial<TaskFields> => ({
  ...(after.assignee_id === before.assignee_id ? {} : { assignee_id: after.assignee_id }),
  ...(after.contact_id === before.contact_id ? {} : { contact_id: after.contact_id }),
  ...(after.deal_id === before.deal_id ? {} : { deal_id: after.deal_id }),
});

/** A task that is to be changed, and the state it is changed from, if the client says it. */
export interface TaskKey {
  id: string;
  ifMatch: string | undefined;
}

/** @throws AppError 404, 412 */
async function lockTask(em: EntityManager, auth: Auth, { id, ifMatch }: TaskKey): Promise<TaskRow> {
  const row = await mustFindTask(em, auth, id, { isLocked: true });
  mustMatch(ifMatch, taskEtag(presentTask(row)));
  return row;
}

/** @throws AppError 404, 412 */
export function deleteTask({ orm }: TaskNeeds, { auth, actor }: Caller, key: TaskKey): Promise<void> {
  return inWorkspaceTx(orm, auth, async (em) => {
    const { id } = await lockTask(em, auth, key);
    await removeTask(em, id);
    await appendAudit(em, actor, { action: 'task.deleted', target: { type: 'task', id } });
  });
}

/** What is done already stays as it is; a recurring task gets its next turn, once, however many complete it. @throws AppError 404, 412 */
export async function completeTask(rt: TaskNeeds, { auth, actor }: Caller, key: TaskKey): Promise<TaskView> {
  const { id } = key;
  const seen = await inWorkspaceTx(rt.orm, auth, (em) => mustFindTask(em, auth, id));
  const { assignee: timeZone } = await readClocks(rt, auth, seen.assignee_id);
  return inWorkspaceTx(rt.orm, auth, async (em) => {
    const row = await lockTask(em, auth, key);
    // Who waited for the lock reads its next turn anew: the statement that waited has not seen it.
    if (row.status === 'completed') return presentTask(await mustStay(em, id));
    await setStatus(em, id, 'completed');
    await addNextTurn(em, row, timeZone, auth.userId);
    await cancelReminders(em, id);
    await tell(em, 'task.completed', row, auth.userId);
    await appendAudit(em, actor, { action: 'task.completed', target: { type: 'task', id } });
    return presentTask(await mustStay(em, id));
  });
}

async function addNextTurn(em: EntityManager, row: TaskRow, timeZone: string, userId: string): Promise<void> {
  const { recurrence: rule, series_start: startsAt, turn_at: turnAt, due_at: dueAt } = row;
  if (rule === null || startsAt === null || turnAt === null || dueAt === null) return;
  const after = new Date(Math.max(Date.now(), Date.parse(dueAt)));
  const next = nextTurn({ rule, startsAt, turnAt, timeZone }, after);
  if (!next) return;
  const fields = { ...row, due_at: next.dueAt.toISOString(), turn_at: next.turnAt };
  const made = await insertTask(em, newId(), fields, row.id);
  // It was completed before, and opened again: its next turn is there.
  if (!made) return;
  await copyReminders(em, row.id, made.id);
  await tell(em, 'task.created', made, userId);
}

/** What is open stays as it is. The next turn of a recurring task stays too. @throws AppError 404, 412 */
export function reopenTask({ orm }: TaskNeeds, { auth, actor }: Caller, key: TaskKey): Promise<TaskView> {
  const { id } = key;
  return inWorkspaceTx(orm, auth, async (em) => {
    const row = await lockTask(em, auth, key);
    if (row.status === 'open') return presentTask(await mustStay(em, id));
    await restoreReminders(em, id);
    // It may have been put off, renamed or given to another while it was done.
    await alignReminders(em, row);
    await setStatus(em, id, 'open');
    await appendAudit(em, actor, { action: 'task.reopened', target: { type: 'task', id } });
    return presentTask(await mustStay(em, id));
  });
}

/** Who gave a task away sees it this last time. */
async function mustStay(em: EntityManager, id: string): Promise<TaskRow> {
  const row = await findTask(em, id, undefined);
  if (!row) throw notFound('The task');
  return row;
}

async function tell(em: EntityManager, type: 'task.created' | 'task.completed', row: TaskRow, actorId: string) {
  const { id: taskId, contact_id: contactId, deal_id: dealId, assignee_id: ownerId } = row;
  await emitEvent(em, { type, data: { taskId, contactId, dealId, ownerId }, subjectId: contactId, actorId });
  if (contactId === null && dealId === null) return;
  await addActivities(em, [{ type, contactId, dealId, actorId, payload: { taskId } }]);
}

/** A task's ETag: it changes with its version. */
export const taskEtag = ({ id, version }: TaskView): string => etagOf([id, version]);

const presentTask = (row: TaskRow): TaskView => ({
  id: row.id,
  title: row.title,
  description: row.description,
  priority: row.priority,
  status: row.status,
  dueAt: row.due_at,
  assigneeId: row.assignee_id,
  contactId: row.contact_id,
  dealId: row.deal_id,
  recurrence: row.recurrence,
  nextTaskId: row.next_id,
  completedAt: row.completed_at,
  version: row.version,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});
