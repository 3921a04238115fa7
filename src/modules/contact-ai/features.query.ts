import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';

/** What is known of a contact as a lead. */
export interface LeadRow {
  id: string;
  ownerId: string | null;
  position: string | null;
  company: string | null;
  email: string | null;
  consent: string;
  sentiment: string | null;
  customFields: Record<string, unknown>;
  ageDays: number;
  /** Since they last wrote; null for who never did. */
  quietDays: number | null;
  /** What they wrote in the last 30 days, counted to 200. */
  inboundCount: number;
  lastText: string | null;
}

/** Contacts of a workspace as leads, in one statement; each costs a few keys. @param ownerId whose contacts alone may be seen; null: all */
export async function findLeads(
  pool: Pool,
  workspaceId: string,
  ids: readonly string[],
  ownerId: string | null,
): Promise<LeadRow[]> {
  const { rows } = await queryAs<LeadRow>(
    pool,
    { workspaceId },
    {
      name: 'leads-find',
      text: `select c.id, c.owner_id as "ownerId", c.position, c.company, c.email, c.consent, c.sentiment, c.custom_fields as "customFields",
          extract(epoch from now() - c.created_at)::float8 / 86400 as "ageDays",
          extract(epoch from now() - c.last_inbound_at)::float8 / 86400 as "quietDays",
          (select count(*)::int from (select from message m where m.workspace_id = $1 and m.contact_id = c.id
            and m.id >= first_id_at(now() - interval '30 days') and m.direction = 'inbound' limit 200) t) as "inboundCount",
          (select t.body from (select m.body, m.direction, m.type, m.id from message m where m.workspace_id = $1 and m.contact_id = c.id
            order by m.id desc limit 50) t where t.direction = 'inbound' and t.type = 'text' and trim(t.body) <> ''
            order by t.id desc limit 1) as "lastText"
        from contact c where c.workspace_id = $1 and c.id = any ($2::uuid[]) and c.deleted_at is null
          and ($3::uuid is null or c.owner_id = $3::uuid)`,
      values: [workspaceId, ids, ownerId],
    },
  );
  return rows;
}
