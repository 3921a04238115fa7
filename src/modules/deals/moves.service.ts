import type { EntityManager } from '@mikro-orm/postgresql';
import { conflict, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { lastOpenStage, placeDeal, type LockedDeal } from '#src/modules/deals/deal.query.ts';
import type { DealView, MoveBody } from '#src/modules/deals/deals.schemas.ts';
import { invalid, takeDeal, type Change } from '#src/modules/deals/deals.service.ts';
import { keyAt, type After } from '#src/modules/deals/place.query.ts';
import { tellChanged, tellMoved } from '#src/modules/deals/tell.ts';
import { findStages, type StageRow } from '#src/modules/pipelines/stages.query.ts';

async function stageIn(em: EntityManager, pipelineId: string, id: string): Promise<StageRow> {
  const stage = (await findStages(em, pipelineId)).find((one) => one.id === id);
  if (!stage) throw notFound('The stage');
  return stage;
}

/** Puts a locked deal at a place. All of it is one change: stage, place, history, timeline, events. */
async function place(
  em: EntityManager,
  auth: Auth,
  deal: LockedDeal,
  { pipelineId, to, after, reason }: { pipelineId: string; to: StageRow; after?: After; reason: string | null },
): Promise<DealView> {
  const from = to.id === deal.stageId ? to : await stageIn(em, deal.pipelineId, deal.stageId);
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
  const to = await stageIn(em, pipelineId, stageId);
  const why = to.kind === 'lost' ? (reason ?? deal.lostReason) : null;
  if (to.kind === 'lost' && why === null) throw invalid('reason', 'is required where deals are lost');
  return { before: deal, after: await place(em, auth, deal, { pipelineId, to, after: afterId, reason: why }) };
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
  const to = (await findStages(em, pipelineId)).find((one) => one.kind === kind);
  if (!to) throw conflict(`no_${kind}_stage`, `Its pipeline has no stage where deals are ${kind}. Add one first.`);
  return { before: deal, after: await place(em, auth, deal, { pipelineId, to, reason }) };
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
  const to = (await findStages(em, pipelineId)).find(({ id, kind }) => kind === 'open' && (last ?? id) === id);
  if (!to) throw notFound('The stage');
  return { before: deal, after: await place(em, auth, deal, { pipelineId, to, reason: null }) };
}

/** Takes a deal out of the bin, to the end of the stage it was in. @throws AppError 404, 409, 412 */
export async function restoreDeal(em: EntityManager, auth: Auth, change: Change): Promise<DealView> {
  const { deal, pipelineId } = await takeDeal(em, auth, { ...change, isDeleted: true });
  const to = await stageIn(em, pipelineId, deal.stageId);
  const restored = await place(em, auth, deal, { pipelineId, to, reason: deal.lostReason });
  await tellChanged(em, restored, auth.userId, ['deletedAt']);
  return restored;
}
