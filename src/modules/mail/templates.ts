/** What a mail is about. The first three carry a link, the others only tell. */
export type MailKind =
  | 'verify_email'
  | 'reset_password'
  | 'invite'
  | 'password_changed'
  | 'totp_enabled'
  | 'totp_disabled';

export interface RenderedMail {
  subject: string;
  text: string;
  html: string;
}

interface Words {
  subject: string;
  before: string;
  link?: string;
  after: string;
}

const ALARM = {
  pt: 'Se não foi você, redefina a sua senha agora: alguém mais pode ter acesso à sua conta.',
  en: 'If this was not you, reset your password now: somebody else may have access to your account.',
};

/*
 * Nothing a user typed stands in a mail, not even a name: who registers with a stranger's address would otherwise write the mail that the
 * stranger gets from us.
 */
const PT: Record<MailKind, Words> = {
  verify_email: {
    subject: 'Confirme o seu e-mail',
    before: 'Confirme que este endereço é seu. O link vale por 24 horas.',
    link: 'Confirmar o e-mail',
    after: 'Se você não criou uma conta no WhatsHybrid, ignore esta mensagem.',
  },
  reset_password: {
    subject: 'Redefina a sua senha',
    before: 'Alguém pediu uma nova senha para a sua conta. O link vale por 30 minutos e só uma vez.',
    link: 'Escolher uma nova senha',
    after: 'Se não foi você, ignore esta mensagem: a sua senha continua a mesma.',
  },
  invite: {
    subject: 'Convite para uma equipe no WhatsHybrid',
    before: 'Você foi convidado para o espaço de trabalho de uma equipe. O convite vale por 7 dias.',
    link: 'Aceitar o convite',
    after:
      'Se você ainda não tem uma conta, crie uma com este endereço antes. Se não esperava o convite, ignore esta mensagem.',
  },
  password_changed: {
    subject: 'A sua senha foi alterada',
    before: 'A senha da sua conta foi alterada, e as outras sessões foram encerradas.',
    after: ALARM.pt,
  },
  totp_enabled: {
    subject: 'Verificação em duas etapas ativada',
    before: 'A verificação em duas etapas foi ativada na sua conta.',
    after: ALARM.pt,
  },
  totp_disabled: {
    subject: 'Verificação em duas etapas desativada',
    before: 'A verificação em duas etapas foi desativada na sua conta.',
    after: ALARM.pt,
  },
};

const EN: Record<MailKind, Words> = {
  verify_email: {
    subject: 'Confirm your e-mail address',
    before: 'Confirm that this address is yours. The link is good for 24 hours.',
    link: 'Confirm the address',
    after: 'If you did not make an account at WhatsHybrid, ignore this message.',
  },
  reset_password: {
    subject: 'Reset your password',
    before: 'Somebody asked for a new password for your account. The link is good for 30 minutes, and once.',
    link: 'Choose a new password',
    after: 'If this was not you, ignore this message: your password stays as it is.',
  },
  invite: {
    subject: 'An invitation to a team on WhatsHybrid',
    before: 'You were asked into the workspace of a team. The invitation is good for 7 days.',
    link: 'Accept the invitation',
    after:
      'If you have no account yet, make one with this address first. If you did not expect this, ignore this message.',
  },
  password_changed: {
    subject: 'Your password was changed',
    before: 'The password of your account was changed, and your other sessions were ended.',
    after: ALARM.en,
  },
  totp_enabled: {
    subject: 'Two-step verification is on',
    before: 'Two-step verification was turned on for your account.',
    after: ALARM.en,
  },
  totp_disabled: {
    subject: 'Two-step verification is off',
    before: 'Two-step verification was turned off for your account.',
    after: ALARM.en,
  },
};

/** Whether somebody reads Portuguese; everybody else gets English. @param locale a language tag */
export const readsPortuguese = (locale: string): boolean => /^pt\b/i.test(locale);

/**
 * A mail in the language of its reader: Portuguese, or English for any other.
 * @param url where its link goes, for kinds that carry one
 */
export function renderMail(kind: MailKind, locale: string, url?: string): RenderedMail {
  const { subject, before, link, after } = (readsPortuguese(locale) ? PT : EN)[kind];
  const linked = link === undefined || url === undefined ? undefined : { text: link, url };
  return layOut({ locale, subject, before: [before], link: linked, after });
}

/**
 * The shape all mails have, as text and as HTML.
 * @param parts any texts; what is markup in HTML is made harmless
 */
export function layOut(parts: {
  locale: string;
  subject: string;
  before: string[];
  link?: { text: string; url: string } | undefined;
  after: string;
}): RenderedMail {
  const { locale, subject, before, link, after } = parts;
  const lines = [...before, ...(link ? [link.url] : []), after, 'WhatsHybrid'];
  const anchor = link ? `<p><a href="${escaped(link.url)}">${escaped(link.text)}</a></p>\n` : '';
  const paragraphs = before.map((text) => `<p>${escaped(text)}</p>\n`).join('');
  return {
    subject,
    text: `${lines.join('\n\n')}\n`,
    html: `<!doctype html>\n<html lang="${readsPortuguese(locale) ? 'pt-BR' : 'en'}"><meta charset="utf-8"><title>${escaped(subject)}</title>
${paragraphs}${anchor}<p>${escaped(after)}</p>\n<p>WhatsHybrid</p></html>\n`,
  };
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
