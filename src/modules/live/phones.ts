import type { Logger } from 'pino';
import type { Auth } from '#src/http/access-token.ts';
import { mustHave } from '#src/http/permissions.ts';
import type { Delivery } from '#src/modules/campaigns/delivery.ts';
import type { ClientFrame } from '#src/modules/live/frames.ts';

type PhoneFrame = Extract<ClientFrame, { type: `channel.${string}` }>;

/** Numbers that one socket may send from. */
const MAX_PHONES = 20;

/**
 * The numbers that a socket's client sends from. They stay its own for as long as it answers pings; when the socket closes, others that stand by
 * need not wait.
 */
export function createPhones(delivery: Delivery, known: () => Auth, log: Logger) {
  /** Channels, and the session that holds each. */
  const held = new Map<string, string>();
  let keptAs: Auth | null = null;
  let isKeeping = false;

  const hold = (auth: Auth, channelId: string, sessionId: string): void => {
    keptAs = auth;
    if (held.size < MAX_PHONES) held.set(channelId, sessionId);
  };

  const serve = async (frame: PhoneFrame): Promise<object> => {
    const auth = known();
    mustHave(auth, 'campaigns:run');
    if (frame.type === 'channel.claim') {
      const { channelId, sessionId, max } = frame;
      const claimed = await delivery.claim(auth, { channelId, sessionId, max });
      hold(auth, channelId, sessionId);
      return claimed;
    }
    if (frame.type === 'channel.state') {
      const { channelId, sessionId, state } = frame;
      await delivery.state(auth, { channelId, sessionId }, state);
      if (state === 'ready') hold(auth, channelId, sessionId);
      else held.delete(channelId);
      return { state };
    }
    const { itemId, attemptId, fence } = frame;
    if (frame.type === 'channel.ack') return delivery.ack(auth, itemId, frame);
    await (frame.type === 'channel.begin'
      ? delivery.begin(auth, { itemId, attemptId, fence })
      : delivery.release(auth, { itemId, attemptId, fence }));
    return {};
  };

  return {
    /** @returns what the reply says. @throws AppError 401, 403, 404, 409 */
    serve,
    /** @throws AppError 403; 404 where it is no campaign of the caller's workspace */
    async mustSee(campaignId: string): Promise<void> {
      const auth = known();
      mustHave(auth, 'campaigns:read');
      await delivery.mustKnow(auth, campaignId);
    },
    /** The client is there. A number that has gone to another session is no longer kept. */
    async keep(): Promise<void> {
      const auth = keptAs;
      if (auth === null || isKeeping) return;
      isKeeping = true;
      try {
        for (const [channelId, sessionId] of held)
          if (!(await delivery.keep(auth, { channelId, sessionId }))) held.delete(channelId);
      } catch (error) {
        log.debug({ err: error }, 'Sessions of phones were not prolonged; the next ping tries again');
      } finally {
        isKeeping = false;
      }
    },
    leave(): void {
      const auth = keptAs;
      if (auth === null) return;
      for (const [channelId, sessionId] of held)
        delivery
          .leave(auth, { channelId, sessionId })
          .catch((error: unknown) => log.debug({ err: error }, 'Others wait until the session is over by itself'));
      held.clear();
    },
  };
}
