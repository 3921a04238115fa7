import { z } from 'zod';
import { openText, sealText } from '#src/lib/sealed.ts';
import type { RenderedMail } from '#src/modules/mail/templates.ts';

/** What a mail is for. */
export type MailPurpose = 'account' | 'notice' | 'reminder';

/** A mail as it is stored: nobody reads in the database to whom it goes, or what it says. */
export interface SealedMail {
  id: string;
  subject: string;
  recipient: Buffer;
  body: Buffer;
}

const Body = z.object({ text: z.string(), html: z.string() });

const placeOf = (column: 'recipient' | 'body', id: string) => `outgoing_mail.${column}:${id}`;

/** Seals a mail for the outbox. @param secretBase64 the installation's */
export function sealMail(secretBase64: string, id: string, to: string, mail: RenderedMail): SealedMail {
  const { subject, ...body } = mail;
  return {
    id,
    subject,
    recipient: sealText(secretBase64, placeOf('recipient', id), to),
    body: sealText(secretBase64, placeOf('body', id), JSON.stringify(body)),
  };
}

/** Opens a mail of the outbox for sending. @throws when it was not sealed by this installation */
export function openMail(
  secretBase64: string,
  sealed: { id: string; subject: string; recipient: Uint8Array; body: Uint8Array },
): { id: string; to: string; subject: string; text: string; html: string } {
  const { id, subject } = sealed;
  const to = openText(secretBase64, placeOf('recipient', id), sealed.recipient);
  return {
    id,
    to,
    subject,
    ...Body.parse(JSON.parse(openText(secretBase64, placeOf('body', id), sealed.body))),
  };
}
