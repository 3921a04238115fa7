import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { publicUrl, type Config } from '#src/config.ts';
import { newId } from '#src/lib/ids.ts';
import { openText, sealText } from '#src/lib/sealed.ts';
import { OutgoingMail } from '#src/modules/mail/outgoing-mail.entity.ts';
import { renderMail, type MailKind } from '#src/modules/mail/templates.ts';

const Body = z.object({ text: z.string(), html: z.string() });

const placeOf = (column: 'recipient' | 'body', id: string) => `outgoing_mail.${column}:${id}`;

export interface Letter {
  kind: MailKind;
  to: { email: string; locale: string };
  /** What the mail's link carries, for kinds that have one. */
  token?: string;
}

/** The pages a link leads to. The token stands behind `#`, so that it is in no request line, no referrer and no log. */
const PAGES: Partial<Record<MailKind, string>> = {
  verify_email: '/verify-email',
  reset_password: '/reset-password',
  invite: '/accept-invite',
};

/**
 * Puts a mail into the outbox, in the transaction that `em` is in; the `control` process sends it once that is committed.
 * @param isDecoy writes the same row, which is never sent: for an address without an account
 */
export function queueMail(
  em: EntityManager,
  config: Pick<Config, 'APP_SECRET' | 'PUBLIC_URL' | 'HOST' | 'PORT'>,
  { kind, to, token }: Letter,
  isDecoy = false,
): void {
  const page = PAGES[kind];
  const url = page === undefined || token === undefined ? undefined : `${publicUrl(config)}${page}#token=${token}`;
  const { subject, ...body } = renderMail(kind, to.locale, url);
  const id = newId();
  em.create(OutgoingMail, {
    id,
    subject,
    recipient: sealText(config.APP_SECRET, placeOf('recipient', id), to.email),
    body: sealText(config.APP_SECRET, placeOf('body', id), JSON.stringify(body)),
    ...(isDecoy ? { nextAttemptAt: null } : {}),
  });
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
