import { z } from 'zod';
import { IdText, momentText, nameText } from '#src/http/fields.ts';
import { PageQuery, pageOf } from '#src/http/page.ts';

const SUBJECTS = ['contact', 'deal', 'task'] as const;

const Note = z.string().trim().min(1).max(2000);

/** `2026-12-01T09:00` is nine o'clock by the caller's `ui.timeZone`; with `Z` or an offset it is that moment anywhere. */
const When = momentText({ local: true });

export const ReminderBody = z.strictObject({
  title: nameText(200),
  note: Note.nullable().default(null),
  remindAt: When,
  /** What it is about. */
  subject: z
    .strictObject({ type: z.enum(SUBJECTS), id: IdText })
    .nullable()
    .default(null),
});
export type ReminderBody = z.infer<typeof ReminderBody>;

export const ReminderPatch = z
  .strictObject({ title: nameText(200).optional(), note: Note.nullable().optional(), remindAt: When.optional() })
  .refine((body) => Object.keys(body).length > 0, {
    message: 'must change something',
    when: ({ issues }) => issues.length === 0,
  });
export type ReminderPatch = z.infer<typeof ReminderPatch>;

const Status = z.enum(['pending', 'sent', 'cancelled']);

export const ReminderView = z
  .object({
    id: z.uuid(),
    title: z.string(),
    note: z.string().nullable(),
    remindAt: z.iso.datetime(),
    subject: z.object({ type: z.enum(SUBJECTS), id: z.uuid() }).nullable(),
    status: Status,
    sentAt: z.iso.datetime().nullable(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Reminder' });
export type ReminderView = z.infer<typeof ReminderView>;

export const ReminderQuery = PageQuery.extend({ status: Status.optional() });
export type ReminderQuery = z.infer<typeof ReminderQuery>;

export const ReminderList = pageOf(ReminderView);
