import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, conflict, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { etagOf, mustMatch } from '#src/http/etag.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { newId } from '#src/lib/ids.ts';
import { appendAudit } from '#src/modules/audit/audit.ts';
import { pinPeople, previewAudience } from '#src/modules/campaigns/audience.query.ts';
import { mustChoose, onlyOf, type By } from '#src/modules/campaigns/by.ts';
import {
  deleteDraft,
  findCampaign,
  findCampaigns,
  insertCampaign,
  updateDraft,
  type CampaignRow,
} from '#src/modules/campaigns/campaigns.query.ts';
import {
  Counters,
  type CampaignBody,
  type CampaignPatch,
  type CampaignStatus,
  type CampaignView,
  type PreviewBody,
  type VariantView,
} from '#src/modules/campaigns/campaigns.schemas.ts';
import { pinContent } from '#src/modules/campaigns/content.ts';
import { checkWindows } from '#src/modules/campaigns/windows.ts';
import { mustHaveFeature } from '#src/modules/billing/room.ts';
import { findChannel } from '#src/modules/channels/channels.query.ts';
import { suppressionPads } from '#src/modules/privacy/suppression.ts';
import type { Runtime } from '#src/runtime.ts';

type Needs = Pick<Runtime, 'orm' | 'config'>;

export const countersOf = ({ total, counters }: Pick<CampaignRow, 'total' | 'counters'>) =>
  Counters.parse({ ...counters, total });

export const viewOf = (row: CampaignRow): CampaignView => ({
  id: row.id,
  name: row.name,
  channelId: row.channel_id,
  variants: row.variants,
  holdoutPercent: row.holdout_percent,
  audience: row.people.audience,
  exclude: row.people.exclude,
  requireConsent: row.people.requireConsent,
  status: row.status,
  pauseReason: row.pause_reason,
  waitReason: row.wait_reason,
  scheduledAt: row.scheduled_at,
  maxLatenessMinutes: row.max_lateness_minutes,
  timeZone: row.time_zone,
  windows: row.windows,
  onUnknown: row.on_unknown,
  ai: row.ai && { ...row.ai, spentUsd: row.ai_spent_usd },
  counters: countersOf(row),
  excluded: row.excluded,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  createdBy: row.created_by,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

/** Counters move by themselves: they are no change somebody else made. */
export const tagOf = ({ id, version }: CampaignRow): string => etagOf([id, version]);

export async function mustFindCampaign(em: EntityManager, id: string, lock = false): Promise<CampaignRow> {
  const row = await findCampaign(em, id, lock);
  if (!row) throw notFound('The campaign');
  return row;
}

/** A campaign that the caller may see. @throws AppError 404 */
export async function mustSeeCampaign(em: EntityManager, auth: Auth, id: string, lock = false): Promise<CampaignRow> {
  const row = await mustFindCampaign(em, id, lock);
  mustBeOwn(auth, row);
  return row;
}

/** The refusal of what a campaign's status does not allow. */
export const wrongStatus = ({ status }: Pick<CampaignRow, 'status'>, verb: string) =>
  conflict('campaign_status', `A campaign that is ${status} cannot be ${verb}.`);

async function checkChannel(em: EntityManager, channelId: string, variants: readonly VariantView[]) {
  const channel = await findChannel(em, channelId);
  const isFit = channel?.kind === 'cloud_api' || variants.every(({ cloudTemplate }) => !cloudTemplate);
  if (channel && isFit) return channel;
  const message = channel ? 'is no number of the Cloud API, which cloudTemplate is for' : 'there is no such channel';
  const code = channel ? 'wrong_kind' : 'not_found';
  throw badRequest('validation_failed', `channelId: ${message}`, [{ path: 'channelId', code, message }]);
}

/** What Meta has approved goes as it is: texts of single recipients would be paid for and never sent. */
function checkAi(ai: unknown, variants: readonly VariantView[]): void {
  if (!ai || variants.every(({ cloudTemplate }) => !cloudTemplate)) return;
  const message = 'writes no texts of a template that Meta has approved';
  throw badRequest('validation_failed', `ai: ${message}`, [{ path: 'ai', code: 'wrong_kind', message }]);
}

/** A member who sees only their own contacts sees and moves nothing that goes to others'. @throws AppError 404 */
function mustBeOwn(auth: Auth, row: CampaignRow): void {
  const { ownerId, dealOwnerId } = onlyOf(auth);
  const isOthers = ownerId !== null && row.owner_id !== ownerId;
  if (isOthers || (dealOwnerId !== null && row.deal_owner_id !== dealOwnerId)) throw notFound('The campaign');
}

/** Not its name, in which a person may stand: what is in the log is never changed. */
const noted = (row: CampaignRow) => ({
  status: row.status,
  channelId: row.channel_id,
  onUnknown: row.on_unknown,
});
/** Writes what was done to a campaign into the log, without its name. */
export const audited = (em: EntityManager, { actor }: By, verb: string, row: CampaignRow, more: object = {}) =>
  appendAudit(em, actor, {
    action: `campaign.${verb}`,
    target: { type: 'campaign', id: row.id },
    after: { ...noted(row), ...more },
  });

/** @throws AppError 400 for a time that is past: it would be missed at once */
export function checkTime(scheduledAt: string | null | undefined): void {
  if (!scheduledAt || new Date(scheduledAt).getTime() > Date.now()) return;
  const message = 'must be in the future';
  throw badRequest('validation_failed', `scheduledAt: ${message}`, [
    { path: 'scheduledAt', code: 'too_early', message },
  ]);
}

/** Makes a draft. A member who sees only their own contacts makes campaigns for those alone. @throws AppError 400 */
export function createCampaign({ orm }: Needs, by: By, body: CampaignBody): Promise<CampaignRow> {
  const { auth } = by;
  return inWorkspaceTx(orm, auth, async (em) => {
    await mustHaveFeature(em, 'campaigns');
    await mustChoose(em, auth, body);
    const variants = await pinContent(em, body);
    await checkChannel(em, body.channelId, variants);
    checkAi(body.ai, variants);
    checkTime(body.scheduledAt);
    const id = newId();
    await insertCampaign(em, {
      id,
      name: body.name,
      channelId: body.channelId,
      variants,
      holdoutPercent: body.holdoutPercent,
      people: await pinPeople(em, body, onlyOf(auth)),
      only: onlyOf(auth),
      scheduledAt: body.scheduledAt ?? null,
      maxLatenessMinutes: body.maxLatenessMinutes,
      timeZone: body.timeZone ?? null,
      windows: body.windows,
      onUnknown: body.onUnknown,
      ai: body.ai ?? null,
      createdBy: auth.userId,
    });
    const row = await mustFindCampaign(em, id);
    await audited(em, by, 'created', row);
    return row;
  });
}

export async function listCampaigns(
  { orm }: Needs,
  auth: Auth,
  { limit, cursor, status }: { limit: number; cursor?: string | undefined; status?: CampaignStatus | undefined },
) {
  const before = cursor === undefined ? null : decodeCursor(cursor, z.tuple([z.uuid()]))[0];
  const asked = { status: status ?? null, before, limit: limit + 1, only: onlyOf(auth) };
  const rows = await inWorkspaceTx(orm, auth, (em) => findCampaigns(em, asked));
  return toPage(rows, limit, (row) => [row.id], viewOf);
}

/** @throws AppError 404 */
export const readCampaign = ({ orm }: Needs, auth: Auth, id: string): Promise<CampaignRow> =>
  inWorkspaceTx(orm, auth, (em) => mustSeeCampaign(em, auth, id));

/** Changes a campaign that has not begun. @throws AppError 400, 404, 409, 412 */
export function changeCampaign(
  { orm }: Needs,
  by: By,
  id: string,
  patch: CampaignPatch,
  ifMatch: string | undefined,
): Promise<CampaignRow> {
  return inWorkspaceTx(orm, by.auth, async (em) => {
    const row = await mustSeeCampaign(em, by.auth, id, true);
    mustMatch(ifMatch, tagOf(row));
    checkTime(patch.scheduledAt);
    const isNewText = patch.content !== undefined || patch.variants !== undefined;
    const variants = isNewText ? await pinContent(em, patch) : row.variants;
    if (patch.channelId !== undefined || isNewText) await checkChannel(em, patch.channelId ?? row.channel_id, variants);
    checkAi(patch.ai === undefined ? row.ai : patch.ai, variants);
    const [windows, timeZone] = [patch.windows ?? row.windows, patch.timeZone ?? row.time_zone];
    const [channelId, scheduledAt] = [patch.channelId ?? row.channel_id, patch.scheduledAt ?? row.scheduled_at];
    if (row.status === 'scheduled') await checkWindows(em, channelId, { windows, timeZone }, scheduledAt);
    const { audience, exclude, requireConsent } = { ...row.people, ...patch };
    const people = { audience, exclude, requireConsent };
    await mustChoose(em, by.auth, people);
    const isChanged = await updateDraft(em, id, {
      name: patch.name ?? row.name,
      channelId: patch.channelId ?? row.channel_id,
      variants,
      holdoutPercent: patch.holdoutPercent ?? row.holdout_percent,
      people: patch.audience || patch.exclude ? await pinPeople(em, people, onlyOf(by.auth)) : people,
      scheduledAt: patch.scheduledAt === undefined ? row.scheduled_at : patch.scheduledAt,
      maxLatenessMinutes: patch.maxLatenessMinutes ?? row.max_lateness_minutes,
      timeZone: patch.timeZone ?? row.time_zone,
      windows: patch.windows ?? row.windows,
      onUnknown: patch.onUnknown ?? row.on_unknown,
      ai: patch.ai === undefined ? row.ai : patch.ai,
    });
    if (!isChanged) throw wrongStatus(row, 'changed');
    const changed = await mustFindCampaign(em, id);
    await audited(em, by, 'changed', changed, { changed: Object.keys(patch) });
    return changed;
  });
}

/** @throws AppError 404, 409 */
export function removeCampaign({ orm }: Needs, by: By, id: string): Promise<void> {
  return inWorkspaceTx(orm, by.auth, async (em) => {
    const row = await mustSeeCampaign(em, by.auth, id, true);
    if (!(await deleteDraft(em, id))) throw wrongStatus(row, 'deleted');
    await audited(em, by, 'deleted', row);
  });
}

/** A new draft like it, with the texts it had. @throws AppError 404 */
export function duplicateCampaign({ orm }: Needs, by: By, id: string): Promise<CampaignRow> {
  return inWorkspaceTx(orm, by.auth, async (em) => {
    const row = await mustSeeCampaign(em, by.auth, id);
    await mustChoose(em, by.auth, row.people);
    const copyId = newId();
    await insertCampaign(em, {
      id: copyId,
      name: row.name,
      channelId: row.channel_id,
      variants: row.variants,
      holdoutPercent: row.holdout_percent,
      people: row.people,
      only: onlyOf(by.auth),
      scheduledAt: null,
      maxLatenessMinutes: row.max_lateness_minutes,
      timeZone: row.time_zone,
      windows: row.windows,
      onUnknown: row.on_unknown,
      ai: row.ai,
      createdBy: by.auth.userId,
    });
    const copy = await mustFindCampaign(em, copyId);
    await audited(em, by, 'created', copy, { copyOf: id });
    return copy;
  });
}

/** @throws AppError 400, 403; 404 for a campaign that the caller does not see */
export function previewPeople({ orm, config }: Needs, auth: Auth, asked: PreviewBody) {
  const { channelId, campaignId, holdoutPercent: percent, ...people } = asked;
  return inWorkspaceTx(orm, auth, async (em) => {
    await mustChoose(em, auth, people);
    const channel = channelId === undefined ? undefined : await checkChannel(em, channelId, []);
    if (campaignId !== undefined) await mustSeeCampaign(em, auth, campaignId);
    return previewAudience(em, await pinPeople(em, people, onlyOf(auth)), {
      only: onlyOf(auth),
      pads: suppressionPads(config.APP_SECRET, auth.workspaceId),
      pacing: channel?.pacing ?? null,
      holdout: { percent, seed: campaignId ?? '' },
    });
  });
}
