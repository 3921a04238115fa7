import type { EntityManager } from '@mikro-orm/postgresql';
import type { OnlyOf } from '#src/modules/campaigns/audience.query.ts';
import type {
  CampaignAi,
  CampaignStatus,
  CampaignView,
  OnUnknown,
  People,
  VariantView,
} from '#src/modules/campaigns/campaigns.schemas.ts';

export interface CampaignRow {
  id: string;
  name: string;
  channel_id: string;
  variants: VariantView[];
  holdout_percent: number;
  people: People;
  owner_id: string | null;
  deal_owner_id: string | null;
  status: CampaignStatus;
  pause_reason: string | null;
  wait_reason: string | null;
  scheduled_at: string | null;
  max_lateness_minutes: number;
  time_zone: string;
  windows: CampaignView['windows'];
  on_unknown: OnUnknown;
  ai: CampaignAi | null;
  ai_spent_usd: number;
  start_key: string | null;
  total: number;
  counters: Record<string, number>;
  excluded: Record<string, number>;
  started_at: string | null;
  finished_at: string | null;
  created_by: string | null;
  version: number;
  created_at: string;
  updated_at: string;
}

const at = (column: string) => `to_char(c.${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ${column}`;
const COUNTED = [
  'pending',
  'claimed',
  'dispatching',
  'sent',
  'delivered',
  'read',
  'failed',
  'skipped',
  'cancelled',
  'unknown',
];
/** Kept in a few rows each, which are summed. */
export const COUNTERS = `(select json_build_object(${COUNTED.map((name) => `'${name}', coalesce(sum(n.${name}), 0)`).join(', ')})
  from campaign_counter n where n.workspace_id = c.workspace_id and n.campaign_id = c.id)`;
const SELECT = `select c.id, c.name, c.channel_id, c.variants, c.holdout_percent, c.audience as people, c.owner_id, c.deal_owner_id, c.status, c.pause_reason,
    case when c.status = 'running' then (select f.block_reason from channel_flow f where f.workspace_id = c.workspace_id
      and f.channel_id = c.channel_id and f.blocked_until > now()) end as wait_reason,
    c.max_lateness_minutes, c.time_zone, c.windows, c.on_unknown, c.ai, c.ai_spent_nano::float8 / 1e9 as ai_spent_usd, c.start_key, c.total, ${COUNTERS} as counters, c.excluded, c.created_by, c.version,
    ${['scheduled_at', 'started_at', 'finished_at', 'created_at', 'updated_at'].map(at).join(', ')}
  from campaign c where c.workspace_id = current_workspace()`;

export async function findCampaign(em: EntityManager, id: string, lock = false): Promise<CampaignRow | undefined> {
  const [row] = await em.execute<CampaignRow[]>(`${SELECT} and c.id = ?::uuid${lock ? ' for no key update' : ''}`, [
    id,
  ]);
  return row;
}

/** The newest first, before the id `before`. */
export function findCampaigns(
  em: EntityManager,
  { status, before, limit }: { status: CampaignStatus | null; before: string | null; limit: number },
): Promise<CampaignRow[]> {
  return em.execute<CampaignRow[]>(
    `${SELECT} and (?::text is null or c.status = ?::text) and (?::uuid is null or c.id < ?::uuid) order by c.id desc limit ?`,
    [status, status, before, before, limit],
  );
}

export interface NewCampaign {
  id: string;
  name: string;
  channelId: string;
  variants: readonly VariantView[];
  holdoutPercent: number;
  people: People;
  only: OnlyOf;
  scheduledAt: string | null;
  maxLatenessMinutes: number;
  timeZone: string | null;
  windows: CampaignView['windows'];
  onUnknown: OnUnknown;
  ai: CampaignAi | null;
  createdBy: string;
}

export async function insertCampaign(em: EntityManager, row: NewCampaign): Promise<void> {
  await em.execute(
    `insert into campaign (workspace_id, id, name, channel_id, variants, holdout_percent, audience, owner_id, deal_owner_id, scheduled_at, max_lateness_minutes,
        time_zone, windows, on_unknown, ai, created_by)
      select w.id, ?::uuid, ?::text, ?::uuid, ?::jsonb, ?::int, ?::jsonb, ?::uuid, ?::uuid, ?::timestamptz, ?::int, coalesce(?::text, w.time_zone), ?::jsonb, ?::text, ?::jsonb, ?::uuid
      from workspace w where w.id = current_workspace()`,
    [
      row.id,
      row.name,
      row.channelId,
      JSON.stringify(row.variants),
      row.holdoutPercent,
      JSON.stringify(row.people),
      row.only.ownerId,
      row.only.dealOwnerId,
      row.scheduledAt,
      row.maxLatenessMinutes,
      row.timeZone,
      JSON.stringify(row.windows),
      row.onUnknown,
      row.ai && JSON.stringify(row.ai),
      row.createdBy,
    ],
  );
}

/** Rewrites a campaign that has not begun; one that has no time any more waits for none. @returns whether it had not */
export async function updateDraft(
  em: EntityManager,
  id: string,
  row: Omit<NewCampaign, 'id' | 'only' | 'createdBy' | 'timeZone'> & { timeZone: string },
): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `update campaign set name = ?, channel_id = ?::uuid, variants = ?::jsonb, holdout_percent = ?, audience = ?::jsonb, scheduled_at = ?::timestamptz,
        status = case when status = 'scheduled' and ?::timestamptz is null then 'draft' else status end,
        max_lateness_minutes = ?, time_zone = ?, windows = ?::jsonb, on_unknown = ?, ai = ?::jsonb, version = version + 1, updated_at = now()
      where workspace_id = current_workspace() and id = ?::uuid and status in ('draft', 'scheduled', 'missed') returning id`,
    [
      row.name,
      row.channelId,
      JSON.stringify(row.variants),
      row.holdoutPercent,
      JSON.stringify(row.people),
      row.scheduledAt,
      row.scheduledAt,
      row.maxLatenessMinutes,
      row.timeZone,
      JSON.stringify(row.windows),
      row.onUnknown,
      row.ai && JSON.stringify(row.ai),
      id,
    ],
  );
  return rows.length > 0;
}

export async function deleteDraft(em: EntityManager, id: string): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `delete from campaign where workspace_id = current_workspace() and id = ?::uuid and status in ('draft', 'scheduled', 'missed') returning id`,
    [id],
  );
  return rows.length > 0;
}

/** What takes a campaign from one status to another. Whoever comes second finds it no longer there. */
const MOVES = {
  schedule: { from: ['draft', 'scheduled', 'missed'], set: `status = 'scheduled'` },
  start: { from: ['draft', 'scheduled', 'missed'], set: `status = 'preparing'` },
  pause: { from: ['running'], set: `status = 'paused', pause_reason = 'by_hand'` },
  resume: { from: ['paused'], set: `status = 'running', pause_reason = null, resumed_at = clock_timestamp()` },
  cancel: {
    from: ['draft', 'scheduled', 'missed', 'preparing', 'running', 'paused'],
    set: `status = 'cancelled', pause_reason = null, finished_at = now()`,
  },
  reopen: {
    from: ['running', 'paused', 'completed', 'completed_with_unknown'],
    set: `status = case when status = 'paused' then status else 'running' end, finished_at = null,
      resumed_at = case when status in ('running', 'paused') then resumed_at else clock_timestamp() end`,
  },
} as const;
/** How many campaigns of the transaction's workspace run, or will by themselves. */
export async function countOpen(em: EntityManager): Promise<number> {
  const [row] = await em.execute<{ n: number }[]>(
    `select count(*)::int as n from campaign where workspace_id = current_workspace()
      and status in ('scheduled', 'preparing', 'running')`,
  );
  return row?.n ?? 0;
}

export type Move = keyof typeof MOVES;

/** @returns whether it was where it can be moved from */
export async function moveCampaign(em: EntityManager, id: string, move: Move): Promise<boolean> {
  const { from, set } = MOVES[move];
  const rows = await em.execute<unknown[]>(
    `update campaign set ${set}, version = version + 1, updated_at = now() where workspace_id = current_workspace() and id = ?::uuid
      and status in (${from.map((status) => `'${status}'`).join(', ')}) returning id`,
    [id],
  );
  return rows.length > 0;
}

/** Notes who asked for a start, and by which key: a second with the key is answered as the first was. */
export async function noteStart(em: EntityManager, id: string, startKey: string, userId: string): Promise<void> {
  await em.execute(
    `update campaign set start_key = ?, started_by = ?::uuid where workspace_id = current_workspace() and id = ?::uuid`,
    [startKey, userId, id],
  );
}

/** Nothing more of it is sent: what is claimed cannot be begun any more, what was begun may still end. */
export async function cancelItems(em: EntityManager, id: string): Promise<void> {
  await em.execute(
    `update campaign_item set status = 'cancelled', lease_expires_at = null, updated_at = now()
      where workspace_id = current_workspace() and campaign_id = ?::uuid and status in ('pending', 'claimed')`,
    [id],
  );
}

/** Puts back what failed without an effect. @returns how many */
export async function retryFailed(em: EntityManager, id: string): Promise<number> {
  const [row] = await em.execute<[{ n: number }]>(
    `with back as (update campaign_item set status = 'pending', attempt_no = 0, next_attempt_at = now(), updated_at = now()
      where workspace_id = current_workspace() and campaign_id = ?::uuid and status = 'failed' and sent_at is null
        and outcome in ('infra', 'recipient') returning 1)
      select count(*)::int as n from back`,
    [id],
  );
  return row.n;
}

/** Says how unknown items of a campaign ended, of all or of one. @returns how many were unknown */
export async function resolveItems(
  em: EntityManager,
  key: { campaignId: string; itemId: string | null },
  as: 'sent' | 'failed' | 'resend',
): Promise<number> {
  const rows = await em.execute<unknown[]>(
    `update campaign_item set status = ?, outcome = 'resolved', updated_at = now(), next_attempt_at = now(),
        attempt_no = case when ?::boolean then 0 else attempt_no end, sent_at = case when ?::boolean then coalesce(sent_at, now()) else sent_at end
      where workspace_id = current_workspace() and campaign_id = ?::uuid and (?::uuid is null or id = ?::uuid) and status = 'unknown' returning id`,
    [as === 'resend' ? 'pending' : as, as === 'resend', as === 'sent', key.campaignId, key.itemId, key.itemId],
  );
  return rows.length;
}

/** Has a campaign end, where nothing is left of it. */
export async function settleCampaign(em: EntityManager, id: string): Promise<void> {
  await em.execute('select campaign_settle(current_workspace(), ?::uuid)', [id]);
}

/** Ends the choosing of recipients; in the transaction that wrote them. */
export async function beginRunning(
  em: EntityManager,
  id: string,
  { total, excluded }: { total: number; excluded: object },
): Promise<void> {
  await em.execute(
    `update campaign set status = 'running', total = ?, excluded = ?::jsonb, started_at = clock_timestamp(), updated_at = now(), version = version + 1
      where workspace_id = current_workspace() and id = ?::uuid and status = 'preparing'`,
    [total, JSON.stringify(excluded), id],
  );
}

export async function failPreparing(em: EntityManager, id: string, reason: string): Promise<void> {
  await em.execute(
    `update campaign set status = 'failed', pause_reason = ?, finished_at = now(), updated_at = now(), version = version + 1
      where workspace_id = current_workspace() and id = ?::uuid and status = 'preparing'`,
    [reason, id],
  );
}
