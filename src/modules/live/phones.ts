import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { AppError, conflict } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { mustHave } from '#src/http/permissions.ts';
import type { Delivery } from '#src/modules/campaigns/delivery.ts';
import type { SessionKey } from '#src/modules/channels/channels.query.ts';
import type { ClientFrame } from '#src/modules/live/frames.ts';

type PhoneFrame = Extract<ClientFrame, { type: `channel.${string}` }>;

/** Numbers that one socket may send from. */
const MAX_PHONES = 20;
/** Frames of one socket that wait for their turn, besides the one that is served. */
const MAX_WAITING = 32;

/**
 * The numbers that a socket's client sends from. They stay its own for as long as it answers pings; when the socket closes, others that stand by
 * need not wait.
 */
export function createPhones(
  delivery: Delivery,
  known: () => Auth,
  { admit, log }: { admit: (auth: Auth) => Promise<unknown>; log: Logger },
) {
  /** By which the numbers that this socket holds are told from those of its client's next one. */
  const connectionId = randomUUID();
  /** Channels, and the session that holds each. */
  const held = new Map<string, string>();
  let keptAs: (Auth & { connectionId: string }) | null = null;
  let isKeeping = false;
  let isClosed = false;
  let turns: Promise<unknown> = Promise.resolve();
  let waiting = 0;

  const letGo = (who: Auth & { connectionId: string }, channelId: string, sessionId: string): void => {
    delivery
      .leave(who, { channelId, sessionId })
      .catch((error: unknown) => log.debug({ err: error }, 'Others wait until the session is over by itself'));
  };
  /** What a socket got that was closed meanwhile, it gives back. */
  const hold = (who: Auth & { connectionId: string }, { channelId, sessionId }: SessionKey): void => {
    keptAs = who;
    if (isClosed) letGo(who, channelId, sessionId);
    else if (held.size < MAX_PHONES) held.set(channelId, sessionId);
  };

  const serve = async (frame: PhoneFrame): Promise<object> => {
    const auth = known();
    mustHave(auth, 'campaigns:run');
    await admit(auth);
    const who = { ...auth, connectionId };
    if (frame.type === 'channel.claim') {
      const { channelId, sessionId, max } = frame;
      // Also where claiming fails behind it: by then the number may be this session's.
      return delivery.claim(who, { channelId, sessionId, max }).finally(() => hold(who, { channelId, sessionId }));
    }
    if (frame.type === 'channel.state') {
      const { channelId, sessionId, state } = frame;
      await delivery.state(who, { channelId, sessionId }, state);
      if (state === 'ready') hold(who, { channelId, sessionId });
      else held.delete(channelId);
      return { state };
    }
    const { itemId, attemptId, fence } = frame;
    if (frame.type === 'channel.ack') return delivery.ack(who, itemId, frame);
    if (frame.type === 'channel.begin') hold(who, await delivery.begin(who, { itemId, attemptId, fence }));
    else await delivery.release(who, { itemId, attemptId, fence });
    return {};
  };

  return {
    /**
     * One frame after the other; those that a socket was closed before are not served.
     * @returns what the reply says. @throws AppError 401, 403, 404, 409, 429
     */
    serve(frame: PhoneFrame): Promise<object> {
      if (waiting >= MAX_WAITING)
        throw new AppError(429, 'too_many_frames', 'Wait for replies before you send more of channels.');
      waiting += 1;
      const served = turns
        .then(() => {
          if (isClosed) throw conflict('socket_closed', 'The socket was closed.');
          return serve(frame);
        })
        .finally(() => (waiting -= 1));
      turns = served.catch(() => undefined);
      return served;
    },
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
      isClosed = true;
      if (keptAs !== null) for (const [channelId, sessionId] of held) letGo(keptAs, channelId, sessionId);
      held.clear();
    },
  };
}
