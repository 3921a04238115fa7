import type { EntityManager } from '@mikro-orm/postgresql';
import type { OnlyOf } from '#src/modules/campaigns/audience.query.ts';
import type { ContactCampaignView, ItemView } from '#src/modules/campaigns/campaigns.schemas.ts';
import type { Pace } from '#src/modules/campaigns/report.ts';

const at = (column: string, name: string) =>
  `to_char(i.${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "${name}"`;
const COLUMNS = `i.id, i.contact_id as "contactId", coalesce(c.variants->(i.variant::int)->>'key', '') as variant, i.status, i.attempt_no as attempts,
    i.skip_reason as "skipReason", i.error_code as "errorCode", i.provider_message_id as "messageId", ${at('sent_at', 'sentAt')},
    ${at('delivered_at', 'deliveredAt')}, ${at('read_at', 'readAt')}, ${at('replied_at', 'repliedAt')}, ${at('updated_at', 'updatedAt')}`;
const FROM = `from campaign_item i join campaign c on c.workspace_id = i.workspace_id and c.id = i.campaign_id
  where i.workspace_id = current_workspace()`;
const ITEM = `select ${COLUMNS} ${FROM} and i.campaign_id = ?::uuid`;

/** A campaign's items by their ids, behind one. */
export function findItems(
  em: EntityManager,
  campaignId: string,
  { status, after, limit }: { status: string | null; after: string | null; limit: number },
): Promise<ItemView[]> {
  const one = status === null ? { sql: '', params: [] } : { sql: 'and i.status = ?::text', params: [status] };
  return em.execute<ItemView[]>(
    `${ITEM} ${one.sql} and i.id > coalesce(?::uuid, '00000000-0000-0000-0000-000000000000') order by i.id limit ?`,
    [campaignId, ...one.params, after, limit],
  );
}

/** What campaigns sent to a contact, the newest first, before the id `before`. @param only whose campaigns alone */
export function findItemsOfContact(
  em: EntityManager,
  contactId: string,
  { only, before, limit }: { only: OnlyOf; before: string | null; limit: number },
): Promise<ContactCampaignView[]> {
  return em.execute<ContactCampaignView[]>(
    `select ${COLUMNS}, c.id as "campaignId", c.name as "campaignName", c.status as "campaignStatus" ${FROM} and i.contact_id = ?::uuid
      and (?::uuid is null or i.id < ?::uuid) and (?::uuid is null or c.owner_id = ?::uuid) and (?::uuid is null or c.deal_owner_id = ?::uuid)
      order by i.id desc limit ${limit}`,
    [contactId, before, before, only.ownerId, only.ownerId, only.dealOwnerId, only.dealOwnerId],
  );
}

/** What contacts are called, by their ids. @param ownerId whose contacts alone */
export async function findNames(
  em: EntityManager,
  ids: readonly (string | null)[],
  ownerId: string | null,
): Promise<Map<string, string>> {
  const rows = await em.execute<{ id: string; name: string }[]>(
    `select p.id, p.name from contact p where p.workspace_id = current_workspace() and p.deleted_at is null
      and p.id in (select v::uuid from json_array_elements_text(?::json) v) and (?::uuid is null or p.owner_id = ?::uuid)`,
    [JSON.stringify(ids.filter((id) => id !== null)), ownerId, ownerId],
  );
  return new Map(rows.map(({ id, name }) => [id, name]));
}

export async function findItem(em: EntityManager, campaignId: string, itemId: string): Promise<ItemView | undefined> {
  const [row] = await em.execute<ItemView[]>(`${ITEM} and i.id = ?::uuid`, [campaignId, itemId]);
  return row;
}

export interface AttemptEntry {
  attemptId: string;
  fence: number;
  from: ItemView['status'];
  to: ItemView['status'];
  outcome: string | null;
  errorCode: string | null;
  /** Of a phone its user and what tells their sessions apart; the session itself is its own to know. */
  holder: string | null;
  at: string;
}

/** All that was done with an item, in its order. */
export const findAttempts = (em: EntityManager, itemId: string): Promise<AttemptEntry[]> =>
  em.execute<AttemptEntry[]>(
    `select i.attempt_id as "attemptId", i.fence, i.from_status as "from", i.to_status as "to", i.outcome, i.error_code as "errorCode",
        case when position('/' in i.holder) > 0 then split_part(i.holder, '/', 1) || '/' || left(encode(sha256(convert_to(i.holder, 'UTF8')), 'hex'), 8)
          else i.holder end as holder,
        ${at('at', 'at')}
      from campaign_item_attempt i where i.workspace_id = current_workspace() and i.item_id = ?::uuid order by i.id limit 200`,
    [itemId],
  );

export interface ReportRow {
  funnel: { reached: number; delivered: number; read: number; replied: number; optedOut: number };
  skipped: Record<string, number>;
  failed: Record<string, number>;
  variants: { variant: number; sent: number; replied: number }[];
}

/** What came of a campaign. */
export async function readReport(em: EntityManager, campaignId: string): Promise<ReportRow> {
  const [row] = await em.execute<[ReportRow]>(
    `with mine as materialized (select * from campaign_item where workspace_id = current_workspace() and campaign_id = ?::uuid)
      select (select json_build_object('reached', count(*) filter (where status in ('sent', 'delivered', 'read')),
          'delivered', count(*) filter (where status in ('delivered', 'read')), 'read', count(*) filter (where status = 'read'),
          'replied', count(*) filter (where replied_at is not null), 'optedOut', count(*) filter (where opted_out_at is not null)) from mine) as funnel,
        (select coalesce(json_object_agg(reason, n), '{}') from (select coalesce(skip_reason, 'other') as reason, count(*) as n from mine
          where status = 'skipped' group by 1) s) as skipped,
        (select coalesce(json_object_agg(code, n), '{}') from (select coalesce(error_code, 'other') as code, count(*) as n from mine
          where status = 'failed' group by 1 order by 2 desc limit 50) f) as failed,
        (select coalesce(json_agg(v order by v.variant), '[]') from (select variant, count(*) filter (where status in ('sent', 'delivered', 'read')) as sent,
          count(*) filter (where replied_at is not null) as replied from mine group by variant) v) as variants`,
    [campaignId],
  );
  return row;
}

/** How fast a campaign's channel may send, for the time that is left. */
export async function readPace(em: EntityManager, channelId: string, campaignId: string): Promise<Pace | undefined> {
  const [row] = await em.execute<Pace[]>(
    `with here as materialized (
        select h.*, now() at time zone h.time_zone as wall, date_trunc('day', now(), h.time_zone) as midnight,
          (now() at time zone h.time_zone)::date - coalesce(f.warm_up_from, (now() at time zone h.time_zone)::date) + 1 as day
        from channel h left join channel_flow f on f.workspace_id = h.workspace_id and f.channel_id = h.id
        where h.workspace_id = current_workspace() and h.id = ?::uuid),
      slots as materialized (
        select w.one->'days' as days, (w.one->>'from')::time as opens, (w.one->>'to')::time as closes from here h, jsonb_array_elements(h.pacing->'windows') w (one)),
      sends as materialized (
        select n.bucket, n.sends from channel_counter n join here h on n.workspace_id = h.workspace_id and n.channel_id = h.id
          where n.bucket >= least(h.midnight, now() - interval '10 minutes')),
      late as materialized (
        select coalesce(sum(s.sends), 0)::int as sent, greatest(min(s.bucket), max(coalesce(c.resumed_at, c.started_at))) as since
          from sends s, campaign c where c.workspace_id = current_workspace() and c.id = ?::uuid and s.bucket > now() - interval '10 minutes')
      select ((h.pacing->>'minDelayMs')::float + (h.pacing->>'maxDelayMs')::float) / 2
          + coalesce(((h.pacing->>'pauseMinMs')::float + (h.pacing->>'pauseMaxMs')::float) / 2 / (h.pacing->>'pauseEvery')::float, 0) as "meanDelayMs",
        (h.pacing->>'perHour')::int as "perHour", channel_per_day(h.pacing, h.day) as "perDay",
        (select coalesce(sum(s.sends) filter (where s.bucket >= h.midnight), 0)::int from sends s) as "sentToday",
        coalesce(greatest(0, extract(epoch from window_opens(h.pacing->'windows', h.time_zone, now()) - now())), 0)::float as "opensIn",
        (select case when count(*) = 0 then extract(epoch from h.midnight + interval '1 day' - now())
            else coalesce(sum(extract(epoch from w.closes - greatest(w.opens, h.wall::time))) filter (where w.closes > h.wall::time
              and w.days @> to_jsonb(extract(isodow from h.wall)::int)), 0) end from slots w)::float as "openToday",
        (select case when count(*) = 0 then 86400 else least(86400, sum(jsonb_array_length(w.days) * extract(epoch from w.closes - w.opens)) / 7) end
          from slots w)::float as "openPerDay",
        extract(epoch from h.midnight + interval '1 day' - now())::float as "restOfDay",
        (select count(*)::int from campaign c where c.workspace_id = h.workspace_id and c.channel_id = h.id and c.status = 'running') as campaigns,
        l.sent as recent, coalesce(extract(epoch from now() - l.since), 0)::float as "recentSeconds"
      from here h, late l`,
    [channelId, campaignId],
  );
  return row;
}
