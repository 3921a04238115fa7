import type { EntityManager } from '@mikro-orm/postgresql';

export interface RequestRow {
  id: string;
  contact_id: string;
  kind: 'erasure';
  requested_by: string | null;
  status: 'queued' | 'active' | 'completed' | 'failed' | 'cancelled';
  receipt: { store: string; count: number; ok: boolean }[];
  created_at: string;
  completed_at: string | null;
}

const time = (column: string) =>
  `to_char(r.${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ${column}`;
const SELECT = `select r.id, r.contact_id, r.kind, r.requested_by, r.receipt, ${time('created_at')}, ${time('completed_at')},
    case when r.completed_at is not null then 'completed' else coalesce(o.status, 'failed') end as status
  from privacy_request r left join bulk_operation o on o.workspace_id = r.workspace_id and o.id = r.id
  where r.workspace_id = current_workspace()`;

/** The newest first, before the id `before`. */
export const listRequests = (em: EntityManager, before: string | null, limit: number): Promise<RequestRow[]> =>
  em.execute<RequestRow[]>(`${SELECT} and (?::uuid is null or r.id < ?::uuid) order by r.id desc limit ?`, [
    before,
    before,
    limit,
  ]);

export async function findRequest(em: EntityManager, id: string): Promise<RequestRow | undefined> {
  return (await em.execute<RequestRow[]>(`${SELECT} and r.id = ?::uuid`, [id]))[0];
}

/** What was asked for a contact and has not been done. */
export async function findOpenRequest(em: EntityManager, contactId: string): Promise<RequestRow | undefined> {
  return (
    await em.execute<RequestRow[]>(`${SELECT} and r.contact_id = ?::uuid and r.completed_at is null`, [contactId])
  )[0];
}

/** Takes the place of what was asked for this contact and came to nothing. */
export async function insertRequest(
  em: EntityManager,
  one: { id: string; contactId: string; userId: string },
): Promise<void> {
  await em.execute(
    'delete from privacy_request where workspace_id = current_workspace() and contact_id = ?::uuid and completed_at is null',
    [one.contactId],
  );
  await em.execute(
    'insert into privacy_request (workspace_id, id, contact_id, requested_by) values (current_workspace(), ?::uuid, ?::uuid, ?::uuid)',
    [one.id, one.contactId, one.userId],
  );
}

export async function saveReceipt(
  em: EntityManager,
  id: string,
  receipt: RequestRow['receipt'],
  isOver: boolean,
): Promise<void> {
  await em.execute(
    `update privacy_request set receipt = ?::json, completed_at = case when ?::boolean then now() end
      where workspace_id = current_workspace() and id = ?::uuid`,
    [JSON.stringify(receipt), isOver, id],
  );
}

/** Who looks after a contact, for the event of its erasure. */
export async function ownerOf(em: EntityManager, contactId: string): Promise<string | null> {
  const [row] = await em.execute<{ owner_id: string | null }[]>(
    'select owner_id from contact where workspace_id = current_workspace() and id = ?::uuid',
    [contactId],
  );
  return row?.owner_id ?? null;
}
