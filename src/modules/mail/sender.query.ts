import type { Pool } from 'pg';

/** A mail that this process has taken to send. */
export interface TakenMail {
  id: string;
  subject: string;
  recipient: Buffer;
  body: Buffer;
  /** This attempt's number, from 1. */
  attempts: number;
}

/**
 * Takes mails that are due, those longest due first. Each is this caller's for `leaseMs`: if nothing more is heard of it, it is due again
 * then. Several may take at once and never take the same.
 */
export async function takeDueMails(pool: Pool, limit: number, leaseMs: number): Promise<TakenMail[]> {
  const { rows } = await pool.query<TakenMail>({
    name: 'mail-take-due',
    text: `with due as materialized (select id from outgoing_mail where next_attempt_at <= now()
        order by next_attempt_at limit $1 for update skip locked)
      update outgoing_mail m set attempts = m.attempts + 1, next_attempt_at = now() + $2 * interval '1 millisecond'
        from due where m.id = due.id returning m.id, m.subject, m.recipient, m.body, m.attempts`,
    values: [limit, leaseMs],
  });
  return rows;
}

/** A mail is over: sent, or given up. What it said and to whom is gone from here on. */
export async function closeMail(pool: Pool, id: string, isSent: boolean): Promise<void> {
  await pool.query({
    name: 'mail-close',
    text: `update outgoing_mail set recipient = null, body = null, next_attempt_at = null,
      sent_at = case when $2 then now() end where id = $1`,
    values: [id, isSent],
  });
}

export async function postponeMail(pool: Pool, id: string, delayMs: number): Promise<void> {
  await pool.query({
    name: 'mail-postpone',
    text: `update outgoing_mail set next_attempt_at = now() + $2 * interval '1 millisecond'
      where id = $1 and next_attempt_at is not null`,
    values: [id, delayMs],
  });
}

/** Drops mails made a week ago, and decoys after a day: nothing of either is of use. @returns how many; call again while > 0 */
export async function purgeMails(pool: Pool): Promise<number> {
  const { rowCount } = await pool.query(
    `delete from outgoing_mail where id in (select id from outgoing_mail where next_attempt_at is null
       and created_at < now() - case when attempts = 0 then interval '1 day' else interval '7 days' end
       order by created_at limit 1000 for update skip locked)`,
  );
  return rowCount ?? 0;
}
