import { z } from 'zod';
import { IdText, nameText } from '#src/http/fields.ts';
import { pageOf, PageQuery } from '#src/http/page.ts';

export const MAX_BATCH = 200;
const MAX_BODY = 65_536;

/** From the first to the last; one that failed may turn out to have arrived after all. */
export const STATUSES = ['pending', 'sent', 'failed', 'delivered', 'read'] as const;
export const MessageStatus = z.enum(STATUSES);
export type MessageStatus = z.output<typeof MessageStatus>;
export const rankOf = (status: MessageStatus): number => STATUSES.indexOf(status);

export const Direction = z.enum(['inbound', 'outbound']);
const MessageType = z.enum([
  'text',
  'image',
  'audio',
  'video',
  'document',
  'sticker',
  'location',
  'contact',
  'reaction',
  'poll',
  'other',
]);

const keyText = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[\x21-\x7e]+$/, 'must be 1 to 200 visible ASCII characters');

/** One message as the extension knows it. */
export const SyncItem = z
  .strictObject({
    clientId: keyText.optional(),
    providerId: keyText.optional(),
    chat: z
      .strictObject({
        waId: z
          .string()
          .regex(
            /^\d{5,20}(@(c\.us|s\.whatsapp\.net))?$/,
            'must be the WhatsApp id of a person, like 5511987654321@c.us',
          )
          .optional(),
        lid: z
          .string()
          .regex(/^\d{5,30}(@lid)?$/, 'must be a WhatsApp lid, like 128312839@lid')
          .optional(),
        phone: z.string().min(1).max(60).optional(),
      })
      .refine((chat) => Object.keys(chat).length > 0, 'must have a waId, a lid or a phone'),
    direction: Direction,
    type: MessageType.default('text'),
    body: z.string().max(MAX_BODY).optional(),
    mediaRef: z.string().max(500).optional(),
    sentAt: z.iso.datetime({ offset: true }),
    status: MessageStatus.optional(),
    errorCode: z.string().max(100).optional(),
    /** What the chat is called. */
    name: z.string().max(200).optional(),
  })
  .refine(({ clientId, providerId }) => clientId !== undefined || providerId !== undefined, {
    path: ['clientId'],
    message: 'give a clientId, a providerId or both',
  })
  .meta({ id: 'SyncMessage' });
export type SyncItem = z.output<typeof SyncItem>;

export const SyncBody = z.strictObject({
  channel: z.strictObject({
    /** The own number or WhatsApp id of who is signed in. */
    externalId: keyText,
    name: nameText(100).optional(),
  }),
  messages: z.array(z.unknown()).min(1).max(MAX_BATCH).meta({
    description: 'Each a SyncMessage; one that is not is answered as invalid and does not keep the others out',
  }),
});

const SyncOutcome = z.object({
  outcome: z.enum(['created', 'known', 'updated', 'invalid']),
  messageId: z.uuid().nullable(),
  /** What is wrong with it. */
  why: z.object({ path: z.string(), code: z.string(), message: z.string() }).nullable(),
});
export type SyncOutcome = z.output<typeof SyncOutcome>;
export const SyncView = z
  .object({
    channelId: z.uuid(),
    counts: z.object({ created: z.int(), known: z.int(), updated: z.int(), invalid: z.int() }),
    /** In the order of the messages. */
    results: z.array(SyncOutcome),
  })
  .meta({ id: 'MessagesSynced' });

export const MessageView = z
  .object({
    id: z.uuid(),
    conversationId: z.uuid(),
    contactId: z.uuid(),
    channelId: z.uuid(),
    direction: Direction,
    type: z.string(),
    body: z.string().nullable(),
    mediaRef: z.string().nullable(),
    status: MessageStatus,
    errorCode: z.string().nullable(),
    clientId: z.string().nullable(),
    providerId: z.string().nullable(),
    /** The campaign it was sent for, and which of its recipients it was for. */
    campaignId: z.uuid().nullable(),
    campaignItemId: z.uuid().nullable(),
    sentAt: z.iso.datetime(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Message' });
export type MessageView = z.output<typeof MessageView>;
export const MessagePage = pageOf(MessageView);

export const MessagesQuery = PageQuery.extend({ contactId: IdText });

const Moment = z.iso
  .datetime({ offset: true })
  .refine((text) => text.startsWith('20'), 'must be of this century')
  .transform((text) => new Date(text).toISOString());
export const SearchQuery = PageQuery.extend({
  q: z.string().trim().min(1).max(200),
  contactId: IdText.optional(),
  channelId: IdText.optional(),
  from: Moment.optional(),
  to: Moment.optional(),
});

export const StatusBody = z.strictObject({
  status: z.enum(['sent', 'delivered', 'read', 'failed']),
  errorCode: z.string().max(100).optional(),
});

export const ConversationView = z
  .object({
    id: z.uuid(),
    channelId: z.uuid(),
    contact: z.object({ id: z.uuid(), name: z.string(), phone: z.string().nullable(), ownerId: z.uuid().nullable() }),
    status: z.enum(['open', 'closed']),
    assigneeId: z.uuid().nullable(),
    unreadCount: z.int(),
    lastMessageId: z.uuid(),
    lastMessageAt: z.iso.datetime(),
    lastInboundAt: z.iso.datetime().nullable(),
    lastOutboundAt: z.iso.datetime().nullable(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Conversation' });
export type ConversationView = z.output<typeof ConversationView>;

const Flag = z.enum(['true', 'false']).transform((text) => text === 'true');
export const ConversationsQuery = PageQuery.extend({
  unread: Flag.optional(),
  /** A member's id, `me` or `none`. */
  assignee: z.union([IdText, z.enum(['me', 'none'])]).optional(),
  status: z.enum(['open', 'closed']).optional(),
  channelId: IdText.optional(),
  contactId: IdText.optional(),
  /** In the contact's name, company, e-mail or phone. */
  q: z.string().trim().min(2).max(100).optional(),
});

export const ConversationBody = z
  .strictObject({
    status: z.enum(['open', 'closed']).optional(),
    assigneeId: IdText.nullable().optional(),
    /** Everything up to now was read. */
    read: z.literal(true).optional(),
  })
  .refine((body) => Object.keys(body).length > 0, 'must change something');
export type ConversationBody = z.output<typeof ConversationBody>;
