import type { EntityManager } from '@mikro-orm/postgresql';
import type { ActivityView } from '#src/modules/contacts/contacts.schemas.ts';

/** Where a page of a timeline ends: microseconds since 1970, and the id. */
export type TimelineKey = readonly [number, string];

const MICROSECONDS = `(extract(epoch from a.occurred_at) * 1000000)::float8`;

const COLUMNS = `a.id, a.type, a.contact_id as "contactId", a.deal_id as "dealId", a.actor_id as "actorId", a.payload,
  to_char(a.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "occurredAt", ${MICROSECONDS} as key`;

/** An activity, and its place in the order. */
export type Listed = ActivityView & { key: number };

/** What happened with a contact, the latest first. @param after the key it comes after */
export function findActivities(
  em: EntityManager,
  contactId: string,
  after: TimelineKey | null,
  limit: number,
): Promise<Listed[]> {
  const isAfter = `and (a.occurred_at, a.id) < (timestamptz 'epoch' + ?::bigint * interval '1 microsecond', ?::uuid)`;
  return em.execute<Listed[]>(
    `select ${COLUMNS} from activity a where a.workspace_id = current_workspace() and a.contact_id = ?::uuid ${after ? isAfter : ''}
      order by a.occurred_at desc, a.id desc limit ${limit}`,
    [contactId, ...(after ?? [])],
  );
}

export async function findActivity(em: EntityManager, id: string): Promise<Listed | undefined> {
  const sql = `select ${COLUMNS} from activity a where a.workspace_id = current_workspace() and a.id = ?::uuid`;
  return (await em.execute<Listed[]>(sql, [id]))[0];
}
