import { z } from 'zod';
import { EgressFailed, EgressRefused, type Egress, type EgressAnswer } from '#src/lib/egress.ts';
import type { Ack, Attempt, ClaimedItem } from '#src/modules/campaigns/items.query.ts';
import { retryAfterMs } from '#src/modules/webhooks/schedule.ts';
import { signatureHeaders, type SigningKey } from '#src/modules/webhooks/signature.ts';

const CONNECT_TIMEOUT_MS = 5000;
const TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 20_000;
const USER_AGENT = 'WhatsHybrid-Campaigns/1 (+https://www.standardwebhooks.com)';

// Postgres stores neither U+0000 nor half a surrogate pair, and an end that cannot be stored is tried again until the item is unknown.
const MessageId = z
  .union([z.string(), z.number().transform(String)])
  .transform((id) => id.replaceAll('\0', '').toWellFormed());
const Sent = z.object({ messageId: MessageId.pipe(z.string().min(1).max(255)) });
const NoEffect = z.object({ effect: z.literal('none') });

/** Refusals that are the gateway's affair, and say nothing of the number that was to be written to. */
const CHANNELS = new Set([401, 403, 404, 405, 410, 429]);

export type Outcome = Omit<Ack, keyof Attempt>;
const NOTHING = { retryable: false, isChannels: false, code: null, messageId: null, retryAfterMs: null };
const unknown = (code: string): Outcome => ({ ...NOTHING, result: 'unknown', code });
const retry = (code: string, wait: number | null = null): Outcome => ({
  ...NOTHING,
  result: 'failed',
  retryable: true,
  isChannels: true,
  code,
  // A day is as good as never.
  retryAfterMs: wait === null ? null : Math.min(wait, 86_400_000),
});

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
}

/**
 * What an answer says of a message: a 2xx with `{messageId}` sent it, a 4xx refused it, a 5xx that says `{"effect": "none"}` may be tried
 * again. Anything else leaves open whether it went out, and it must not be sent again.
 */
export function judgeAnswer({ status, headers, body }: Pick<EgressAnswer, 'status' | 'headers' | 'body'>): Outcome {
  const code = `status_${status}`;
  if (status >= 200 && status < 300) {
    const sent = Sent.safeParse(jsonOf(body));
    return sent.success ? { ...NOTHING, result: 'sent', messageId: sent.data.messageId } : unknown('no_message_id');
  }
  if (status >= 400 && status < 500) return { ...NOTHING, result: 'failed', isChannels: CHANNELS.has(status), code };
  if (status >= 500 && NoEffect.safeParse(jsonOf(body)).success) {
    return retry(code, retryAfterMs(headers['retry-after']) ?? null);
  }
  return unknown(code);
}

/** Posts an item that was begun to its channel's address. @param signal aborts when the process must go */
export async function postItem(
  egress: Pick<Egress, 'request'>,
  channel: { url: string; key: SigningKey },
  item: Pick<ClaimedItem, 'itemId' | 'attemptId' | 'to'> & { text: string },
  signal: AbortSignal,
): Promise<Outcome> {
  const { itemId, attemptId, to, text } = item;
  const at = new Date();
  const body = JSON.stringify({
    type: 'campaign.item',
    timestamp: at.toISOString(),
    data: { itemId, attemptId, to, text },
  });
  try {
    const answer = await egress.request(channel.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': USER_AGENT,
        ...signatureHeaders([channel.key], attemptId, Math.floor(at.getTime() / 1000), body),
      },
      body,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      timeoutMs: TIMEOUT_MS,
      maxBytes: MAX_ANSWER_BYTES,
      signal,
    });
    return judgeAnswer(answer);
  } catch (error) {
    if (error instanceof EgressRefused) return retry(`refused_${error.reason}`);
    // Where nothing of the request left this side, nothing happened on the other.
    if (error instanceof EgressFailed) return error.sentAnything ? unknown(error.kind) : retry(error.kind);
    throw error;
  }
}
