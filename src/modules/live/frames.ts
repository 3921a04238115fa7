import { z } from 'zod';
import { IdText } from '#src/http/fields.ts';
import {
  ChannelAckFrame,
  ChannelBeginFrame,
  ChannelClaimFrame,
  ChannelReleaseFrame,
  ChannelStateFrame,
} from '#src/modules/campaigns/delivery.schemas.ts';
import { JobOptions } from '#src/modules/jobs/job.schemas.ts';
import { SyncBody } from '#src/modules/messages/messages.schemas.ts';

const id = z.union([z.string().min(1).max(100), z.int()]);
/** Of the topic `events`. */
const placeId = z.string().regex(/^\d{1,16}$/, 'must be the id of an event, like 42');
const eventId = z
  .string()
  .regex(/^(\d{1,16}|\d{1,9}-\d{1,16}(-[01](-\d{1,9})?)?)$/, 'must be the id of an event, like 42, or 1-42 of a job');

/** What a client may send, once it is JSON. */
export const ClientFrame = z.discriminatedUnion('type', [
  z
    .strictObject({
      type: z.literal('auth'),
      id,
      token: z.string().min(1).max(8192).optional(),
      ticket: z.string().min(1).max(100).optional(),
      workspaceId: z.uuid().optional(),
      /** Subscribes to `events` too, from there. */
      lastEventId: placeId.optional(),
      device: z.string().max(200).optional(),
    })
    .refine(({ token, ticket }) => (token === undefined) !== (ticket === undefined), {
      path: ['token'],
      message: 'send a token or a ticket',
    }),
  z.strictObject({
    type: z.literal('submit'),
    id,
    engine: z.string().max(60),
    input: z.unknown(),
    options: JobOptions.optional(),
    idempotencyKey: z
      .string()
      .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 visible ASCII characters')
      .optional(),
  }),
  z.strictObject({
    type: z.literal('subscribe'),
    id,
    topic: z.string().max(100),
    lastEventId: eventId.optional(),
  }),
  z.strictObject({ type: z.literal('unsubscribe'), id, topic: z.string().max(100) }),
  z.strictObject({ type: z.literal('cancel'), id, jobId: IdText }),
  ChannelClaimFrame,
  ChannelBeginFrame,
  ChannelAckFrame,
  ChannelReleaseFrame,
  ChannelStateFrame,
  z.strictObject({ type: z.literal('messages.sync'), id, ...SyncBody.shape }),
  z.strictObject({ type: z.literal('pong'), id: id.optional() }),
]);
export type ClientFrame = z.infer<typeof ClientFrame>;

/** Close codes of the contract; 1009 and 1012 are RFC 6455's. */
export const Close = {
  badFrame: 4400,
  unauthenticated: 4401,
  forbidden: 4403,
  noAuthInTime: 4408,
  tooSlow: 4413,
  tooMany: 4429,
  restarting: 1012,
} as const;
