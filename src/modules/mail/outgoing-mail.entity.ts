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
    /** What it is for: mails about an account go before all others, and a reminder is never sent twice. */
    purpose: p.enum(['account', 'notice', 'reminder'] as const).default('account'),
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
      properties: ['purpose', 'nextAttemptAt'],
      where: 'next_attempt_at is not null',
    },
  ],
});

export class OutgoingMail extends OutgoingMailSchema.class {}
OutgoingMailSchema.setClass(OutgoingMail);
