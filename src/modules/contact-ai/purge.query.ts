import type { Pool } from 'pg';

const BATCH = 1000;

/**
 * Drops scores that are longer past than their workspace keeps what was said (`privacy.retentionDays`), as the system; never the last one of a
 * contact.
 * @param byDefault days, for workspaces that chose nothing
 * @returns how many; call again while > 0
 */
export async function purgeScores(systemPool: Pool, byDefault: number): Promise<number> {
  const { rowCount } = await systemPool.query({
    name: 'lead-scores-purge',
    text: `with kept as materialized (select w.id as workspace_id,
          first_id_at(now() - coalesce((s.value::text)::int, $1) * interval '1 day') as since
        from workspace w left join workspace_setting s on s.workspace_id = w.id and s.key = 'privacy.retentionDays'),
      old as materialized (select l.workspace_id, l.id from kept k cross join lateral (
        select l.workspace_id, l.id from lead_score l where l.workspace_id = k.workspace_id and l.is_superseded and l.id < k.since
          and exists (select from lead_score n where n.workspace_id = l.workspace_id and n.contact_id = l.contact_id and n.id > l.id)
          order by l.id limit ${BATCH}) l
        limit ${BATCH})
      delete from lead_score l using old o where l.workspace_id = o.workspace_id and l.id = o.id`,
    values: [byDefault],
  });
  return rowCount ?? 0;
}
