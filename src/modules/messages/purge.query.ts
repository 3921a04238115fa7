import type { Pool } from 'pg';

const BATCH = 1000;

/**
 * Drops messages that are longer past than their workspace keeps them (`privacy.retentionDays`), as the system. Workspaces are gone through
 * by their oldest message, which is the beginning of a key.
 * @param byDefault days, for workspaces that chose nothing
 * @returns how many; call again while > 0
 */
export async function purgeMessages(systemPool: Pool, byDefault: number): Promise<number> {
  const { rowCount } = await systemPool.query({
    name: 'messages-purge',
    text: `with kept as materialized (select w.id as workspace_id,
          first_id_at(now() - coalesce((s.value::text)::int, $1) * interval '1 day') as since
        from workspace w left join workspace_setting s on s.workspace_id = w.id and s.key = 'privacy.retentionDays'),
      old as materialized (select m.workspace_id, m.id from kept k cross join lateral (
        select m.workspace_id, m.id from message m where m.workspace_id = k.workspace_id and m.id < k.since order by m.id limit ${BATCH}) m
        limit ${BATCH})
      delete from message m using old o where m.workspace_id = o.workspace_id and m.id = o.id`,
    values: [byDefault],
  });
  return rowCount ?? 0;
}

/** As `purgeMessages`: drops what was kept of campaigns' messages of which nobody knows that they arrived. */
export async function purgeUnsent(systemPool: Pool, byDefault: number): Promise<number> {
  const { rowCount } = await systemPool.query({
    name: 'messages-purge-unsent',
    text: `with old as materialized (
        select i.workspace_id, i.id from campaign_item i left join workspace_setting s on s.workspace_id = i.workspace_id and s.key = 'privacy.retentionDays'
          where i.rendered is not null and i.status in ('failed', 'unknown')
            and i.dispatch_started_at < now() - coalesce((s.value::text)::int, $1) * interval '1 day'
          limit ${BATCH} for update of i skip locked)
      update campaign_item i set rendered = null from old o where i.workspace_id = o.workspace_id and i.id = o.id`,
    values: [byDefault],
  });
  return rowCount ?? 0;
}
