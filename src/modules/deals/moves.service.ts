import type { EntityManager } from '@mikro-orm/postgresql';
import { conflict, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { lastOpenStage, placeDeal, type LockedDeal } from '#src/modules/deals/deal.query.ts';
import type { DealView, MoveBody } from '#src/modules/deals/deals.schemas.ts';
import { invalid, takeDeal, type Change } from '#src/modules/deals/deals.service.ts';
import { keyAt, type After } from '#src/modules/deals/place.query.ts';
import { tellChanged, tellMoved } from '#src/modules/deals/tell.ts';
import { findStages, type StageRow } from '#src/modules/pipelines/stages.query.ts';

function pick(stages: readonly StageRow[], id: string): StageRow {
  const stage = stages.find((one) => one.id === id);
  if (!stage) throw notFound('The stage');
  return stage;
}

/** A place in a stage of a locked pipeline. */
interface Place {
  pipelineId: string;
  stages: readonly StageRow[];
  to: StageRow;
  after?: After;
  reason: string | null;
}

/** Puts a locked deal at a place. All of it is one change: stage, place, history, timeline, events. */
async function place(
  em: EntityManager,
  auth: Auth,
  deal: LockedDeal,
  { pipelineId, stages, to, after, reason }: Place,
): Promise<DealView> {
  const isSame = pipelineId === deal.pipelineId;
  const from = pick(isSame ? stages : await findStages(em, deal.pipelineId), deal.stageId);
  const position = await keyAt(em, to.id, deal.id, after);
  if (position === undefined) throw invalid('afterId', 'must be a deal of that stage');
  const placed = await placeDeal(em, deal.id, { pipelineId, stage: to, position, reason });
  if (from.id !== to.id) await tellMoved(em, placed, auth.userId, { from, to });
  return placed;
}

/** Moves a deal on the board. @throws AppError 400, 404, 409, 412 */
export async function moveDeal(
  em: EntityManager,
  auth: Auth,
  change: Omit<Change, 'stageId'>,
  { stageId, afterId, reason }: MoveBody,
): Promise<{ before: DealView; after: DealView }> {
  const { deal, pipelineId } = await takeDeal(em, auth, { ...change, stageId });
  const stages = await findStages(em, pipelineId);
  const to = pick(stages, stageId);
  const why = to.kind === 'lost' ? (reason ?? deal.lostReason) : null;
  if (to.kind === 'lost' && why === null) throw invalid('reason', 'is required where deals are lost');
  return { before: deal, after: await place(em, auth, deal, { pipelineId, stages, to, after: afterId, reason: why }) };
}

/** Wins or loses an open deal: it goes to the end of the first stage of that kind. @throws AppError 404, 409, 412 */
export async function closeDeal(
  em: EntityManager,
  auth: Auth,
  change: Change,
  { kind, reason }: { kind: 'won'; reason: null } | { kind: 'lost'; reason: string },
): Promise<{ before: DealView; after: DealView }> {
  const { deal, pipelineId } = await takeDeal(em, auth, change);
  if (deal.status !== 'open') throw conflict('deal_closed', `It is ${deal.status} already. Reopen it first.`);
  const stages = await findStages(em, pipelineId);
  const to = stages.find((one) => one.kind === kind);
  if (!to) throw conflict(`no_${kind}_stage`, `Its pipeline has no stage where deals are ${kind}. Add one first.`);
  return { before: deal, after: await place(em, auth, deal, { pipelineId, stages, to, reason }) };
}

/** Opens a deal again, at the end of the open stage it was in last, else of the first. @throws AppError 404, 409, 412 */
export async function reopenDeal(
  em: EntityManager,
  auth: Auth,
  change: Change,
): Promise<{ before: DealView; after: DealView }> {
  const { deal, pipelineId } = await takeDeal(em, auth, change);
  if (deal.status === 'open') throw conflict('deal_open', 'It is open already.');
  const last = await lastOpenStage(em, deal.id, pipelineId);
  const stages = await findStages(em, pipelineId);
  const to = stages.find(({ id, kind }) => kind === 'open' && (last ?? id) === id);
  if (!to) throw notFound('The stage');
  return { before: deal, after: await place(em, auth, deal, { pipelineId, stages, to, reason: null }) };
}

/** Takes a deal out of the bin, to the end of the stage it was in. @throws AppError 404, 409, 412 */
export async function restoreDeal(em: EntityManager, auth: Auth, change: Change): Promise<DealView> {
  const { deal, pipelineId } = await takeDeal(em, auth, { ...change, isDeleted: true });
  const stages = await findStages(em, pipelineId);
  const to = pick(stages, deal.stageId);
  const restored = await place(em, auth, deal, { pipelineId, stages, to, reason: deal.lostReason });
  await tellChanged(em, restored, auth.userId, ['deletedAt']);
  return restored;
}
