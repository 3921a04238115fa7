import type { Pool } from 'pg';
import { inTransaction } from '#src/db/transaction.query.ts';
import { notify } from '#src/modules/notifications/notify.ts';
import { takeDueReminders, tellDueTasks } from '#src/modules/reminders/reminders.query.ts';

const BATCH = 200;
/** What comes later than this says so. */
const LATE_MS = 120_000;

/**
 * Reminds of what is due, at most `BATCH` in one transaction: a reminder is over, and its owner told in the app, both or neither; of a task's, the event `task.due` too. Its mail
 * is in the outbox then, from where it is sent at most once. Any number of processes may.
 * @param pool as the system
 * @returns how many; call again while > 0
 */
export function remindDue(pool: Pool, appSecret: string): Promise<number> {
  return inTransaction(pool, async (tx) => {
    const due = await takeDueReminders(tx, BATCH, LATE_MS);
    const notices = due.map(({ workspaceId, id, userId, title, note, remindAt, isLate }) => ({
      workspaceId,
      sourceId: id,
      kind: 'reminder' as const,
      data: { reminderId: id, title, note, remindAt: remindAt.toISOString(), isLate },
      to: { userId },
    }));
    await notify(tx, appSecret, notices);
    await tellDueTasks(tx, due);
    return due.length;
  });
}
