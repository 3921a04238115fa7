import { AppError, conflict, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { createItems, type Ack, type Attempt } from '#src/modules/campaigns/items.query.ts';
import type { AckBody, ClaimBody, ClaimView, PhoneState } from '#src/modules/campaigns/delivery.schemas.ts';
import {
  dropSession,
  holdSession,
  readTarget,
  releaseHeld,
  stopChannel,
  type SessionKey,
} from '#src/modules/channels/channels.query.ts';
import { renderTemplate } from '#src/modules/templates/template.ts';
import type { Runtime } from '#src/runtime.ts';

/** A session that says nothing for so long has gone; its phone may be another's. */
export const SESSION_TTL_MS = 30_000;
/** An item is handed out so long before it may be sent, at most. */
const HORIZON_MS = 60_000;

type Who = Pick<Auth, 'workspaceId' | 'userId'>;
const holderOf = ({ userId }: Who, sessionId: string): string => `${userId}/${sessionId}`;

/** How phones take what is to be sent, whether they ask over HTTP or over a socket. */
export type Delivery = ReturnType<typeof createDelivery>;

function ackOf(itemId: string, body: AckBody): Ack {
  const { attemptId, fence } = body;
  const one = { itemId, attemptId, fence, isChannels: false, retryable: false, messageId: null, retryAfterMs: null };
  if (body.outcome === 'sent') return { ...one, result: 'sent', code: null, messageId: body.messageId ?? null };
  if (body.outcome === 'unknown') return { ...one, result: 'unknown', code: body.code ?? null };
  const retryable = body.kind === 'retryable';
  return { ...one, result: 'failed', retryable, code: body.code ?? null, retryAfterMs: body.retryAfterMs ?? null };
}

const gone = () => conflict('attempt_over', 'This attempt is over, or was never yours: claim again.');

export function createDelivery({ pool, config }: Pick<Runtime, 'pool' | 'config'>) {
  const items = createItems(pool, { leaseMs: config.CAMPAIGN_LEASE_MS, appSecret: config.APP_SECRET });

  /** @throws AppError 404 where it is no phone's channel, 409 `channel_standby` while another session sends */
  const hold = async (who: Who, { channelId, sessionId }: SessionKey): Promise<void> => {
    const channel = await readTarget(pool, who.workspaceId, channelId);
    if (channel?.kind !== 'extension') throw notFound('The channel');
    const held = { channelId, sessionId, userId: who.userId, ttlMs: SESSION_TTL_MS };
    const waitMs = await holdSession(pool, who.workspaceId, held);
    if (waitMs === 0) return;
    const detail = 'Another session sends from this number; stand by.';
    throw new AppError(409, 'channel_standby', detail, { retryAfterMs: waitMs });
  };

  return {
    /** Gives a session up to `max` messages with their texts. @throws AppError 404, 409 `channel_standby` */
    async claim(who: Who, { channelId, sessionId, max }: ClaimBody): Promise<ClaimView> {
      await hold(who, { channelId, sessionId });
      const holder = holderOf(who, sessionId);
      const claimed = await items.claim(who.workspaceId, { channelId, max, holder, horizonMs: HORIZON_MS });
      const fit: ClaimView['items'] = [];
      const unfit: (Attempt & { reason: string })[] = [];
      for (const { template, contact, ...item } of claimed.items) {
        const { text, unresolved } = renderTemplate({ body: template }, contact);
        if (unresolved.length === 0 && text.trim() !== '') fit.push({ ...item, text });
        else unfit.push({ ...item, reason: 'unresolved_variables' });
      }
      if (unfit.length > 0) await items.skip(who.workspaceId, unfit);
      return { items: fit, againAt: claimed.againAt };
    },
    /** Notes that it is about to be sent. @throws AppError 409 where it must not be; after a pause it is taken back */
    async begin({ workspaceId }: Who, attempt: Attempt): Promise<void> {
      const begun = await items.begin(workspaceId, [attempt]);
      if (begun.has(attempt.itemId)) return;
      await items.giveBackStopped(workspaceId, attempt);
      throw conflict('not_begun', 'Do not send it: it is not yours now, or not yet.');
    },
    /** Notes how it ended. @throws AppError 404, 409 */
    async ack({ workspaceId }: Who, itemId: string, body: AckBody) {
      const [acked] = await items.ack(workspaceId, [ackOf(itemId, body)], 'phone_ack');
      if (!acked) throw notFound('The item');
      const { verdict, status } = acked;
      if (verdict === 'refused') throw conflict('not_begun', 'That attempt was never begun.');
      return { verdict, status };
    },
    /** Takes it back unsent. @throws AppError 409 */
    async release({ workspaceId }: Who, attempt: Attempt): Promise<void> {
      const released = await items.release(workspaceId, [attempt]);
      if (!released.has(attempt.itemId)) throw gone();
    },
    /** Keeps it for longer. @throws AppError 409 */
    async renew({ workspaceId }: Who, attempt: Attempt): Promise<void> {
      if (!(await items.renew(workspaceId, attempt))) throw gone();
    },
    /** Keeps a session's right to its number for another while. @returns whether it is still its own */
    async keep(who: Who, key: SessionKey): Promise<boolean> {
      const held = { ...key, userId: who.userId, ttlMs: SESSION_TTL_MS };
      return (await holdSession(pool, who.workspaceId, held)) === 0;
    },
    /** @throws AppError 404 where the workspace has no such campaign */
    async mustKnow({ workspaceId }: Who, campaignId: string): Promise<void> {
      if (!(await items.isCampaign(workspaceId, campaignId))) throw notFound('The campaign');
    },
    /** A session has gone: another may send from its number at once. What it has claimed comes back when its leases end. */
    leave: ({ workspaceId }: Who, key: SessionKey): Promise<void> => dropSession(pool, workspaceId, key),
    /**
     * Notes what a phone says of itself. One that cannot send gives back what it has not begun; one that was warned stops its channel, until
     * somebody has it go on.
     * @throws AppError 404, 409 `channel_standby`
     */
    async state(who: Who, key: SessionKey, state: PhoneState): Promise<void> {
      await hold(who, key);
      if (state === 'ready') return;
      await releaseHeld(pool, who.workspaceId, { channelId: key.channelId, holder: holderOf(who, key.sessionId) });
      if (state === 'banned_warning') await stopChannel(pool, who.workspaceId, { id: key.channelId, reason: state });
      await dropSession(pool, who.workspaceId, key);
    },
  };
}
