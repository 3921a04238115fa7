import type { Pool, PoolClient } from 'pg';
import type { MailPurpose, SealedMail } from '#src/modules/mail/sealed-mail.ts';

/** A mail that this process has taken to send. */
export interface TakenMail {
  id: string;
  purpose: MailPurpose;
  subject: string;
  recipient: Buffer;
  body: Buffer;
  /** This attempt's number, from 1. */
  attempts: number;
}

/** Puts mails into the outbox, in the transaction of whoever tells. One whose id is there already is left as it is. */
export async function insertMails(tx: PoolClient, mails: (SealedMail & { purpose: MailPurpose })[]): Promise<void> {
  await tx.query({
    name: 'mail-insert',
    text: `insert into outgoing_mail (id, purpose, subject, recipient, body)
      select * from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::bytea[]) on conflict (id) do nothing`,
    values: [
      mails.map(({ id }) => id),
      mails.map(({ purpose }) => purpose),
      mails.map(({ subject }) => subject),
      mails.map(({ recipient }) => recipient),
      mails.map(({ body }) => body),
    ],
  });
}

const due = (purpose: MailPurpose) => `(select id, purpose from outgoing_mail where purpose = '${purpose}'
  and next_attempt_at <= now() order by next_attempt_at limit $1)`;

/** Mails that are due, those about accounts first, then those longest due. @param limit for each purpose */
export async function findDueMails(pool: Pool, limit: number): Promise<{ id: string; purpose: MailPurpose }[]> {
  const { rows } = await pool.query<{ id: string; purpose: MailPurpose }>({
    name: 'mail-find-due',
    text: `${due('account')} union all ${due('notice')} union all ${due('reminder')}`,
    values: [limit],
  });
  return rows;
}

/**
 * Takes a mail that is due. It is this caller's for `leaseMs`: if nothing more is heard of it, it is due again then; one of a reminder is
 * not. Several may try at once, and one gets it.
 */
export async function takeMail(pool: Pool, id: string, leaseMs: number): Promise<TakenMail | undefined> {
  const { rows } = await pool.query<TakenMail>({
    name: 'mail-take',
    text: `update outgoing_mail set attempts = attempts + 1,
        next_attempt_at = case when purpose <> 'reminder' then now() + $2 * interval '1 millisecond' end
      where id = $1 and next_attempt_at <= now() returning id, purpose, subject, recipient, body, attempts`,
    values: [id, leaseMs],
  });
  return rows[0];
}

/** How long until a mail is due, in milliseconds; null when it will not be. */
export async function findWaitMs(pool: Pool, id: string): Promise<number | null> {
  const { rows } = await pool.query<{ waitMs: number }>({
    name: 'mail-wait',
    text: `select greatest(1, ceil(extract(epoch from next_attempt_at - now()) * 1000))::float8 as "waitMs"
      from outgoing_mail where id = $1 and next_attempt_at is not null`,
    values: [id],
  });
  return rows[0]?.waitMs ?? null;
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
      where id = $1 and body is not null`,
    values: [id, delayMs],
  });
}

/**
 * Drops mails made a week ago, and after a day decoys and reminders whose sender died: nothing of either is of use.
 * @returns how many; call again while > 0
 */
export async function purgeMails(pool: Pool): Promise<number> {
  const { rowCount } = await pool.query(
    `delete from outgoing_mail where id in (select id from outgoing_mail where next_attempt_at is null
       and created_at < now() - case when attempts = 0 or body is not null then interval '1 day' else interval '7 days' end
       order by created_at limit 1000 for update skip locked)`,
  );
  return rowCount ?? 0;
}
