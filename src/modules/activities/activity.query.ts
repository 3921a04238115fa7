import type { EntityManager } from '@mikro-orm/postgresql';
import { newId } from '#src/lib/ids.ts';

/** Something that happened with a contact or a deal, for their timelines. */
export interface NewActivity {
  /** `noun.past_verb`, like events: `contact.created`, `deal.moved`, `note.added`. */
  type: string;
  contactId: string | null;
  dealId: string | null;
  /** The member who did it; null for the platform. */
  actorId: string | null;
  /** What the timeline shows beside. */
  payload: object;
  occurredAt?: Date;
}

/**
 * Appends to the timelines, in the transaction that makes the change (`inWorkspaceTx`). Nothing in them is ever changed.
 * @returns their ids
 */
export async function addActivities(em: EntityManager, activities: readonly NewActivity[]): Promise<string[]> {
  if (activities.length === 0) return [];
  const ids = activities.map(() => newId());
  await em.execute(
    `insert into activity (workspace_id, id, type, contact_id, deal_id, actor_id, payload, occurred_at)
      select current_workspace(), a.id, a.type, a.contact_id, a.deal_id, a.actor_id, a.payload, coalesce(a.occurred_at, now())
      from json_to_recordset(?::json) as a (id uuid, type text, contact_id uuid, deal_id uuid, actor_id uuid, payload json, occurred_at timestamptz)`,
    [
      JSON.stringify(
        activities.map((one, at) => ({
          id: ids[at],
          type: one.type,
          contact_id: one.contactId,
          deal_id: one.dealId,
          actor_id: one.actorId,
          payload: one.payload,
          occurred_at: one.occurredAt,
        })),
      ),
    ],
  );
  return ids;
}
