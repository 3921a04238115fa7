import type { EntityManager } from '@mikro-orm/postgresql';
import type { StageKind } from '#src/modules/pipelines/pipelines.schemas.ts';

export interface StageRow {
  id: string;
  name: string;
  kind: StageKind;
  probability: number;
  position: number;
}

const COLUMNS = 'id, name, kind, probability, position';
const OF_PIPELINE = 'workspace_id = current_workspace() and pipeline_id = ?::uuid';

/** SQL of a pipeline's stages in their order, as JSON, for the row a `pipeline` alias stands for. */
export const stagesOf = (
  pipeline: string,
): string => `(select coalesce(json_agg(json_build_object('id', s.id, 'name', s.name,
  'kind', s.kind, 'probability', s.probability, 'position', s.position) order by s.position), '[]') from pipeline_stage s
  where s.workspace_id = ${pipeline}.workspace_id and s.pipeline_id = ${pipeline}.id)`;

/**
 * Makes every other change of a pipeline's stages, and of the places of deals in them, wait until the transaction ends. What is read
 * behind it is as those left it. It is taken before anything else of the pipeline, so that nobody waits crosswise.
 * @returns whether there is such a pipeline
 */
export async function lockPipelines(em: EntityManager, ids: readonly string[]): Promise<boolean> {
  const unique = [...new Set(ids)];
  const rows = await em.execute<unknown[]>(
    `select id from pipeline where workspace_id = current_workspace() and id in (${unique.map(() => '?::uuid').join()})
      order by id for no key update`,
    unique,
  );
  return rows.length === unique.length;
}

/** @returns false where the workspace has `limit` pipelines already */
export async function insertPipeline(em: EntityManager, id: string, name: string, limit: number): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `insert into pipeline (workspace_id, id, name) select current_workspace(), ?::uuid, ?
      where (select count(*) from pipeline where workspace_id = current_workspace()) < ? returning id`,
    [id, name, limit],
  );
  return rows.length > 0;
}

/** In their order. */
export function findStages(em: EntityManager, pipelineId: string): Promise<StageRow[]> {
  return em.execute<StageRow[]>(`select ${COLUMNS} from pipeline_stage where ${OF_PIPELINE} order by position`, [
    pipelineId,
  ]);
}

/** Adds stages behind those that are there. */
export async function insertStages(
  em: EntityManager,
  pipelineId: string,
  stages: readonly Omit<StageRow, 'position'>[],
): Promise<void> {
  await em.execute(
    `insert into pipeline_stage (workspace_id, pipeline_id, id, name, kind, probability, position)
      select current_workspace(), ?::uuid, s.id, s.name, s.kind, s.probability, s.at + coalesce((select max(position) from pipeline_stage
        where ${OF_PIPELINE}), 0)
      from rows from (json_to_recordset(?::json) as (id uuid, name text, kind text, probability int)) with ordinality
        as s (id, name, kind, probability, at)`,
    [pipelineId, pipelineId, JSON.stringify(stages)],
  );
}

/** The stages a pipeline has when nobody says which. */
export async function insertDefaultStages(em: EntityManager, pipelineId: string): Promise<void> {
  await em.execute('select pipeline_default_stages(current_workspace(), ?::uuid)', [pipelineId]);
}

export async function updateStage(
  em: EntityManager,
  pipelineId: string,
  { id, name, probability }: Pick<StageRow, 'id' | 'name' | 'probability'>,
): Promise<void> {
  await em.execute(
    `update pipeline_stage set name = ?, probability = ?, updated_at = now() where ${OF_PIPELINE} and id = ?::uuid`,
    [name, probability, pipelineId, id],
  );
}

/** Gives the stages of a pipeline the order of `ids`, which are all of them. */
export async function orderStages(em: EntityManager, pipelineId: string, ids: readonly string[]): Promise<void> {
  await em.execute(
    `update pipeline_stage s set position = t.at, updated_at = now()
      from json_array_elements_text(?::json) with ordinality t (id, at)
      where s.workspace_id = current_workspace() and s.pipeline_id = ?::uuid and s.id = t.id::uuid and s.position <> t.at`,
    [JSON.stringify(ids), pipelineId],
  );
}

export async function deleteStage(em: EntityManager, pipelineId: string, id: string): Promise<void> {
  await em.execute(`delete from pipeline_stage where ${OF_PIPELINE} and id = ?::uuid`, [pipelineId, id]);
}

/** Makes a pipeline the one that deals go to when nobody says which. The workspace's pipelines have to be locked. */
export async function makeDefault(em: EntityManager, id: string): Promise<void> {
  // Two statements: the index that allows but one is checked row by row.
  for (const [is, sign] of [
    [false, '<>'],
    [true, '='],
  ] as const)
    await em.execute(
      `update pipeline set is_default = ?, updated_at = now()
        where workspace_id = current_workspace() and id ${sign} ?::uuid and is_default <> ?`,
      [is, id, is],
    );
}

/** Locks every pipeline of the workspace. */
export async function lockAllPipelines(em: EntityManager): Promise<void> {
  await em.execute('select id from pipeline where workspace_id = current_workspace() order by id for no key update');
}

/** Deletes for good the deals of a pipeline that are in the bin. @returns whether it has no others */
export async function emptyPipeline(em: EntityManager, pipelineId: string): Promise<boolean> {
  const live = await em.execute<unknown[]>(`select 1 from deal where ${OF_PIPELINE} and deleted_at is null limit 1`, [
    pipelineId,
  ]);
  if (live.length > 0) return false;
  await em.execute(`delete from deal where ${OF_PIPELINE}`, [pipelineId]);
  return true;
}
