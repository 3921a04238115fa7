import { defineEntity, p } from '@mikro-orm/postgresql';
import { newId } from '#src/lib/ids.ts';

/**
 * A mail on its way. It carries secrets, so address and body are sealed, and gone once it is sent or given up; nothing is due then
 * (`nextAttemptAt` is null).
 */
export const OutgoingMailSchema = defineEntity({
  name: 'OutgoingMail',
  properties: {
    id: p
      .uuid()
      .primary()
      .defaultRaw('uuidv7()')
      .onCreate(() => newId()),
    createdAt: p.datetime().defaultRaw('now()').index(),
    subject: p.text(),
    recipient: p.blob().nullable(),
    body: p.blob().nullable(),
    attempts: p.integer().default(0),
    nextAttemptAt: p.datetime().nullable().defaultRaw('now()'),
    sentAt: p.datetime().nullable(),
  },
  indexes: [
    {
      name: 'outgoing_mail_due_index',
      properties: ['nextAttemptAt'],
      where: 'next_attempt_at is not null',
    },
  ],
});

export class OutgoingMail extends OutgoingMailSchema.class {}
OutgoingMailSchema.setClass(OutgoingMail);
