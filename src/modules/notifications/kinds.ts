import { z } from 'zod';
import type { Role } from '#src/http/access-token.ts';
import { readsPortuguese } from '#src/modules/mail/templates.ts';
import type { ValuesOf } from '#src/modules/settings/registry.ts';

/** What a reader sees of a notification. */
export interface Words {
  title: string;
  body: string;
  /** A mail's, where the title is not fit for one: subjects are stored in the clear. */
  subject?: string;
}

/** What a text is made with besides its data. */
export interface About {
  /** The name of the member it speaks of; null in mails, where no name somebody typed may stand, and when they have gone. */
  name: string | null;
  locale: string;
  timeZone: string;
}

type Switches = Exclude<
  { [Key in keyof ValuesOf<'user'>]: ValuesOf<'user'>[Key] extends boolean ? Key : never }[keyof ValuesOf<'user'>],
  undefined
>;

/** A kind of notification: what it says in either language, and which of its reader's settings turn it on. */
export interface Kind {
  data: z.ZodType;
  /** `true`: always shown; `false`: never, since its reader is no member any more. */
  inApp: Switches | boolean;
  email: Switches;
  /** @param data as it is stored; throws when it is not of this kind */
  say(data: unknown, about: About): Words;
}

interface Spoken<Data extends z.ZodType> {
  data: Data;
  inApp: Switches | boolean;
  email: Switches;
  pt: (data: z.output<Data>, about: About) => Words;
  en: (data: z.output<Data>, about: About) => Words;
}

function kind<Data extends z.ZodType>({ data: schema, inApp, email, pt, en }: Spoken<Data>): Kind {
  const say = (data: unknown, about: About) => (readsPortuguese(about.locale) ? pt : en)(schema.parse(data), about);
  return { data: schema, inApp, email, say };
}

const ROLES_PT: Record<Role, string> = {
  owner: 'proprietário',
  admin: 'administrador',
  member: 'membro',
  viewer: 'leitor',
};
const ROLES_EN: Record<Role, string> = { owner: 'owner', admin: 'admin', member: 'member', viewer: 'viewer' };

const Membership = z.object({ userId: z.uuid(), role: z.enum(['owner', 'admin', 'member', 'viewer']) });

/** A moment as its reader's clock and calendar show it. */
const momentOf = (iso: string, { locale, timeZone }: About): string =>
  new Intl.DateTimeFormat(readsPortuguese(locale) ? 'pt-BR' : 'en', {
    dateStyle: 'medium',
    timeStyle: 'short',
    timeZone,
  }).format(new Date(iso));

const amountOf = (credits: number, locale: string): string =>
  new Intl.NumberFormat(readsPortuguese(locale) ? 'pt-BR' : 'en', { maximumFractionDigits: 1 }).format(credits);

const moneyOf = (minor: number, currency: string, locale: string): string =>
  new Intl.NumberFormat(readsPortuguese(locale) ? 'pt-BR' : 'en', { style: 'currency', currency }).format(minor / 100);

/** Every kind of notification there is. */
export const KINDS = {
  'member.joined': kind({
    data: Membership,
    inApp: 'notifications.member.joined.inApp',
    email: 'notifications.member.joined.email',
    pt: ({ role }, { name }) => ({
      title: 'Alguém entrou na equipe',
      body: `${name ?? 'Uma pessoa'} aceitou o convite e agora é ${ROLES_PT[role]}.`,
    }),
    en: ({ role }, { name }) => ({
      title: 'Somebody joined your team',
      body: `${name ?? 'Somebody'} accepted the invitation. Their role is ${ROLES_EN[role]}.`,
    }),
  }),
  'member.changed': kind({
    data: Membership,
    inApp: 'notifications.member.changed.inApp',
    email: 'notifications.member.changed.email',
    pt: ({ role }) => ({
      title: 'O seu acesso mudou',
      body: `O seu papel ou as suas permissões em uma equipe mudaram. O seu papel agora é ${ROLES_PT[role]}.`,
    }),
    en: ({ role }) => ({
      title: 'Your access has changed',
      body: `Your role or your rights in a team have changed. Your role is now ${ROLES_EN[role]}.`,
    }),
  }),
  'member.removed': kind({
    data: Membership,
    inApp: false,
    email: 'notifications.member.removed.email',
    pt: () => ({
      title: 'Você saiu de uma equipe',
      body: 'O seu acesso ao espaço de trabalho de uma equipe foi removido. A sua conta continua a mesma.',
    }),
    en: () => ({
      title: 'You are no longer in a team',
      body: "Your access to a team's workspace was taken away. Your account stays as it is.",
    }),
  }),
  'credits.low': kind({
    data: z.object({ remaining: z.number(), lowAt: z.number() }),
    inApp: 'notifications.credits.inApp',
    email: 'notifications.credits.email',
    pt: ({ remaining }, { locale }) => ({
      title: 'Os créditos estão acabando',
      body: `Restam ${amountOf(remaining, locale)} créditos de IA. Adicione créditos para que os trabalhos não parem.`,
    }),
    en: ({ remaining }, { locale }) => ({
      title: 'Credits are running low',
      body: `${amountOf(remaining, locale)} AI credits are left. Add credits before jobs are refused.`,
    }),
  }),
  'credits.exhausted': kind({
    data: z.object({ remaining: z.number() }),
    inApp: 'notifications.credits.inApp',
    email: 'notifications.credits.email',
    pt: ({ remaining }, { locale }) => ({
      title: 'Os créditos acabaram',
      body: `Restam ${amountOf(remaining, locale)} créditos de IA: trabalhos pagos são recusados até que você adicione créditos.`,
    }),
    en: ({ remaining }, { locale }) => ({
      title: 'Credits are used up',
      body: `${amountOf(remaining, locale)} AI credits are left: paid jobs are refused until you add some.`,
    }),
  }),
  'billing.invoice_due': kind({
    data: z.object({ invoiceId: z.uuid(), amountMinor: z.int(), currency: z.string(), dueAt: z.string().nullable() }),
    inApp: 'notifications.billing.inApp',
    email: 'notifications.billing.email',
    pt: ({ amountMinor, currency, dueAt }, about) => ({
      title: 'Uma fatura vence em breve',
      body: `A fatura do seu plano é de ${moneyOf(amountMinor, currency, about.locale)}${dueAt ? ` e vence em ${momentOf(dueAt, about)}` : ''}.`,
    }),
    en: ({ amountMinor, currency, dueAt }, about) => ({
      title: 'An invoice is due soon',
      body: `The invoice for your plan is ${moneyOf(amountMinor, currency, about.locale)}${dueAt ? `, due ${momentOf(dueAt, about)}` : ''}.`,
    }),
  }),
  'billing.payment_failed': kind({
    data: z.object({ invoiceId: z.uuid(), nextAttemptAt: z.string().nullable() }),
    inApp: 'notifications.billing.inApp',
    email: 'notifications.billing.email',
    pt: ({ nextAttemptAt }, about) => ({
      title: 'Um pagamento falhou',
      body: `O pagamento do seu plano não foi aceito${nextAttemptAt ? `; a próxima tentativa é em ${momentOf(nextAttemptAt, about)}` : ''}. Confira a forma de pagamento.`,
    }),
    en: ({ nextAttemptAt }, about) => ({
      title: 'A payment failed',
      body: `The payment for your plan was refused${nextAttemptAt ? `; the next attempt is on ${momentOf(nextAttemptAt, about)}` : ''}. Look at how you pay.`,
    }),
  }),
  'billing.past_due': kind({
    data: z.object({ subscriptionId: z.uuid(), graceUntil: z.string() }),
    inApp: 'notifications.billing.inApp',
    email: 'notifications.billing.email',
    pt: ({ graceUntil }, about) => ({
      title: 'O pagamento do seu plano está atrasado',
      body: `O plano continua até ${momentOf(graceUntil, about)}. Sem o pagamento, a equipe volta então ao plano gratuito.`,
    }),
    en: ({ graceUntil }, about) => ({
      title: 'The payment for your plan is overdue',
      body: `The plan goes on until ${momentOf(graceUntil, about)}. Without the payment your team is then back on the free plan.`,
    }),
  }),
  'billing.disputed': kind({
    data: z.object({ status: z.enum(['open', 'won', 'lost']), amountMinor: z.int(), currency: z.string() }),
    inApp: 'notifications.billing.inApp',
    email: 'notifications.billing.email',
    pt: ({ status, amountMinor, currency }, about) => ({
      title: {
        open: 'Um pagamento foi contestado',
        won: 'Uma contestação acabou a favor',
        lost: 'Um pagamento foi estornado',
      }[status],
      body: `${
        {
          open: 'O banco pede de volta',
          won: 'O banco já não pede de volta',
          lost: 'O banco estornou',
        }[status]
      } ${moneyOf(amountMinor, currency, about.locale)} do seu plano. ${
        {
          open: 'Até a decisão, os créditos desse pagamento não valem.',
          won: 'Os créditos desse pagamento voltaram.',
          lost: 'Os créditos desse pagamento não voltam.',
        }[status]
      }`,
    }),
    en: ({ status, amountMinor, currency }, about) => ({
      title: { open: 'A payment is disputed', won: 'A dispute has ended well', lost: 'A payment was charged back' }[
        status
      ],
      body: `${
        {
          open: 'The bank asks back',
          won: 'The bank no longer asks back',
          lost: 'The bank took back',
        }[status]
      } ${moneyOf(amountMinor, currency, about.locale)} of your plan. ${
        {
          open: 'Until that is decided, the credits of this payment are gone.',
          won: 'The credits of this payment are there again.',
          lost: 'The credits of this payment stay gone.',
        }[status]
      }`,
    }),
  }),
  'license.expiring': kind({
    data: z.object({
      plan: z.string(),
      phase: z.enum(['soon', 'grace']),
      expiresAt: z.iso.datetime(),
      graceUntil: z.iso.datetime(),
    }),
    inApp: 'notifications.billing.inApp',
    email: 'notifications.billing.email',
    pt: ({ plan, phase, expiresAt, graceUntil }, about) => ({
      title: phase === 'soon' ? 'A sua licença está acabando' : 'A sua licença acabou',
      body: `A licença do plano ${plan} ${phase === 'soon' ? 'acaba' : 'acabou'} em ${momentOf(expiresAt, about)}. Sem outra, o plano passa a ser o free em ${momentOf(graceUntil, about)}.`,
    }),
    en: ({ plan, phase, expiresAt, graceUntil }, about) => ({
      title: phase === 'soon' ? 'Your licence is about to end' : 'Your licence has ended',
      body: `The licence of the plan ${plan} ${phase === 'soon' ? 'ends' : 'ended'} on ${momentOf(expiresAt, about)}. Without another, the plan becomes free on ${momentOf(graceUntil, about)}.`,
    }),
  }),
  'billing.plan_changed': kind({
    data: z.object({ from: z.string(), to: z.string() }),
    inApp: 'notifications.billing.inApp',
    email: 'notifications.billing.email',
    pt: ({ from, to }) => ({
      title: from === to ? 'Os limites do seu plano mudaram' : 'O seu plano mudou',
      body: from === to ? `O plano continua a ser ${to}, com outros limites.` : `O plano passou de ${from} a ${to}.`,
    }),
    en: ({ from, to }) => ({
      title: from === to ? 'The limits of your plan have changed' : 'Your plan has changed',
      body: from === to ? `The plan is still ${to}, with other limits.` : `The plan went from ${from} to ${to}.`,
    }),
  }),
  'webhook.disabled': kind({
    data: z.object({ webhookId: z.uuid(), reason: z.enum(['gone', 'failing']) }),
    inApp: 'notifications.webhook.disabled.inApp',
    email: 'notifications.webhook.disabled.email',
    pt: ({ reason }) => ({
      title: 'Um webhook foi desativado',
      body: `${
        reason === 'gone'
          ? 'Um dos seus endereços respondeu que não existe mais'
          : 'As entregas a um dos seus endereços falharam por tempo demais'
      }, e o webhook foi desativado. Corrija o endereço e ative-o de novo.`,
    }),
    en: ({ reason }) => ({
      title: 'A webhook was turned off',
      body: `${
        reason === 'gone'
          ? 'One of your addresses answered that it is gone'
          : 'Deliveries to one of your addresses failed for too long'
      }, so its webhook was turned off. Mend the address and turn it on again.`,
    }),
  }),
  'ai.job.failed': kind({
    data: z.object({ jobId: z.uuid(), engine: z.string(), problemCode: z.string().nullable() }),
    inApp: 'notifications.ai.job.failed.inApp',
    email: 'notifications.ai.job.failed.email',
    pt: ({ engine, problemCode }) => ({
      title: 'Um trabalho de IA falhou',
      body: `O trabalho ${engine} terminou sem resultado (${problemCode ?? 'unknown'}).`,
    }),
    en: ({ engine, problemCode }) => ({
      title: 'An AI job failed',
      body: `The job ${engine} ended without a result (${problemCode ?? 'unknown'}).`,
    }),
  }),
  'batch.ended': kind({
    data: z.object({ jobId: z.uuid() }),
    inApp: 'notifications.batch.ended.inApp',
    email: 'notifications.batch.ended.email',
    pt: () => ({
      title: 'O seu lote terminou',
      body: 'Todos os trabalhos do seu lote terminaram. Veja os resultados.',
    }),
    en: () => ({ title: 'Your batch has ended', body: 'All jobs of your batch are over. The results are there.' }),
  }),
  reminder: kind({
    data: z.object({
      reminderId: z.uuid(),
      title: z.string(),
      note: z.string().nullable(),
      remindAt: z.iso.datetime(),
      isLate: z.boolean(),
    }),
    inApp: true,
    email: 'notifications.reminder.email',
    pt: ({ title, note, remindAt, isLate }, about) => ({
      title,
      body: [isLate ? `Com atraso: era para ${momentOf(remindAt, about)}.` : momentOf(remindAt, about), note ?? '']
        .join('\n')
        .trim(),
      subject: 'Lembrete',
    }),
    en: ({ title, note, remindAt, isLate }, about) => ({
      title,
      body: [isLate ? `Late: it was due at ${momentOf(remindAt, about)}.` : momentOf(remindAt, about), note ?? '']
        .join('\n')
        .trim(),
      subject: 'Reminder',
    }),
  }),
} as const satisfies Record<string, Kind>;

export type KindName = keyof typeof KINDS;

export function isKindName(name: string): name is KindName {
  return Object.hasOwn(KINDS, name);
}
