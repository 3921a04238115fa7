import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, conflict, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { may } from '#src/http/permissions.ts';
import { newId } from '#src/lib/ids.ts';
import { momentIn } from '#src/lib/time-zone.ts';
import { seenContact } from '#src/modules/contacts/contact-access.ts';
import { readDeal } from '#src/modules/deals/deals.service.ts';
import type { Mine } from '#src/modules/notifications/notifications.query.ts';
import {
  changeReminder,
  findReminder,
  findReminders,
  insertReminder,
  removeReminder,
  type ReminderRow,
} from '#src/modules/reminders/reminders.query.ts';
import type {
  ReminderBody,
  ReminderPatch,
  ReminderQuery,
  ReminderView,
} from '#src/modules/reminders/reminders.schemas.ts';
import { mustFindTask } from '#src/modules/tasks/tasks.service.ts';
import type { Runtime } from '#src/runtime.ts';

/** Where a page ends. Postgres knows no year 0. */
const Place = z.tuple([z.iso.datetime().refine((at) => !at.startsWith('0000')), z.uuid()]);

type Needs = Pick<Runtime, 'orm' | 'settings'>;

/** How many of one member may wait in one workspace. */
export const MAX_PENDING = 1000;
/** A clock that is wrong by a minute is no reason to refuse. */
const SLACK_MS = 60_000;
const FARTHEST_MS = 5 * 366 * 86_400_000;

/** One's own reminders, the earliest first. */
export async function listReminders({ orm }: Needs, mine: Mine, { limit, cursor, status }: ReminderQuery) {
  const after = cursor === undefined ? null : decodeCursor(cursor, Place);
  const rows = await inWorkspaceTx(orm, mine, (em) =>
    findReminders(em, mine, { status: status ?? null, after, limit: limit + 1 }),
  );
  return toPage(rows, limit, ({ remind_at, id }) => [remind_at, id], present);
}

/** @throws AppError 404 */
export function readReminder({ orm }: Needs, mine: Mine, id: string): Promise<ReminderView> {
  return inWorkspaceTx(orm, mine, async (em) => present(found(await findReminder(em, mine, id))));
}

const SUBJECTS = {
  contact: { name: 'The contact', permission: 'contacts:read', find: seenContact },
  deal: { name: 'The deal', permission: 'deals:read', find: readDeal },
  task: { name: 'The task', permission: 'tasks:read', find: mustFindTask },
} as const;

/** @returns what a reminder is about; of a contact that was merged, the one it became. @throws AppError 404 where the caller sees none */
async function seenSubject(em: EntityManager, auth: Auth, subject: ReminderBody['subject']) {
  if (subject === null) return null;
  const { name, permission, find } = SUBJECTS[subject.type];
  if (!may(auth, permission)) throw notFound(name);
  return { type: subject.type, id: (await find(em, auth, subject.id)).id };
}

/** @throws AppError 400 for a time that is past or too far, 404 for what it is about, 409 `too_many_reminders` */
export async function addReminder(rt: Needs, auth: Auth, body: ReminderBody): Promise<ReminderView> {
  const remindAt = await momentOf(rt, auth, body.remindAt);
  const row = await inWorkspaceTx(rt.orm, auth, async (em) => {
    const subject = await seenSubject(em, auth, body.subject);
    return insertReminder(em, auth, { ...body, id: newId(), remindAt, subject }, MAX_PENDING);
  });
  if (!row) throw conflict('too_many_reminders', `No more than ${MAX_PENDING} reminders can wait. Delete some first.`);
  return present(row);
}

/** @throws AppError 400 as `addReminder`, 404, 409 `reminder_over` */
export async function editReminder(rt: Needs, mine: Mine, id: string, patch: ReminderPatch): Promise<ReminderView> {
  const remindAt = patch.remindAt === undefined ? undefined : await momentOf(rt, mine, patch.remindAt);
  return change(rt, mine, id, (row) => ({
    title: patch.title ?? row.title,
    note: patch.note === undefined ? row.note : patch.note,
    remindAt: remindAt?.toISOString() ?? row.remind_at,
    status: 'pending',
  }));
}

/** It will not come, and is kept. @throws AppError 404, 409 `reminder_over` */
export function cancelReminder(rt: Needs, mine: Mine, id: string): Promise<ReminderView> {
  return change(rt, mine, id, ({ title, note, remind_at }) => ({
    title,
    note,
    remindAt: remind_at,
    status: 'cancelled',
  }));
}

/** @throws AppError 404 */
export function deleteReminder({ orm }: Needs, mine: Mine, id: string): Promise<void> {
  return inWorkspaceTx(orm, mine, async (em) => {
    if (!(await removeReminder(em, mine, id))) throw notFound('The reminder');
  });
}

type Changed = Parameters<typeof changeReminder>[3];

function change({ orm }: Needs, mine: Mine, id: string, edit: (row: ReminderRow) => Changed): Promise<ReminderView> {
  return inWorkspaceTx(orm, mine, async (em) => {
    const row = found(await findReminder(em, mine, id));
    const changed = await changeReminder(em, mine, id, edit(row));
    if (!changed) throw conflict('reminder_over', 'The reminder has come or was cancelled. Make a new one.');
    return present(changed);
  });
}

function found(row: ReminderRow | undefined): ReminderRow {
  if (!row) throw notFound('The reminder');
  return row;
}

async function momentOf({ settings }: Needs, { userId }: Mine, text: string): Promise<Date> {
  const at = momentIn(text, (await settings.readUser(userId))['ui.timeZone']);
  const awayMs = at.getTime() - Date.now();
  if (awayMs >= -SLACK_MS && awayMs <= FARTHEST_MS) return at;
  const message = awayMs < 0 ? 'must not be past' : 'must be within five years';
  throw badRequest('validation_failed', `remindAt ${message}.`, [{ path: 'remindAt', code: 'out_of_range', message }]);
}

const present = (row: ReminderRow): ReminderView => ({
  id: row.id,
  title: row.title,
  note: row.note,
  remindAt: row.remind_at,
  subject: row.subject,
  status: row.status,
  sentAt: row.sent_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});
