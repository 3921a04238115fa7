import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { DealsOf } from '#src/modules/activities/activity-sight.ts';

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
  /** Deals with them, counted to 200. */
  openDeals: number;
  wonDeals: number;
  lostDeals: number;
  /** What the open deals in the workspace's currency are worth, in its minor units. */
  openMinor: number | null;
  currency: string;
  /** Of the open deal that is likeliest to be won: its stage, how likely it is in percent, and for how long it is there. Null without one. */
  dealStage: string | null;
  winChance: number | null;
  daysInStage: number | null;
}

/**
 * Contacts of a workspace as leads, in one statement; each costs a few keys.
 * @param ownerId whose contacts alone may be seen; null: all @param dealsOf whose deals may be told of
 */
export async function findLeads(
  pool: Pool,
  workspaceId: string,
  ids: readonly string[],
  { ownerId, dealsOf }: { ownerId: string | null; dealsOf: DealsOf },
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
            order by t.id desc limit 1) as "lastText",
          w.currency, d.*
        from contact c join workspace w on w.id = c.workspace_id
        cross join lateral (
          select count(*) filter (where d.status = 'open')::int as "openDeals", count(*) filter (where d.status = 'won')::int as "wonDeals",
            count(*) filter (where d.status = 'lost')::int as "lostDeals",
            sum(d.amount_minor) filter (where d.status = 'open' and d.currency = w.currency)::float8 as "openMinor",
            (array_agg(d.stage order by d.chance desc, d.id desc) filter (where d.status = 'open'))[1] as "dealStage",
            max(d.chance) filter (where d.status = 'open') as "winChance",
            (array_agg(d.days order by d.chance desc, d.id desc) filter (where d.status = 'open'))[1] as "daysInStage"
          from (select d.id, d.status, d.amount_minor, d.currency, s.name as stage, coalesce(d.probability, s.probability) as chance,
              extract(epoch from now() - coalesce((select h.moved_at from deal_stage_history h where h.workspace_id = $1 and h.deal_id = d.id
                order by h.id desc limit 1), d.created_at))::float8 / 86400 as days
            from deal d join pipeline_stage s on s.workspace_id = d.workspace_id and s.id = d.stage_id
            where d.workspace_id = $1 and d.contact_id = c.id and d.deleted_at is null and ($4::text = 'all' or d.owner_id::text = $4)
            order by d.created_at desc, d.id desc limit 200) d) d
        where c.workspace_id = $1 and c.id = any ($2::uuid[]) and c.deleted_at is null
          and ($3::uuid is null or c.owner_id = $3::uuid)`,
      values: [workspaceId, ids, ownerId, typeof dealsOf === 'object' ? dealsOf.userId : dealsOf],
    },
  );
  return rows;
}
