import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { Logger } from 'pino';
import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { Carried, Carrier, Sorted } from '#src/modules/campaigns/carrier.ts';
import type { ClaimedItem } from '#src/modules/campaigns/items.query.ts';
import type { Verdict } from '#src/modules/cloud-api/answer.ts';
import { sendMessage, type CloudApi } from '#src/modules/cloud-api/client.ts';
import { readSending } from '#src/modules/cloud-api/cloud.query.ts';
import { follow } from '#src/modules/cloud-api/consequences.ts';
import type { CloudCredentials } from '#src/modules/cloud-api/credentials.ts';
import { codeText } from '#src/modules/cloud-api/errors.ts';
import { payloadOf } from '#src/modules/cloud-api/message.ts';

/** So many at the default pace as go out at once. */
const HORIZON_MS = 200;
/** What was refused for haste waits so long itself; its number longer. */
const THROTTLED_MS = 1000;
/** Meta's own advice for one recipient: four times as long at each try; no longer than an hour. */
const pairWaitMs = (fence: number): number => 1000 * 4 ** Math.min(fence, 6) * (0.8 + Math.random() * 0.4);
/** Whoever mends what stopped a number or a campaign wants to see at once whether it goes. */
const STOPPED_MS = 0;

/** A message and whom it is to, as the Cloud API takes it. @param to E.164 */
export const toMessage = (to: string, body: object) => ({
  messaging_product: 'whatsapp',
  recipient_type: 'individual',
  to,
  ...body,
});

export interface CarrierResources {
  cloud: CloudApi;
  orm: Orm;
  pool: Pool;
  appSecret: string;
  log: Logger;
}

const NOTHING = { retryable: false, isChannels: false, code: null, messageId: null, retryAfterMs: null };

/** @returns what a verdict means for its item */
export function carriedBy(verdict: Verdict, fence: number): Carried {
  if (verdict.kind === 'accepted') return { ...NOTHING, result: 'sent', messageId: verdict.messageId };
  if (verdict.kind === 'unknown') return { ...NOTHING, result: 'unknown', code: verdict.code };
  const failed = { ...NOTHING, result: 'failed' as const, isChannels: true, retryable: true };
  if (verdict.kind === 'not_sent') return { ...failed, code: verdict.code };
  const { meaning } = verdict;
  const code = codeText(verdict.code);
  if (meaning.kind === 'retry') return { ...failed, code };
  if (meaning.kind === 'refuse') return { ...failed, code, retryable: false, isChannels: meaning.isChannels };
  const waits = {
    throttle: THROTTLED_MS,
    pair: pairWaitMs(fence),
    stop_channel: STOPPED_MS,
    stop_campaign: STOPPED_MS,
  };
  return { result: 'deferred', code, waitMs: Math.round(waits[meaning.kind]) };
}

/** A number on the WhatsApp Cloud API: approved templates, and free text to those who wrote in the last 24 hours. */
export function createCloudCarrier(
  { cloud, orm, pool, appSecret, log }: CarrierResources,
  { workspaceId, id: channelId, credentials }: { workspaceId: string; id: string; credentials: CloudCredentials },
): Carrier {
  /** At best: an item's end must be noted whatever becomes of this, and the next message meets the same error. */
  const followUp = async (item: ClaimedItem, verdict: Verdict): Promise<void> => {
    if (verdict.kind !== 'refused') return;
    const { campaignId, itemId, contactId } = item;
    const about = { workspaceId, channelId, campaignId, itemId, contactId };
    try {
      await inWorkspaceTx(orm, { workspaceId }, (em) => follow(em, appSecret, about, verdict));
    } catch (error) {
      log.error({ err: error, channel: channelId, code: verdict.code }, 'What an error asks for could not be done');
    }
  };
  const carry = async (item: ClaimedItem, body: object, signal: AbortSignal): Promise<Carried> => {
    const waitMs = Math.min(HORIZON_MS, new Date(item.notBefore).getTime() - Date.now());
    if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return { result: 'deferred', code: 'aborted', waitMs: 0 };
    const { itemId, attemptId } = item;
    const message = {
      ...toMessage(item.to, body),
      // Comes back with each status: so a message is known whose id nobody was told.
      biz_opaque_callback_data: `${itemId}.${attemptId}`,
    };
    const verdict = await sendMessage(cloud, credentials, message, signal);
    await followUp(item, verdict);
    return carriedBy(verdict, item.fence);
  };
  return {
    horizonMs: HORIZON_MS,
    ackBy: 'cloud_ack',
    async sieve(claimed) {
      const ids = claimed.map(({ itemId }) => itemId);
      const states = new Map((await readSending(pool, workspaceId, ids)).map((state) => [state.itemId, state]));
      const sorted: Sorted = { ready: [], skipped: [], deferred: [] };
      for (const item of claimed) {
        const state = states.get(item.itemId);
        const template = state?.cloudTemplate ?? null;
        const { text, shown, unresolved, body } = payloadOf(
          state && template ? state.approved : item.template,
          template,
          item.contact,
        );
        if (unresolved.length > 0 || text.trim() === '')
          sorted.skipped.push({ ...item, reason: 'unresolved_variables' });
        else if (template === null && !state?.isOpen) sorted.skipped.push({ ...item, reason: 'needs_template' });
        else if (state && state.pairWaitMs > 0)
          sorted.deferred.push({ ...item, waitMs: state.pairWaitMs, code: 'pair_limit' });
        else sorted.ready.push({ ...item, text: shown, carry: (signal) => carry(item, body, signal) });
      }
      return sorted;
    },
  };
}
