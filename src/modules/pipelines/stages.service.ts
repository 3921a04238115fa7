import type { EntityManager } from '@mikro-orm/postgresql';
import type { z } from 'zod';
import { badRequest, conflict, notFound } from '#src/errors.ts';
import { newId } from '#src/lib/ids.ts';
import { emptyStage, hasDeals } from '#src/modules/pipelines/empty-stage.query.ts';
import { MAX_STAGES, type StageBody, type StagePatch } from '#src/modules/pipelines/pipelines.schemas.ts';
import {
  deleteStage,
  findStages,
  insertStages,
  lockPipelines,
  orderStages,
  updateStage,
  type StageRow,
} from '#src/modules/pipelines/stages.query.ts';

/** Deals that a stage which goes away can hand on within one request. */
export const MAX_MOVED = 5000;

const PROBABILITIES = { open: 50, won: 100, lost: 0 } as const;

/** A stage as it is stored; without a probability of its own it has its kind's. */
export const stageOf = ({ name, kind, probability }: StageBody): Omit<StageRow, 'position'> => ({
  id: newId(),
  name,
  kind,
  probability: probability ?? PROBABILITIES[kind],
});

const wrong = (path: string, message: string) =>
  badRequest('validation_failed', `${path} ${message}.`, [{ path, code: 'custom', message }]);

async function lockStages(em: EntityManager, pipelineId: string): Promise<StageRow[]> {
  if (!(await lockPipelines(em, [pipelineId]))) throw notFound('The pipeline');
  return findStages(em, pipelineId);
}

function pick(stages: readonly StageRow[], id: string): StageRow {
  const stage = stages.find((one) => one.id === id);
  if (!stage) throw notFound('The stage');
  return stage;
}

/** Adds a stage behind the others. @throws AppError 404, 409 `too_many_stages` */
export async function addStage(em: EntityManager, pipelineId: string, body: StageBody): Promise<StageRow> {
  const stages = await lockStages(em, pipelineId);
  if (stages.length >= MAX_STAGES)
    throw conflict('too_many_stages', `A pipeline has no more than ${MAX_STAGES} stages.`);
  const stage = stageOf(body);
  await insertStages(em, pipelineId, [stage]);
  return { ...stage, position: (stages.at(-1)?.position ?? 0) + 1 };
}

/** @throws AppError 404, 400 for a probability of a stage that deals end in */
export async function changeStage(
  em: EntityManager,
  pipelineId: string,
  id: string,
  patch: z.output<typeof StagePatch>,
): Promise<{ before: StageRow; after: StageRow }> {
  const before = pick(await lockStages(em, pipelineId), id);
  const after = { ...before, name: patch.name ?? before.name, probability: patch.probability ?? before.probability };
  if (before.kind !== 'open' && after.probability !== before.probability)
    throw wrong('probability', 'is fixed where deals are won or lost');
  await updateStage(em, pipelineId, after);
  return { before, after };
}

/** @param ids of all its stages, in their new order. @throws AppError 404, 400 where they are others */
export async function reorderStages(
  em: EntityManager,
  pipelineId: string,
  ids: readonly string[],
): Promise<{ before: string[]; stages: StageRow[] }> {
  const before = (await lockStages(em, pipelineId)).map(({ id }) => id);
  const isSame =
    ids.length === before.length && new Set(ids).size === ids.length && ids.every((id) => before.includes(id));
  if (!isSame) throw wrong('stageIds', 'must name every stage of the pipeline once');
  await orderStages(em, pipelineId, ids);
  return { before, stages: await findStages(em, pipelineId) };
}

/**
 * Deletes a stage. Its deals go to the end of the target, in their order.
 * @returns the stage, and how many deals went
 * @throws AppError 404; 409 for the last open stage, for deals without a target, and for more of them than `MAX_MOVED`; 400 for a target
 * of another kind
 */
export async function removeStage(
  em: EntityManager,
  {
    pipelineId,
    id,
    targetId,
    actorId,
  }: { pipelineId: string; id: string; targetId: string | undefined; actorId: string },
): Promise<{ before: StageRow; moved: number }> {
  const stages = await lockStages(em, pipelineId);
  const before = pick(stages, id);
  if (before.kind === 'open' && stages.filter(({ kind }) => kind === 'open').length === 1)
    throw conflict('last_open_stage', 'A pipeline needs an open stage.');
  const target = targetId === undefined ? undefined : pick(stages, targetId);
  if (target?.id === id) throw wrong('query.targetStageId', 'must be another stage');
  if (target && target.kind !== before.kind)
    throw wrong('query.targetStageId', `must be a stage of the kind ${before.kind}`);
  if (!target && (await hasDeals(em, id)))
    throw conflict('stage_not_empty', 'There are deals in it, maybe deleted ones. Name the stage they go to.');
  const moved = target ? await emptyStage(em, { from: before, to: target, actorId, limit: MAX_MOVED }) : 0;
  if (moved > MAX_MOVED)
    throw conflict('stage_too_large', `It has more than ${MAX_MOVED} deals. Move some of them to other stages first.`);
  await deleteStage(em, pipelineId, id);
  return { before, moved };
}
