import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import { newId } from '#src/lib/ids.ts';
import type { DealsOf } from '#src/modules/activities/activity-sight.ts';
import type { NewActivity } from '#src/modules/activities/activity.query.ts';

export interface ActivityRow {
  id: string;
  type: string;
  contactId: string | null;
  dealId: string | null;
  actorId: string | null;
  payload: Record<string, unknown>;
  occurredAt: string;
  /** `occurredAt` to the microsecond, as pages go on by. */
  sortKey: string;
}

const AT = (digits: 'MS' | 'US') => `to_char(a.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.${digits}"Z"')`;
const COLUMNS = `a.id, a.type, a.contact_id as "contactId", a.deal_id as "dealId", a.actor_id as "actorId", a.payload,
  ${AT('MS')} as "occurredAt", ${AT('US')} as "sortKey"`;

/** Whether a contact is there that the caller may see. @param ownerId whose it must be; null: anybody's */
export async function hasContact(em: EntityManager, id: string, ownerId: string | null): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `select 1 from contact where workspace_id = current_workspace() and id = ?::uuid and deleted_at is null
      and (?::uuid is null or owner_id = ?::uuid)`,
    [id, ownerId, ownerId],
  );
  return rows.length > 0;
}

/** Keeps a contact what it is until the transaction ends. @returns its id; where it was merged just now, that of the contact it went into */
export async function keepContact(em: EntityManager, id: string): Promise<string> {
  const [row] = await em.execute<{ merged_into: string | null }[]>(
    'select merged_into from contact where workspace_id = current_workspace() and id = ?::uuid for key share',
    [id],
  );
  return row?.merged_into ? keepContact(em, row.merged_into) : id;
}

/** Appends one thing to the timelines, as `addActivities` does many. @returns it as timelines show it */
export async function insertActivity(em: EntityManager, one: NewActivity): Promise<ActivityRow> {
  const [row] = await em.execute<[ActivityRow]>(
    `insert into activity as a (workspace_id, id, type, contact_id, deal_id, actor_id, payload, occurred_at)
      values (current_workspace(), ?::uuid, ?, ?::uuid, ?::uuid, ?::uuid, ?::json, coalesce(?::timestamptz, now())) returning ${COLUMNS}`,
    [newId(), one.type, one.contactId, one.dealId, one.actorId, JSON.stringify(one.payload), one.occurredAt ?? null],
  );
  return row;
}

/** A timeline: of a deal, of a contact, or of both at once; `dealsOf` says whose deals may be told of: all, nobody's, or a user's. */
export interface Timeline {
  contactId: string | undefined;
  dealId: string | undefined;
  dealsOf: DealsOf;
  after: readonly [string, string] | undefined;
  limit: number;
}

export function timelineStatement(
  workspaceId: string,
  { contactId, dealId, dealsOf, after, limit }: Timeline,
): { text: string; values: unknown[] } {
  const values: unknown[] = [workspaceId];
  const where = ['a.workspace_id = $1'];
  const push = (value: string): string => `$${values.push(value)}`;
  if (contactId !== undefined) where.push(`a.contact_id = ${push(contactId)}::uuid`);
  if (dealId !== undefined) where.push(`a.deal_id = ${push(dealId)}::uuid`);
  if (dealsOf === 'nobody') where.push('a.deal_id is null');
  else if (dealsOf !== 'all')
    where.push(`(a.deal_id is null or exists (select from deal d where d.workspace_id = $1 and d.id = a.deal_id
      and d.owner_id = ${push(dealsOf.userId)}::uuid))`);
  if (after) where.push(`(a.occurred_at, a.id) < (${push(after[0])}::timestamptz, ${push(after[1])}::uuid)`);
  return {
    text: `select ${COLUMNS} from activity a where ${where.join(' and ')} order by a.occurred_at desc, a.id desc limit ${limit}`,
    values,
  };
}

/** The newest first. */
export async function listActivities(pool: Pool, workspaceId: string, timeline: Timeline): Promise<ActivityRow[]> {
  return (await queryAs<ActivityRow>(pool, { workspaceId }, timelineStatement(workspaceId, timeline))).rows;
}
