import type { EntityManager } from '@mikro-orm/postgresql';
import { badRequest, conflict, forbidden, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { etagOf, mustMatch } from '#src/http/etag.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { newId } from '#src/lib/ids.ts';
import {
  addHistory,
  binDeal,
  defaultPipeline,
  findDeal,
  findPipelines,
  insertDeal,
  lockDeal,
  readGround,
  updateDeal,
  type DealFields,
  type LockedDeal,
} from '#src/modules/deals/deal.query.ts';
import type { DealBody, DealPatch, DealView } from '#src/modules/deals/deals.schemas.ts';
import { keyAt } from '#src/modules/deals/place.query.ts';
import { tell, tellChanged } from '#src/modules/deals/tell.ts';
import { findStages, lockPipelines, type StageRow } from '#src/modules/pipelines/stages.query.ts';

export const invalid = (path: string, message: string) =>
  badRequest('validation_failed', `${path} ${message}.`, [{ path, code: 'custom', message }]);

/** Of a deal's version: places of others on the board may change without it. */
export const etagOfDeal = ({ id, version }: Pick<DealView, 'id' | 'version'>): string => etagOf([id, version]);

/** @throws AppError 404, also for a deal the caller may not see */
export async function readDeal(em: EntityManager, auth: Auth, id: string): Promise<DealView> {
  const deal = await findDeal(em, id, onlyOwner(auth, 'deals') ?? null);
  if (!deal) throw notFound('The deal');
  return deal;
}

/** A deal to be changed, and that it is alone. */
export interface Change {
  id: string;
  ifMatch: string | undefined;
  /** A stage it is to go to, whose pipeline is locked too. */
  stageId?: string;
  /** Whether it is one in the bin. */
  isDeleted?: boolean;
}

/**
 * Locks a deal with all the pipelines it is or comes to be in, always in one order.
 * @throws AppError 404, 412, 409 `deal_moved` where somebody took it to another pipeline meanwhile
 */
export async function takeDeal(
  em: EntityManager,
  auth: Auth,
  { id, ifMatch, stageId, isDeleted = false }: Change,
): Promise<{ deal: LockedDeal; pipelineId: string }> {
  const { ofDeal, ofStage } = await findPipelines(em, { dealId: id, stageId: stageId ?? null });
  if (ofDeal === null) throw notFound('The deal');
  const pipelineId = ofStage ?? ofDeal;
  await lockPipelines(em, [ofDeal, pipelineId]);
  const deal = await lockDeal(em, id);
  const owner = onlyOwner(auth, 'deals');
  if (!deal || deal.isDeleted !== isDeleted || (owner !== undefined && deal.ownerId !== owner))
    throw notFound('The deal');
  if (stageId !== undefined && ofStage === null) throw notFound('The stage');
  if (deal.pipelineId !== ofDeal) throw conflict('deal_moved', 'It was moved to another pipeline just now. Try again.');
  mustMatch(ifMatch, etagOfDeal(deal));
  return { deal, pipelineId };
}

/** @throws AppError 403, 404, 400 for people who are not there or not the caller's to name */
async function checkPeople(
  em: EntityManager,
  auth: Auth,
  { contactId, ownerId }: { contactId: string | undefined; ownerId: string | null | undefined },
): Promise<{ currency: string }> {
  const only = onlyOwner(auth, 'deals');
  if (only !== undefined && ownerId !== undefined && ownerId !== only)
    throw forbidden('You see your own deals alone: you cannot hand one to somebody else.');
  const ground = await readGround(em, {
    contactId: contactId ?? null,
    contactOwner: onlyOwner(auth, 'contacts') ?? null,
    ownerId: ownerId ?? null,
  });
  if (contactId !== undefined && !ground.hasContact) throw notFound('The contact');
  if (ownerId !== undefined && ownerId !== null && !ground.hasOwner)
    throw invalid('ownerId', 'must be a member of the workspace');
  return ground;
}

async function stageFor(
  em: EntityManager,
  { pipelineId, stageId }: DealBody,
): Promise<{ pipelineId: string; stage: StageRow }> {
  const ofStage = stageId === undefined ? null : (await findPipelines(em, { dealId: null, stageId })).ofStage;
  const id = pipelineId ?? ofStage ?? (stageId === undefined ? await defaultPipeline(em) : undefined);
  if (id === undefined) throw notFound('The stage');
  if (!(await lockPipelines(em, [id]))) throw notFound('The pipeline');
  const stages = await findStages(em, id);
  const stage = stages.find((one) => (stageId === undefined ? one.kind === 'open' : one.id === stageId));
  if (!stage) throw notFound('The stage');
  if (stage.kind !== 'open') throw invalid('stageId', 'must be an open stage');
  return { pipelineId: id, stage };
}

/** Makes a deal, at the end of its stage. @throws AppError 400, 403, 404 */
export async function addDeal(em: EntityManager, auth: Auth, body: DealBody): Promise<DealView> {
  const ownerId = body.ownerId === undefined ? auth.userId : body.ownerId;
  const { currency } = await checkPeople(em, auth, { contactId: body.contactId, ownerId });
  const { pipelineId, stage } = await stageFor(em, body);
  const id = newId();
  const deal = await insertDeal(em, {
    id,
    title: body.title,
    contactId: body.contactId,
    pipelineId,
    stageId: stage.id,
    ownerId,
    amountMinor: body.amountMinor ?? 0,
    currency: body.currency ?? currency,
    probability: body.probability ?? null,
    expectedCloseDate: body.expectedCloseDate ?? null,
    position: await keyAt(em, stage.id, id, undefined),
  });
  await addHistory(em, { dealId: id, from: null, to: stage, reason: null, actorId: auth.userId });
  await tell(em, 'deal.created', deal, auth.userId, { stage: stage.name });
  return deal;
}

const FIELDS = [
  'title',
  'contactId',
  'ownerId',
  'amountMinor',
  'currency',
  'probability',
  'expectedCloseDate',
] as const;

/** @returns the deal before and after. @throws AppError 400, 403, 404, 409, 412 */
export async function changeDeal(
  em: EntityManager,
  auth: Auth,
  change: Change,
  patch: DealPatch,
): Promise<{ before: DealView; after: DealView }> {
  const { deal } = await takeDeal(em, auth, change);
  const fields: DealFields = { ...deal, ...patch };
  const changed = FIELDS.filter((name) => fields[name] !== deal[name]);
  if (changed.length === 0) return { before: deal, after: deal };
  const isNew = (name: (typeof FIELDS)[number]): boolean => changed.includes(name);
  if (isNew('contactId') || isNew('ownerId'))
    await checkPeople(em, auth, {
      contactId: isNew('contactId') ? patch.contactId : undefined,
      ownerId: isNew('ownerId') ? patch.ownerId : undefined,
    });
  const after = await updateDeal(em, deal.id, fields);
  await tellChanged(em, after, auth.userId, changed);
  return { before: deal, after };
}

/** Puts a deal into the bin. @throws AppError 404, 409, 412 */
export async function removeDeal(em: EntityManager, auth: Auth, change: Change): Promise<DealView> {
  const { deal } = await takeDeal(em, auth, change);
  await binDeal(em, deal.id);
  await tell(em, 'deal.deleted', deal, auth.userId);
  return deal;
}
