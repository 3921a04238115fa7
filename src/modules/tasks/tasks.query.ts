import type { EntityManager } from '@mikro-orm/postgresql';
import type { TaskSort, TaskView } from '#src/modules/tasks/tasks.schemas.ts';

/** A task as it is kept; moments in ISO 8601 to the millisecond, times of the wall without a zone. */
export interface TaskRow {
  id: string;
  title: string;
  description: string | null;
  priority: TaskView['priority'];
  urgency: number;
  status: TaskView['status'];
  due_at: string | null;
  assignee_id: string | null;
  contact_id: string | null;
  deal_id: string | null;
  recurrence: string | null;
  series_start: string | null;
  turn_at: string | null;
  next_id: string | null;
  completed_at: string | null;
  version: number;
  created_at: string;
  updated_at: string;
}

const time = (column: string) =>
  `to_char(t.${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ${column}`;
const wall = (column: string) => `to_char(t.${column}, 'YYYY-MM-DD"T"HH24:MI:SS') as ${column}`;
const COLUMNS = `t.id, t.title, t.description, t.priority, t.urgency, t.status, ${time('due_at')}, t.assignee_id, t.contact_id, t.deal_id,
  t.recurrence, ${wall('series_start')}, ${wall('turn_at')}, ${time('completed_at')}, t.version, ${time('created_at')}, ${time('updated_at')},
  (select n.id from task n where n.workspace_id = t.workspace_id and n.previous_id = t.id) as next_id`;
const OWN = 't.workspace_id = current_workspace()';
const DUE = `coalesce(t.due_at, 'infinity'::timestamptz)`;

/** Which tasks; what is not named is of no matter. */
export interface TaskFilter {
  status?: TaskView['status'] | undefined;
  assigneeId?: string | undefined;
  contactId?: string | undefined;
  dealId?: string | undefined;
  dueFrom?: Date | undefined;
  dueBefore?: Date | undefined;
  /** The member who alone may see them. */
  onlyOf?: string | undefined;
}

const CONDITIONS: { [Key in keyof TaskFilter]-?: string } = {
  status: 't.status = ?',
  assigneeId: 't.assignee_id = ?::uuid',
  contactId: 't.contact_id = ?::uuid',
  dealId: 't.deal_id = ?::uuid',
  dueFrom: `${DUE} >= ?::timestamptz and t.due_at is not null`,
  dueBefore: `${DUE} < ?::timestamptz`,
  onlyOf: 't.assignee_id = ?::uuid',
};

/** How each order goes on behind a row; every one has an index. */
const ORDERS: Record<TaskSort, { by: string; behind: string }> = {
  dueAt: { by: `${DUE}, t.id`, behind: `(${DUE}, t.id) > (?::timestamptz, ?::uuid)` },
  '-dueAt': { by: `${DUE} desc, t.id desc`, behind: `(${DUE}, t.id) < (?::timestamptz, ?::uuid)` },
  // Ids are made in the order of time.
  createdAt: { by: 't.id', behind: 't.id > ?::uuid' },
  '-createdAt': { by: 't.id desc', behind: 't.id < ?::uuid' },
  priority: {
    by: `t.urgency, ${DUE}, t.id`,
    behind: `(t.urgency, ${DUE}, t.id) > (?::smallint, ?::timestamptz, ?::uuid)`,
  },
};

/** The statement of a list. @param after the sort key it goes on behind */
export function listTasksSql(
  filter: TaskFilter,
  { sort, after, limit }: { sort: TaskSort; after: readonly (string | number)[] | null; limit: number },
): [string, unknown[]] {
  const given = Object.entries(filter).filter(([, value]) => value !== undefined);
  const conditions = Object.entries(CONDITIONS).flatMap(([key, sql]) =>
    given.some(([name]) => name === key) ? [sql] : [],
  );
  const byKey = new Map<string, unknown>(given);
  const values = Object.keys(CONDITIONS).flatMap((key) => (byKey.has(key) ? [byKey.get(key)] : []));
  const { by, behind } = ORDERS[sort];
  const where = [OWN, ...conditions, ...(after ? [behind] : [])].join(' and ');
  const sql = `select ${COLUMNS} from task t where ${where} order by ${by} limit ${Math.trunc(limit)}`;
  return [sql, [...values.map((value) => (value instanceof Date ? value.toISOString() : value)), ...(after ?? [])]];
}

export const listTasks = (em: EntityManager, ...asked: Parameters<typeof listTasksSql>): Promise<TaskRow[]> =>
  em.execute<TaskRow[]>(...listTasksSql(...asked));

/** @param onlyOf the member who alone may see it */
export async function findTask(
  em: EntityManager,
  id: string,
  onlyOf: string | undefined,
  { isLocked = false } = {},
): Promise<TaskRow | undefined> {
  const rows = await em.execute<TaskRow[]>(
    `select ${COLUMNS} from task t where ${OWN} and t.id = ?::uuid and (?::uuid is null or t.assignee_id = ?::uuid)
      ${isLocked ? 'for update of t' : ''}`,
    [id, onlyOf ?? null, onlyOf ?? null],
  );
  return rows[0];
}

/** What of a task is written; times of the wall as `TaskRow` has them. */
export type TaskFields = Pick<
  TaskRow,
  | 'title'
  | 'description'
  | 'priority'
  | 'due_at'
  | 'assignee_id'
  | 'contact_id'
  | 'deal_id'
  | 'recurrence'
  | 'series_start'
  | 'turn_at'
>;

const written = (fields: TaskFields): unknown[] => [
  fields.title,
  fields.description,
  fields.priority,
  fields.due_at,
  fields.assignee_id,
  fields.contact_id,
  fields.deal_id,
  fields.recurrence,
  fields.series_start,
  fields.turn_at,
];

/** @param previousId the turn it comes after. @returns undefined where that has a next one already */
export async function insertTask(
  em: EntityManager,
  id: string,
  fields: TaskFields,
  previousId: string | null,
): Promise<TaskRow | undefined> {
  const rows = await em.execute<TaskRow[]>(
    `insert into task as t (workspace_id, id, title, description, priority, due_at, assignee_id, contact_id, deal_id, recurrence, series_start,
        turn_at, previous_id)
      values (current_workspace(), ?::uuid, ?, ?, ?, ?::timestamptz, ?::uuid, ?::uuid, ?::uuid, ?, ?::timestamp, ?::timestamp, ?::uuid)
      on conflict on constraint task_previous do nothing returning ${COLUMNS}`,
    [id, ...written(fields), previousId],
  );
  return rows[0];
}

/** Writes a task that was locked. */
export async function updateTask(em: EntityManager, id: string, fields: TaskFields): Promise<void> {
  await em.execute(
    `update task t set title = ?, description = ?, priority = ?, due_at = ?::timestamptz, assignee_id = ?::uuid, contact_id = ?::uuid,
        deal_id = ?::uuid, recurrence = ?, series_start = ?::timestamp, turn_at = ?::timestamp, version = t.version + 1, updated_at = now()
      where ${OWN} and t.id = ?::uuid`,
    [...written(fields), id],
  );
}

export async function setStatus(em: EntityManager, id: string, status: TaskRow['status']): Promise<void> {
  await em.execute(
    `update task t set status = ?, completed_at = case when ? = 'completed' then now() end, version = t.version + 1, updated_at = now()
      where ${OWN} and t.id = ?::uuid`,
    [status, status, id],
  );
}

export async function removeTask(em: EntityManager, id: string): Promise<void> {
  await em.execute(`delete from task t where ${OWN} and t.id = ?::uuid`, [id]);
}

/** What a task is to be linked with; null is always fine. */
export interface Links {
  assigneeId: string | null;
  contactId: string | null;
  dealId: string | null;
  /** The members who alone may see the contact and the deal. */
  contactOf: string | undefined;
  dealOf: string | undefined;
}

/** Which of what a task is to be linked with is not there for the caller. Nobody merges the contact until the transaction ends. */
export async function findMissing(
  em: EntityManager,
  links: Links,
): Promise<Record<'assignee' | 'contact' | 'deal', boolean>> {
  const { assigneeId, contactId, dealId, contactOf = null, dealOf = null } = links;
  const [row] = await em.execute<[Record<'assignee' | 'contact' | 'deal', boolean>]>(
    `select ?::uuid is not null and not exists (select from member where workspace_id = current_workspace() and user_id = ?::uuid) as assignee,
      ?::uuid is not null and not exists (select from contact where workspace_id = current_workspace() and id = ?::uuid
        and deleted_at is null and erased_at is null and (?::uuid is null or owner_id = ?::uuid) for key share) as contact,
      ?::uuid is not null and not exists (select from deal where workspace_id = current_workspace() and id = ?::uuid
        and deleted_at is null and (?::uuid is null or owner_id = ?::uuid)) as deal`,
    [assigneeId, assigneeId, contactId, contactId, contactOf, contactOf, dealId, dealId, dealOf, dealOf],
  );
  return row;
}
