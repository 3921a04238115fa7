import type { EntityManager } from '@mikro-orm/postgresql';
import { generateNKeysBetween } from 'fractional-indexing';
import { addActivities } from '#src/modules/activities/activity.query.ts';
import type { StageRow } from '#src/modules/pipelines/stages.query.ts';

/** Whether deals are in a stage, deleted ones too. */
export async function hasDeals(em: EntityManager, stageId: string): Promise<boolean> {
  const sql = 'select 1 from deal where workspace_id = current_workspace() and stage_id = ?::uuid limit 1';
  return (await em.execute<unknown[]>(sql, [stageId])).length > 0;
}

interface Moved {
  id: string;
  contact_id: string | null;
}

/**
 * Puts the deals of a stage at the end of another one of its pipeline, which is locked, and tells of each.
 * @returns how many; where they are more than `limit`, nothing is done
 */
export async function emptyStage(
  em: EntityManager,
  { from, to, actorId, limit }: { from: StageRow; to: StageRow; actorId: string; limit: number },
): Promise<number> {
  const of = 'workspace_id = current_workspace() and stage_id = ?::uuid';
  const deals = await em.execute<(Moved & { position: string | null })[]>(
    `select id, contact_id, position from deal where ${of} order by position limit ?`,
    [from.id, limit + 1],
  );
  if (deals.length === 0 || deals.length > limit) return deals.length;
  const [end] = await em.execute<{ last: string | null }[]>(`select max(position) as last from deal where ${of}`, [
    to.id,
  ]);
  const live = deals.filter(({ position }) => position !== null);
  const keys = generateNKeysBetween(end?.last, null, live.length);
  const places = deals.map(({ id }, at) => ({ id, position: keys[at] ?? null }));
  await em.execute(
    `update deal d set stage_id = ?::uuid, position = t.position, version = d.version + 1, updated_at = now()
      from json_to_recordset(?::json) as t (id uuid, position text) where d.workspace_id = current_workspace() and d.id = t.id`,
    [to.id, JSON.stringify(places)],
  );
  const ids = JSON.stringify(live.map(({ id }) => id));
  const chosen = `deal d join json_array_elements_text(?::json) t (id) on d.id = t.id::uuid where d.workspace_id = current_workspace()`;
  await em.execute(
    `insert into deal_stage_history (workspace_id, id, deal_id, from_stage_id, from_stage, to_stage_id, to_stage, status, moved_by)
      select d.workspace_id, uuidv7(), d.id, ?::uuid, ?, ?::uuid, ?, d.status, ?::uuid from ${chosen}`,
    [from.id, from.name, to.id, to.name, actorId, ids],
  );
  await em.execute(
    `insert into outbox_event (workspace_id, id, type, subject_id, actor_id, data)
      select d.workspace_id, uuidv7(), 'deal.moved', d.contact_id, ?::uuid, json_build_object('dealId', d.id, 'contactId', d.contact_id,
        'ownerId', d.owner_id, 'pipelineId', d.pipeline_id, 'fromStageId', ?::uuid, 'toStageId', d.stage_id) from ${chosen}`,
    [actorId, from.id, ids],
  );
  const payload = { from: from.name, to: to.name };
  await addActivities(
    em,
    live.map((deal) => ({ type: 'deal.moved', contactId: deal.contact_id, dealId: deal.id, actorId, payload })),
  );
  return deals.length;
}
