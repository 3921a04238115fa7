import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { Period } from '#src/modules/analytics/analytics.query.ts';

/** What became of recipients; each of `sent`, `delivered` and `read` contains the ones behind it. */
export const COUNTED = {
  recipients: 'c.total',
  sent: 'n.sent + n.delivered + n.read',
  delivered: 'n.delivered + n.read',
  read: 'n.read',
  failed: 'n.failed',
  skipped: 'n.skipped',
  cancelled: 'n.cancelled',
  unknown: 'n.unknown',
} as const;
export type CampaignCounts = Record<keyof typeof COUNTED, number>;

export interface CampaignFigures {
  total: CampaignCounts & { campaigns: number };
  byChannel: (CampaignCounts & { channelId: string; campaigns: number })[];
  data: (CampaignCounts & { campaignId: string; channelId: string; status: string; startedAt: string })[];
}

const NAMES = Object.keys(COUNTED);
const NEWEST = 100;
const STATES = ['sent', 'delivered', 'read', 'failed', 'skipped', 'cancelled', 'unknown'];
const SUMS = `count(*)::int as campaigns, ${NAMES.map((name) => `coalesce(sum(${name}), 0)::float8 as ${name}`).join(', ')}`;

/** What came of the campaigns that began in a period. @param whose null: everybody's */
export async function readCampaigns(
  pool: Pool,
  workspaceId: string,
  { starts, ends }: Pick<Period, 'starts' | 'ends'>,
  whose: { createdBy: string | null; ownerId: string | null; dealOwnerId: string | null },
): Promise<CampaignFigures> {
  const { rows } = await queryAs<CampaignFigures>(
    pool,
    { workspaceId },
    {
      name: 'analytics-campaigns',
      text: `with mine as materialized (select c.id, c.channel_id, c.status, c.started_at,
            ${Object.entries(COUNTED)
              .map(([name, sql]) => `${sql} as ${name}`)
              .join(', ')}
          from campaign c cross join lateral (select ${STATES.map((name) => `coalesce(sum(k.${name}), 0) as ${name}`).join(', ')}
            from campaign_counter k where k.workspace_id = c.workspace_id and k.campaign_id = c.id) n
          where c.workspace_id = $1 and c.started_at >= $2 and c.started_at < $3 and ($4::uuid is null or c.created_by = $4)
            and ($5::uuid is null or c.owner_id = $5) and ($6::uuid is null or c.deal_owner_id = $6))
        select (select to_json(t) from (select ${SUMS} from mine) t) as total,
          (select coalesce(json_agg(t), '[]') from (select channel_id as "channelId", ${SUMS} from mine group by 1 order by 1) t) as "byChannel",
          (select coalesce(json_agg(t), '[]') from (select id as "campaignId", channel_id as "channelId", status,
            to_char(started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "startedAt", ${NAMES.join(', ')}
            from mine order by started_at desc, id desc limit ${NEWEST}) t) as data`,
      values: [workspaceId, starts, ends, whose.createdBy, whose.ownerId, whose.dealOwnerId],
    },
  );
  const [row] = rows;
  if (!row) throw new Error('A select of one row gave none');
  return row;
}
