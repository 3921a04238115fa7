import { UniqueConstraintViolationException, type EntityManager } from '@mikro-orm/postgresql';
import { campaigns as queue } from '#queues/campaigns.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { AppError, badRequest, conflict } from '#src/errors.ts';
import { mustChoose, type By } from '#src/modules/campaigns/by.ts';
import { checkFeature, checkLimit } from '#src/modules/billing/plans.ts';
import { lockWorkspace } from '#src/modules/workspaces/plans.ts';
import {
  cancelItems,
  countOpen,
  moveCampaign,
  noteStart,
  resolveItems,
  retryFailed,
  settleCampaign,
  updateDraft,
  type CampaignRow,
  type Move,
} from '#src/modules/campaigns/campaigns.query.ts';
import {
  audited,
  checkTime,
  mustFindCampaign,
  mustSeeCampaign,
  wrongStatus,
} from '#src/modules/campaigns/campaigns.service.ts';
import { checkWindows } from '#src/modules/campaigns/windows.ts';
import type { Runtime } from '#src/runtime.ts';

type Needs = Pick<Runtime, 'orm' | 'producer' | 'log'>;

/** Has a worker look now what control would find a second later. */
async function wake({ producer, log }: Needs, workspaceId: string, ids: readonly string[]): Promise<void> {
  const jobs = ids.map((jobId) => ({ ref: { workspaceId, jobId }, band: queue.band, delayMs: 0 }));
  await producer.enqueue(queue.name, jobs).catch((error: unknown) => log.debug({ err: error }, 'Left to control'));
}

/**
 * Starts a campaign, or has it wait for its time where that is still to come. However often and at how many processes it is asked for, it
 * begins once; the same key is answered alike.
 * @throws AppError 400 without a key; 403 `plan_limit` or `plan_feature`; 404; 409 where it has begun; 422 for a key of another campaign, and where its windows never meet its channel's
 */
export async function startCampaign(
  rt: Needs,
  by: By,
  id: string,
  givenKey: string | null,
): Promise<{ row: CampaignRow; isReplayed: boolean }> {
  const started = await inWorkspaceTx(rt.orm, by.auth, async (em) => {
    const row = await mustSeeCampaign(em, by.auth, id, true);
    const key = neededKey(givenKey);
    if (row.start_key === key) return { row, isReplayed: true };
    await mustChoose(em, by.auth, row.people);
    await checkHours(em, row);
    const isForLater = row.scheduled_at !== null && new Date(row.scheduled_at).getTime() > Date.now();
    await checkRoom(em, by, row);
    if (!(await moveCampaign(em, id, isForLater ? 'schedule' : 'start'))) throw wrongStatus(row, 'started');
    await noteStart(em, id, key, by.auth.userId);
    const moved = await mustFindCampaign(em, id);
    await audited(em, by, 'started', moved);
    return { row: moved, isReplayed: false };
  }).catch((error: unknown) => {
    if (!(error instanceof UniqueConstraintViolationException)) throw error;
    throw new AppError(422, 'idempotency_mismatch', 'This Idempotency-Key was used for another campaign.');
  });
  if (started.row.status === 'preparing') await wake(rt, by.auth.workspaceId, [id]);
  return started;
}

function neededKey(key: string | null): string {
  if (key !== null) return key;
  const message = 'is needed, so that a request that is sent twice starts once';
  throw badRequest('validation_failed', `headers.idempotency-key: ${message}`, [
    { path: 'headers.idempotency-key', code: 'required', message },
  ]);
}

const OPEN = new Set<CampaignRow['status']>(['scheduled', 'preparing', 'running']);

/** @throws AppError 403 `plan_feature`, or `plan_limit` when one campaign more would be too many at once */
async function checkRoom(em: EntityManager, { auth }: By, { status }: CampaignRow): Promise<void> {
  if (OPEN.has(status)) return;
  const workspace = await lockWorkspace(em, auth.workspaceId);
  checkFeature(workspace, 'campaigns');
  checkLimit(workspace, 'campaignsRunning', await countOpen(em));
}

const checkHours = (
  em: EntityManager,
  { channel_id: channelId, windows, time_zone: timeZone, scheduled_at: scheduledAt }: CampaignRow,
) => checkWindows(em, channelId, { windows, timeZone }, scheduledAt);

const VERBS = { schedule: 'scheduled', pause: 'paused', resume: 'resumed', cancel: 'cancelled' } as const;

/** @throws AppError 404, 409 */
export async function turnCampaign(rt: Needs, by: By, id: string, move: 'pause' | 'resume' | 'cancel') {
  const row = await inWorkspaceTx(rt.orm, by.auth, async (em) => {
    const before = await mustSeeCampaign(em, by.auth, id, true);
    if (move === 'resume') {
      await checkHours(em, before);
      await checkRoom(em, by, before);
    }
    if (!(await moveCampaign(em, id, move satisfies Move))) throw wrongStatus(before, VERBS[move]);
    if (move === 'cancel') await cancelItems(em, id);
    const after = await mustFindCampaign(em, id);
    await audited(em, by, VERBS[move], after);
    return after;
  });
  if (move === 'resume') await wake(rt, by.auth.workspaceId, [row.channel_id]);
  return row;
}

/** @throws AppError 404, 409; 400 for a time that is past */
export function scheduleCampaign(
  rt: Needs,
  by: By,
  id: string,
  body: { scheduledAt: string; timeZone?: string | undefined; windows?: CampaignRow['windows'] | undefined },
): Promise<CampaignRow> {
  checkTime(body.scheduledAt);
  return inWorkspaceTx(rt.orm, by.auth, async (em) => {
    const row = await mustSeeCampaign(em, by.auth, id, true);
    await mustChoose(em, by.auth, row.people);
    const { scheduledAt, timeZone = row.time_zone, windows = row.windows } = body;
    await checkHours(em, { ...row, scheduled_at: scheduledAt, time_zone: timeZone, windows });
    await checkRoom(em, by, row);
    if (!(await moveCampaign(em, id, 'schedule'))) throw wrongStatus(row, VERBS.schedule);
    await updateDraft(em, id, {
      name: row.name,
      channelId: row.channel_id,
      variants: row.variants,
      holdoutPercent: row.holdout_percent,
      people: row.people,
      scheduledAt,
      maxLatenessMinutes: row.max_lateness_minutes,
      timeZone,
      windows,
      onUnknown: row.on_unknown,
      ai: row.ai,
    });
    const after = await mustFindCampaign(em, id);
    await audited(em, by, VERBS.schedule, after);
    return after;
  });
}

async function reopen(em: EntityManager, by: By, row: CampaignRow): Promise<void> {
  if (row.status !== 'paused') await checkRoom(em, by, row);
  await moveCampaign(em, row.id, 'reopen');
}

/** Tries what failed without an effect once more. @throws AppError 404, 409 */
export async function retryCampaign(rt: Needs, by: By, id: string): Promise<{ retried: number }> {
  const { retried, row } = await inWorkspaceTx(rt.orm, by.auth, async (em) => {
    const before = await mustSeeCampaign(em, by.auth, id, true);
    if (!['running', 'paused', 'completed', 'completed_with_unknown'].includes(before.status))
      throw wrongStatus(before, 'tried again');
    const count = await retryFailed(em, id);
    if (count > 0) await reopen(em, by, before);
    await audited(em, by, 'retried', before, { items: count });
    return { retried: count, row: before };
  });
  await wake(rt, by.auth.workspaceId, [row.channel_id]);
  return { retried };
}

/**
 * Says of an item nobody knows the end of how it ended, or has it sent again; of all of a campaign where none is named.
 * @returns how many. @throws AppError 404, 409
 */
export function resolveUnknown(
  rt: Needs,
  by: By,
  key: { campaignId: string; itemId: string | null },
  as: 'sent' | 'failed' | 'resend',
): Promise<number> {
  return inWorkspaceTx(rt.orm, by.auth, async (em) => {
    const row = await mustSeeCampaign(em, by.auth, key.campaignId, true);
    if (as === 'resend' && row.status === 'cancelled') throw wrongStatus(row, 'sent again from');
    const resolved = await resolveItems(em, key, as);
    if (resolved === 0 && key.itemId !== null)
      throw conflict('item_status', 'The item is not unknown, or not of this campaign.');
    if (as === 'resend' && resolved > 0) await reopen(em, by, row);
    else await settleCampaign(em, key.campaignId);
    await audited(em, by, 'items_resolved', row, { itemId: key.itemId, as, items: resolved });
    return resolved;
  });
}
