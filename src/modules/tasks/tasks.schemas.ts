import { z } from 'zod';
import { IdText, momentText, nameText } from '#src/http/fields.ts';
import { PageQuery, pageOf } from '#src/http/page.ts';
import { ruleProblem } from '#src/modules/tasks/recurrence.ts';

const Priority = z.enum(['low', 'normal', 'high', 'urgent']);
const Status = z.enum(['open', 'completed']);

/** `2026-12-01T09:00` is nine o'clock by the caller's `ui.timeZone`; with `Z` or an offset it is that moment anywhere. */
const When = momentText({ local: true });

const Rule = z
  .string()
  .trim()
  .toUpperCase()
  .min(1)
  .max(300)
  .superRefine((text, context) => {
    const message = ruleProblem(text);
    if (message) context.addIssue({ code: 'custom', message });
  });

const fields = {
  title: nameText(200),
  description: z.string().trim().min(1).max(5000).nullable(),
  priority: Priority,
  dueAt: When.nullable(),
  assigneeId: IdText.nullable(),
  contactId: IdText.nullable(),
  dealId: IdText.nullable(),
  /** An RRULE (RFC 5545) without its prefix. */
  recurrence: Rule.nullable(),
};

export const TaskPatch = z
  .strictObject(fields)
  .partial()
  .refine((body) => Object.keys(body).length > 0, {
    message: 'must change something',
    when: ({ issues }) => issues.length === 0,
  });
export type TaskPatch = z.infer<typeof TaskPatch>;

/** Without `assigneeId` it is the caller's own. */
export const TaskBody = z.strictObject(fields).partial().required({ title: true });
export type TaskBody = z.infer<typeof TaskBody>;

export const TaskView = z
  .object({
    id: z.uuid(),
    title: z.string(),
    description: z.string().nullable(),
    priority: Priority,
    status: Status,
    dueAt: z.iso.datetime().nullable(),
    assigneeId: z.uuid().nullable(),
    contactId: z.uuid().nullable(),
    dealId: z.uuid().nullable(),
    recurrence: z.string().nullable(),
    /** The next turn of a recurring task, once this one is done. */
    nextTaskId: z.uuid().nullable(),
    completedAt: z.iso.datetime().nullable(),
    version: z.int(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Task' });
export type TaskView = z.infer<typeof TaskView>;

export const SORTS = ['dueAt', '-dueAt', 'createdAt', '-createdAt', 'priority'] as const;
export type TaskSort = (typeof SORTS)[number];

export const TaskQuery = PageQuery.extend({
  status: Status.optional(),
  assigneeId: IdText.optional(),
  contactId: IdText.optional(),
  dealId: IdText.optional(),
  dueFrom: When.optional(),
  dueBefore: When.optional(),
  /** `priority`: the most urgent first, of these what is due first. */
  sort: z.enum(SORTS).default('dueAt'),
});
export type TaskQuery = z.infer<typeof TaskQuery>;

/** What is on somebody's plate; the caller's own unless it says whose. */
export const PlateQuery = PageQuery.extend({ assigneeId: IdText.optional() });
export type PlateQuery = z.infer<typeof PlateQuery>;
export const UpcomingQuery = PlateQuery.extend({ days: z.coerce.number().int().min(1).max(90).default(7) });
export type UpcomingQuery = z.infer<typeof UpcomingQuery>;

export const TaskList = pageOf(TaskView);

/** At a time, or so many minutes before the task is due; the latter moves with the task, and comes again with each turn. */
export const TaskReminderBody = z.union([
  z.strictObject({ remindAt: When }),
  z.strictObject({ minutesBefore: z.int().min(0).max(525_600) }),
]);
export type TaskReminderBody = z.infer<typeof TaskReminderBody>;

export const TaskReminderView = z
  .object({
    id: z.uuid(),
    taskId: z.uuid(),
    /** Who is reminded. */
    userId: z.uuid(),
    remindAt: z.iso.datetime(),
    minutesBefore: z.int().nullable(),
    status: z.enum(['pending', 'sent', 'cancelled']),
    sentAt: z.iso.datetime().nullable(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'TaskReminder' });
export type TaskReminderView = z.infer<typeof TaskReminderView>;
export const TaskReminderList = z.object({ data: z.array(TaskReminderView) });
export const TaskReminderParams = z.strictObject({ id: IdText, reminderId: IdText });
