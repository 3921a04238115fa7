import type { PoolClient } from 'pg';
import { v5 } from 'uuid';
import { newId } from '#src/lib/ids.ts';
import { sealMail, type MailPurpose, type SealedMail } from '#src/modules/mail/sealed-mail.ts';
import { insertMails } from '#src/modules/mail/sender.query.ts';
import { layOut, readsPortuguese, type RenderedMail } from '#src/modules/mail/templates.ts';
import { KINDS, type Kind, type KindName, type About } from '#src/modules/notifications/kinds.ts';
import {
  findReaders,
  insertNotifications,
  type Audience,
  type NewNotification,
} from '#src/modules/notifications/notifications.query.ts';
import { valuesOf } from '#src/modules/settings/registry.ts';

/** Something that somebody should hear of. */
export interface Notice {
  workspaceId: string;
  /** The event or the reminder it comes of. */
  sourceId: string;
  kind: KindName;
  data: unknown;
  to: Audience;
}

/**
 * Tells people, in the app and by mail, as each has set it. All of it happens in the transaction, so exactly once; and handed over again,
 * the same notice does nothing.
 * @param tx as the system: notices are of several workspaces
 * @throws when a notice's data is not of its kind
 */
export async function notify(tx: PoolClient, appSecret: string, notices: readonly Notice[]): Promise<void> {
  if (notices.length === 0) return;
  const made: NewNotification[] = [];
  const mails: (SealedMail & { purpose: MailPurpose })[] = [];
  for (const { at, userId, locale, email, isMember, settings } of await findReaders(tx, notices)) {
    const notice = notices[at];
    if (!notice) continue;
    const { to: _, ...about } = notice;
    const kind: Kind = KINDS[notice.kind];
    const data = kind.data.parse(notice.data);
    const values = valuesOf('user', new Map(Object.entries(settings ?? {})));
    const isShown = typeof kind.inApp === 'boolean' ? kind.inApp : values[kind.inApp];
    if (isShown && isMember) made.push({ ...about, id: newId(), userId, data });
    if (email !== null && values['notifications.email'] && values[kind.email]) {
      const mail = renderNotice(kind, data, { name: null, locale, timeZone: values['ui.timeZone'] });
      const purpose = notice.kind === 'reminder' ? 'reminder' : 'notice';
      mails.push({ ...sealMail(appSecret, v5(userId, notice.sourceId), email, mail), purpose });
    }
  }
  if (made.length > 0) await insertNotifications(tx, made);
  if (mails.length > 0) await insertMails(tx, mails);
}

const WHY = {
  pt: 'Você escolhe nas suas configurações quais avisos chegam por e-mail.',
  en: 'Your settings say which notifications come by e-mail.',
};

/** A notification as a mail. */
export function renderNotice(kind: Kind, data: unknown, about: About): RenderedMail {
  const { title, body, subject } = kind.say(data, about);
  return layOut({
    locale: about.locale,
    subject: subject ?? title,
    before: subject === undefined ? [body] : [title, body],
    after: readsPortuguese(about.locale) ? WHY.pt : WHY.en,
  });
}
