import type { EntityManager } from '@mikro-orm/postgresql';
import { newId } from '#src/lib/ids.ts';
import type { DealView } from '#src/modules/deals/deals.schemas.ts';
import type { StageRow } from '#src/modules/pipelines/stages.query.ts';

/** A moment as clients see it; milliseconds. */
export const moment = (column: string): string =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** SQL of a deal as clients see it. @param d the table's alias */
export const dealColumns = (
  d: string,
): string => `${d}.id, ${moment(`${d}.created_at`)} as "createdAt", ${moment(`${d}.updated_at`)} as "updatedAt",
  ${d}.version, ${d}.title, ${d}.contact_id as "contactId", ${d}.pipeline_id as "pipelineId", ${d}.stage_id as "stageId",
  ${d}.owner_id as "ownerId", ${d}.amount_minor::float8 as "amountMinor", ${d}.currency, ${d}.probability,
  ${d}.expected_close::text as "expectedCloseDate", ${d}.status, ${moment(`${d}.closed_at`)} as "closedAt", ${d}.lost_reason as "lostReason",
  ${d}.position`;

const HERE = 'd.workspace_id = current_workspace()';

/** A deal that is not deleted. @param ownerId whose it must be; null: anybody's */
export async function findDeal(em: EntityManager, id: string, ownerId: string | null): Promise<DealView | undefined> {
  const rows = await em.execute<DealView[]>(
    `select ${dealColumns('d')} from deal d where ${HERE} and d.id = ?::uuid and d.deleted_at is null
      and (?::uuid is null or d.owner_id = ?::uuid)`,
    [id, ownerId, ownerId],
  );
  return rows[0];
}

/** The pipelines of a deal, deleted or not, and of a stage; null where there is none. */
export async function findPipelines(
  em: EntityManager,
  { dealId, stageId }: { dealId: string | null; stageId: string | null },
): Promise<{ ofDeal: string | null; ofStage: string | null }> {
  const [row] = await em.execute<[{ ofDeal: string | null; ofStage: string | null }]>(
    `select (select pipeline_id from deal d where ${HERE} and d.id = ?::uuid) as "ofDeal",
      (select pipeline_id from pipeline_stage d where ${HERE} and d.id = ?::uuid) as "ofStage"`,
    [dealId, stageId],
  );
  return row;
}

/** Where deals go that do not say where. */
export async function defaultPipeline(em: EntityManager): Promise<string> {
  const [row] = await em.execute<[{ id: string }]>(
    'select id from pipeline d where d.workspace_id = current_workspace() and is_default',
  );
  return row.id;
}

/** A deal and whether it is deleted, locked until the transaction ends. */
export type LockedDeal = DealView & { isDeleted: boolean };

export async function lockDeal(em: EntityManager, id: string): Promise<LockedDeal | undefined> {
  const rows = await em.execute<LockedDeal[]>(
    `select ${dealColumns('d')}, d.deleted_at is not null as "isDeleted" from deal d where ${HERE} and d.id = ?::uuid for no key update`,
    [id],
  );
  return rows[0];
}

/** What a new or changed deal leans on: whether the contact and the owner are there, and the workspace's currency. Nobody merges the contact until the transaction ends. */
export async function readGround(
  em: EntityManager,
  {
    contactId,
    contactOwner,
    ownerId,
  }: { contactId: string | null; contactOwner: string | null; ownerId: string | null },
): Promise<{ hasContact: boolean; hasOwner: boolean; currency: string }> {
  const [row] = await em.execute<[{ hasContact: boolean; hasOwner: boolean; currency: string }]>(
    `select exists (select from contact c where c.workspace_id = current_workspace() and c.id = ?::uuid and c.deleted_at is null
        and (?::uuid is null or c.owner_id = ?::uuid) for key share) as "hasContact",
      exists (select from member m where m.workspace_id = current_workspace() and m.user_id = ?::uuid) as "hasOwner",
      (select currency from workspace w where w.id = current_workspace()) as currency`,
    [contactId, contactOwner, contactOwner, ownerId],
  );
  return row;
}

/** What is stored of a new deal, which is open. */
export interface NewDeal {
  id: string;
  title: string;
  contactId: string;
  pipelineId: string;
  stageId: string;
  ownerId: string | null;
  amountMinor: number;
  currency: string;
  probability: number | null;
  expectedCloseDate: string | null;
  position: string;
}

export async function insertDeal(em: EntityManager, deal: NewDeal): Promise<DealView> {
  const [row] = await em.execute<[DealView]>(
    `insert into deal as d (workspace_id, id, title, contact_id, pipeline_id, stage_id, owner_id, amount_minor, currency, probability,
        expected_close, status, position)
      values (current_workspace(), ?::uuid, ?, ?::uuid, ?::uuid, ?::uuid, ?::uuid, ?::bigint, ?, ?::int, ?::date, 'open', ?)
      returning ${dealColumns('d')}`,
    [
      deal.id,
      deal.title,
      deal.contactId,
      deal.pipelineId,
      deal.stageId,
      deal.ownerId,
      deal.amountMinor,
      deal.currency,
      deal.probability,
      deal.expectedCloseDate,
      deal.position,
    ],
  );
  return row;
}

/** What of a deal people change in place. */
export type DealFields = Pick<
  DealView,
  'title' | 'contactId' | 'ownerId' | 'amountMinor' | 'currency' | 'probability' | 'expectedCloseDate'
>;

export async function updateDeal(em: EntityManager, id: string, deal: DealFields): Promise<DealView> {
  const [row] = await em.execute<[DealView]>(
    `update deal d set title = ?, contact_id = ?::uuid, owner_id = ?::uuid, amount_minor = ?::bigint, currency = ?, probability = ?::int,
        expected_close = ?::date, version = d.version + 1, updated_at = now()
      where ${HERE} and d.id = ?::uuid returning ${dealColumns('d')}`,
    [
      deal.title,
      deal.contactId,
      deal.ownerId,
      deal.amountMinor,
      deal.currency,
      deal.probability,
      deal.expectedCloseDate,
      id,
    ],
  );
  return row;
}

/** Puts a deal at a place of a stage, whose kind becomes its status; since when it is won or lost stays while that stays. */
export async function placeDeal(
  em: EntityManager,
  id: string,
  place: { pipelineId: string; stage: Pick<StageRow, 'id' | 'kind'>; position: string; reason: string | null },
): Promise<DealView> {
  const { kind } = place.stage;
  const [row] = await em.execute<[DealView]>(
    `update deal d set pipeline_id = ?::uuid, stage_id = ?::uuid, position = ?, status = ?, lost_reason = ?, deleted_at = null,
        closed_at = case when ? = 'open' then null when d.status = ? then d.closed_at else now() end, version = d.version + 1,
        updated_at = now()
      where ${HERE} and d.id = ?::uuid returning ${dealColumns('d')}`,
    [place.pipelineId, place.stage.id, place.position, kind, place.reason, kind, kind, id],
  );
  return row;
}

/** Takes a deal off the board, into the bin. */
export async function binDeal(em: EntityManager, id: string): Promise<void> {
  await em.execute(
    `update deal d set deleted_at = now(), position = null, version = d.version + 1, updated_at = now() where ${HERE} and d.id = ?::uuid`,
    [id],
  );
}

export async function addHistory(
  em: EntityManager,
  move: { dealId: string; from: StageRow | null; to: StageRow; reason: string | null; actorId: string },
): Promise<void> {
  await em.execute(
    `insert into deal_stage_history (workspace_id, id, deal_id, from_stage_id, from_stage, to_stage_id, to_stage, status, reason, moved_by)
      values (current_workspace(), ?::uuid, ?::uuid, ?::uuid, ?, ?::uuid, ?, ?, ?, ?::uuid)`,
    [
      newId(),
      move.dealId,
      move.from?.id ?? null,
      move.from?.name ?? null,
      move.to.id,
      move.to.name,
      move.to.kind,
      move.reason,
      move.actorId,
    ],
  );
}

/** The last open stage a deal was in, as far as it is still there. */
export async function lastOpenStage(
  em: EntityManager,
  dealId: string,
  pipelineId: string,
): Promise<string | undefined> {
  const rows = await em.execute<{ id: string }[]>(
    `select s.id from deal_stage_history h join pipeline_stage s on s.workspace_id = h.workspace_id and s.id = h.to_stage_id
      where h.workspace_id = current_workspace() and h.deal_id = ?::uuid and s.pipeline_id = ?::uuid and s.kind = 'open'
      order by h.id desc limit 1`,
    [dealId, pipelineId],
  );
  return rows[0]?.id;
}
