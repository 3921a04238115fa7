import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

/** What becomes of a message in the hands of a phone. It dies by losing its socket, with what it has not written down. */
export type PhoneFate = 'sent' | 'refused' | 'busy' | 'dies_claimed' | 'dies_begun' | 'dies_sent';

/** A message a phone began, and what it did with it. */
export interface PhoneEntry {
  itemId: string;
  attemptId: string;
  to: string;
  text: string;
  /** Whether it went out. */
  effect: boolean;
  fate: PhoneFate;
  messageId: string;
}

export interface PhoneOptions {
  /** Of the product. */
  url: string;
  token: string;
  workspaceId: string;
  channelId: string;
  sessionId?: string;
  fateOf?: () => PhoneFate;
  /** Between two questions for more. */
  idleMs?: number;
}

type Frame = Record<string, unknown>;
type Send = (type: string, fields?: Frame) => Promise<Frame>;

const ENDS: Record<'sent' | 'refused' | 'busy', (messageId: string) => Frame> = {
  sent: (messageId) => ({ outcome: 'sent', messageId }),
  refused: () => ({ outcome: 'failed', effect: 'none', kind: 'permanent' }),
  busy: () => ({ outcome: 'failed', effect: 'none', kind: 'retryable' }),
};

/** A socket that has said who it is. @throws when it cannot be had */
async function connect({ url, token, workspaceId }: PhoneOptions): Promise<{ socket: WebSocket; send: Send }> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/ws`);
  const waiting = new Map<unknown, PromiseWithResolvers<Frame>>();
  const opened = Promise.withResolvers<void>();
  const lost = () => {
    opened.reject(new Error('The socket is closed'));
    for (const one of waiting.values()) one.reject(new Error('The socket is closed'));
  };
  socket.addEventListener('open', () => opened.resolve());
  socket.addEventListener('error', lost);
  socket.addEventListener('close', lost);
  let id = 0;
  const send: Send = (type, fields = {}) => {
    const answer = Promise.withResolvers<Frame>();
    waiting.set((id += 1), answer);
    socket.send(JSON.stringify({ ...fields, type, id }));
    return answer.promise;
  };
  socket.addEventListener('message', ({ data }) => {
    const frame: Frame = JSON.parse(String(data));
    if (frame['type'] === 'ping') socket.send(JSON.stringify({ type: 'pong' }));
    if (frame['type'] === 'reply') waiting.get(frame['id'])?.resolve(frame);
  });
  await opened.promise;
  await send('auth', { token, workspaceId });
  return { socket, send };
}

/**
 * A phone with the extension, sending what campaigns of its channel have for it: claim, wait, begin, send, ack. What it began and does not know
 * the end of is looked for in its chats when it is back, as the extension does.
 */
export function startPhone(options: PhoneOptions) {
  const { channelId, sessionId = randomUUID(), fateOf = () => 'sent' as const, idleMs = 100 } = options;
  const journal: PhoneEntry[] = [];
  /** Begun, and not acked. */
  const outbox = new Map<string, { attempt: Frame; entry: PhoneEntry }>();
  const stopping = new AbortController();

  const ack = async (send: Send, attemptId: string): Promise<void> => {
    const begun = outbox.get(attemptId);
    if (!begun) return;
    const { entry, attempt } = begun;
    const end = entry.fate === 'refused' || entry.fate === 'busy' ? entry.fate : 'sent';
    const said = end === 'sent' && !entry.effect ? { outcome: 'unknown' } : ENDS[end](entry.messageId);
    await send('channel.ack', { ...attempt, ...said });
    outbox.delete(attemptId);
  };

  /** @returns whether it lives on */
  const carry = async (send: Send, item: Frame): Promise<boolean> => {
    const { itemId, attemptId, fence, to, text, notBefore } = item;
    const fate = fateOf();
    if (fate === 'dies_claimed') return false;
    await sleep(Math.max(0, Date.parse(String(notBefore)) - Date.now()));
    const attempt = { itemId, attemptId, fence };
    if ((await send('channel.begin', attempt))['ok'] !== true) return true;
    const effect = fate === 'sent' || fate === 'dies_sent';
    const ids = { itemId: String(itemId), attemptId: String(attemptId), to: String(to), text: String(text) };
    const entry = { ...ids, effect, fate, messageId: `true_${String(to).slice(1)}@c.us_${randomUUID()}` };
    journal.push(entry);
    outbox.set(entry.attemptId, { attempt, entry });
    if (fate === 'dies_begun' || fate === 'dies_sent') return false;
    await ack(send, entry.attemptId);
    return true;
  };

  const live = async (send: Send): Promise<void> => {
    for (const attemptId of outbox.keys()) await ack(send, attemptId);
    while (!stopping.signal.aborted) {
      const { items } = await send('channel.claim', { channelId, sessionId, max: 5 });
      const claimed: Frame[] = Array.isArray(items) ? items : [];
      for (const item of claimed) if (stopping.signal.aborted || !(await carry(send, item))) return;
      if (claimed.length === 0) await sleep(idleMs);
    }
  };

  const over = (async () => {
    while (!stopping.signal.aborted) {
      try {
        const { socket, send } = await connect(options);
        await live(send).finally(() => socket.close());
      } catch {
        // As when the network is gone: it tries again.
      }
      await sleep(idleMs);
    }
  })();
  return {
    /** Every message it began, in order. */
    journal,
    async stop(): Promise<void> {
      stopping.abort();
      await over;
    },
  };
}
