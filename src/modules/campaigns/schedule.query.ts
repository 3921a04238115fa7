import type { Pool } from 'pg';
import { COUNTERS } from '#src/modules/campaigns/campaigns.query.ts';

/** As the system: campaigns whose time has come begin to be prepared; those it passed too long ago wait for somebody to decide. */
export async function startScheduled(systemPool: Pool): Promise<void> {
  await systemPool.query(`update campaign set version = version + 1, updated_at = now(),
      status = case when scheduled_at < now() - max_lateness_minutes * interval '1 minute' then 'missed' else 'preparing' end
    where status = 'scheduled' and scheduled_at <= now()`);
}

/** As the system: campaigns to be prepared, and channels that workers send for with something that may be sent now. */
export async function findToWake(systemPool: Pool, limit: number): Promise<{ workspaceId: string; jobId: string }[]> {
  const { rows } = await systemPool.query<{ workspaceId: string; jobId: string }>({
    name: 'campaigns-to-wake',
    text: `select c.workspace_id as "workspaceId", c.id as "jobId" from campaign c where c.status = 'preparing'
      union
      select c.workspace_id, c.channel_id from campaign c
        join channel h on h.workspace_id = c.workspace_id and h.id = c.channel_id and h.kind in ('webhook', 'cloud_api') and h.state = 'active'
        left join channel_flow f on f.workspace_id = c.workspace_id and f.channel_id = c.channel_id
        where c.status = 'running' and coalesce(greatest(f.not_before, f.blocked_until), '-infinity') <= now()
          and window_opens(c.windows, c.time_zone, now()) <= now()
          and exists (select from campaign_item i where i.workspace_id = c.workspace_id and i.campaign_id = c.id and i.status = 'pending'
            and i.next_attempt_at <= now())
      limit $1`,
    values: [limit],
  });
  return rows;
}

/** As the system: tells those who watch how far campaigns are, of those that got further. */
export async function tellProgress(systemPool: Pool): Promise<void> {
  await systemPool.query(`with seen as materialized (
      select c.workspace_id, c.id, ${COUNTERS}::text as counters from campaign c where c.status = 'running'
        or (c.status in ('paused', 'completed', 'completed_with_unknown', 'cancelled') and c.updated_at > now() - interval '10 seconds')),
    -- In the order in which all who lock several campaigns do.
    locked as materialized (
      select c.workspace_id, c.id, s.counters from campaign c join seen s on s.workspace_id = c.workspace_id and s.id = c.id
        where c.told <> hashtextextended(s.counters, 0) order by c.workspace_id, c.id for no key update of c),
    moved as (
      update campaign c set told = hashtextextended(s.counters, 0) from locked s where c.workspace_id = s.workspace_id and c.id = s.id returning c.workspace_id, c.id, s.counters)
    insert into outbox_event (id, workspace_id, type, subject_id, actor_id, data)
      select uuidv7(), m.workspace_id, 'campaign.progressed', null, null, json_build_object('campaignId', m.id, 'counters', m.counters::json) from moved m`);
}

/** As the system: forgets how much was sent when nothing depends on it any more. */
export async function purgeCounters(systemPool: Pool): Promise<void> {
  await systemPool.query(`delete from channel_counter where bucket < now() - interval '3 days'`);
}
