import type { EntityManager } from '@mikro-orm/postgresql';
import { publicUrl, type Config } from '#src/config.ts';
import { newId } from '#src/lib/ids.ts';
import { OutgoingMail } from '#src/modules/mail/outgoing-mail.entity.ts';
import { sealMail } from '#src/modules/mail/sealed-mail.ts';
import { renderMail, type MailKind } from '#src/modules/mail/templates.ts';

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
 * Puts a mail into the outbox, in the transaction that `em` is in; once that is committed, `control` finds it and a worker sends it.
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
  const sealed = sealMail(config.APP_SECRET, newId(), to.email, renderMail(kind, to.locale, url));
  em.create(OutgoingMail, { ...sealed, ...(isDecoy ? { nextAttemptAt: null } : {}) });
}
