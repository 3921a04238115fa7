import { z } from 'zod';
import { IdText } from '#src/http/fields.ts';

export const ClaimBody = z.strictObject({
  channelId: IdText,
  /** Made by the client when it starts: who is at the phone. */
  sessionId: IdText,
  max: z.int().min(1).max(5).default(1),
});
export type ClaimBody = z.output<typeof ClaimBody>;
export const ClaimView = z.object({
  items: z.array(
    z.object({
      itemId: z.uuid(),
      campaignId: z.uuid(),
      contactId: z.uuid(),
      attemptId: z.uuid(),
      fence: z.int(),
      to: z.string(),
      text: z.string(),
      /** Begin no earlier. */
      notBefore: z.string(),
      leaseExpiresAt: z.string(),
    }),
  ),
  /** When to ask again; null: when there is something. */
  againAt: z.string().nullable(),
});
export type ClaimView = z.output<typeof ClaimView>;

export const attempt = { attemptId: IdText, fence: z.int().min(0).max(2_147_483_647) };
export const AttemptBody = z.strictObject(attempt);
/** A word of the client's own for what happened. */
const code = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,59}$/, 'must be a word like not_on_whatsapp')
  .optional();
/** What an ack says besides its attempt, by outcome. */
const sent = { outcome: z.literal('sent'), messageId: z.string().min(1).max(255).optional() };
const failed = {
  outcome: z.literal('failed'),
  /** That nothing reached anybody; who cannot say that says unknown. */
  effect: z.literal('none'),
  /** Whether it may be tried again, or the recipient cannot be reached. */
  kind: z.enum(['retryable', 'permanent']),
  code,
  retryAfterMs: z.int().min(0).max(86_400_000).optional(),
};
const unknown = { outcome: z.literal('unknown'), code };

const ackWith = <Head extends z.ZodRawShape>(head: Head) =>
  z.discriminatedUnion('outcome', [
    z.strictObject({ ...head, ...sent }),
    z.strictObject({ ...head, ...failed }),
    z.strictObject({ ...head, ...unknown }),
  ]);
export const AckBody = ackWith(attempt);
export type AckBody = z.output<typeof AckBody>;
export const AckView = z.object({ verdict: z.enum(['accepted', 'repeated', 'stale']), status: z.string() });
export const Done = z.object({ ok: z.literal(true) });

/** What a phone says of itself; only `ready` sends. */
export const PhoneState = z.enum(['ready', 'qr', 'logged_out', 'banned_warning']);
export type PhoneState = z.output<typeof PhoneState>;

const id = z.union([z.string().min(1).max(100), z.int()]);
const named = <Name extends string>(type: Name) => ({ type: z.literal(type), id });
const itemOf = { itemId: IdText, ...attempt };
/** The same over a socket. */
export const ChannelClaimFrame = z.strictObject({ ...named('channel.claim'), ...ClaimBody.shape });
export const ChannelBeginFrame = z.strictObject({ ...named('channel.begin'), ...itemOf });
export const ChannelReleaseFrame = z.strictObject({ ...named('channel.release'), ...itemOf });
export const ChannelAckFrame = ackWith({ ...named('channel.ack'), ...itemOf });
export const ChannelStateFrame = z.strictObject({
  ...named('channel.state'),
  channelId: IdText,
  sessionId: IdText,
  state: PhoneState,
});
