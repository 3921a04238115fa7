import type { EntityManager } from '@mikro-orm/postgresql';
import type { DealsOf } from '#src/modules/activities/activity-sight.ts';
import type { ActivityView } from '#src/modules/contacts/contacts.schemas.ts';

/** Where a page of a timeline ends: microseconds since 1970, and the id. */
export type TimelineKey = readonly [number, string];

const MICROSECONDS = `(extract(epoch from a.occurred_at) * 1000000)::float8`;

const COLUMNS = `a.id, a.type, a.contact_id as "contactId", a.deal_id as "dealId", a.actor_id as "actorId", a.payload,
  to_char(a.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "occurredAt", ${MICROSECONDS} as key`;

/** An activity, and its place in the order. */
export type Listed = ActivityView & { key: number };

/** What happened with a contact, the latest first. @param dealsOf whose deals may be told of @param after the key it comes after */
export function findActivities(
  em: EntityManager,
  contactId: string,
  { dealsOf, after, limit }: { dealsOf: DealsOf; after: TimelineKey | null; limit: number },
): Promise<Listed[]> {
  const isOwnDeal = `exists (select from deal d where d.workspace_id = a.workspace_id and d.id = a.deal_id and d.owner_id = ?::uuid)`;
  const isMine = typeof dealsOf === 'object' ? `or ${isOwnDeal}` : '';
  const isSeen = dealsOf === 'all' ? '' : `and (a.deal_id is null ${isMine})`;
  const isAfter = `and (a.occurred_at, a.id) < (timestamptz 'epoch' + ?::bigint * interval '1 microsecond', ?::uuid)`;
  return em.execute<Listed[]>(
    `select ${COLUMNS} from activity a where a.workspace_id = current_workspace() and a.contact_id = ?::uuid ${isSeen} ${after ? isAfter : ''}
      order by a.occurred_at desc, a.id desc limit ${limit}`,
    [contactId, ...(typeof dealsOf === 'object' ? [dealsOf.userId] : []), ...(after ?? [])],
  );
}

export async function findActivity(em: EntityManager, id: string): Promise<Listed | undefined> {
  const sql = `select ${COLUMNS} from activity a where a.workspace_id = current_workspace() and a.id = ?::uuid`;
  return (await em.execute<Listed[]>(sql, [id]))[0];
}
