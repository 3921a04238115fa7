import type { EntityManager } from '@mikro-orm/postgresql';
import type { EventData } from '#src/events/catalog.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { addActivities } from '#src/modules/activities/activity.query.ts';
import { addHistory } from '#src/modules/deals/deal.query.ts';
import type { DealView } from '#src/modules/deals/deals.schemas.ts';
import type { StageRow } from '#src/modules/pipelines/stages.query.ts';

type Plain = 'deal.created' | 'deal.won' | 'deal.lost' | 'deal.reopened' | 'deal.deleted';

const dealOf = ({ id, contactId, ownerId }: DealView) => ({ dealId: id, contactId, ownerId });

/** Tells of a deal, in the timelines too. */
export async function tell(
  em: EntityManager,
  type: Plain,
  deal: DealView,
  actorId: string,
  payload: object = {},
): Promise<void> {
  await note(em, type, deal, actorId, payload);
  await emitEvent(em, { type, data: dealOf(deal), subjectId: deal.contactId, actorId });
}

/** Tells that fields of a deal changed. @param changed their names */
export async function tellChanged(
  em: EntityManager,
  deal: DealView,
  actorId: string,
  changed: string[],
): Promise<void> {
  await note(em, 'deal.updated', deal, actorId, { changed });
  const data = { ...dealOf(deal), changed };
  await emitEvent(em, { type: 'deal.updated', data, subjectId: deal.contactId, actorId });
}

const ENDS = { open: 'deal.reopened', won: 'deal.won', lost: 'deal.lost' } as const;

/** Tells that a deal went to another stage; and where that is of another kind, that it was won or lost, or is open again. */
export async function tellMoved(
  em: EntityManager,
  deal: DealView,
  actorId: string,
  { from, to }: { from: StageRow; to: StageRow },
): Promise<void> {
  const reason = deal.lostReason;
  await addHistory(em, { dealId: deal.id, from, to, reason, actorId });
  const moved: EventData<'deal.moved'> = {
    ...dealOf(deal),
    pipelineId: deal.pipelineId,
    fromStageId: from.id,
    toStageId: to.id,
  };
  await emitEvent(em, { type: 'deal.moved', data: moved, subjectId: deal.contactId, actorId });
  const payload = { from: from.name, to: to.name, ...(reason === null ? {} : { reason }) };
  if (from.kind === to.kind) await note(em, 'deal.moved', deal, actorId, payload);
  else await tell(em, ENDS[to.kind], deal, actorId, payload);
}

const note = (em: EntityManager, type: string, deal: DealView, actorId: string, payload: object): Promise<unknown> =>
  addActivities(em, [{ type, contactId: deal.contactId, dealId: deal.id, actorId, payload }]);
