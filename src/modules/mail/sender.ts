import type { Pool } from 'pg';
import type { Log } from '#src/lib/log.ts';
import { isRefusedForGood, type Mailer } from '#src/lib/mail.ts';
import { openMail } from '#src/modules/mail/outbox.ts';
import { closeMail, postponeMail, takeDueMails, type TakenMail } from '#src/modules/mail/sender.query.ts';

const BATCH = 10;
/** Above the longest time one mail can take (60 s), so that none is sent by two at once. */
const LEASE_MS = 120_000;
const FIRST_DELAY_MS = 5000;
/** With doubling delays, the last attempt is 21 minutes after the first: a reset link is worth nothing much later. */
const MAX_ATTEMPTS = 9;

export interface SenderResources {
  /** As `wh_system` or `wh_app`: mails belong to no workspace. */
  pool: Pool;
  mailer: Mailer;
  appSecret: string;
  log: Log;
}

/**
 * Sends what is due in the outbox; any number of processes may. A mail whose sender dies between the server's yes and the note of it is
 * sent once more, with the same Message-ID.
 * @returns how many mails were tried; call again while > 0
 */
export async function sendDueMails(rt: SenderResources): Promise<number> {
  const taken = await takeDueMails(rt.pool, BATCH, LEASE_MS);
  await Promise.all(taken.map((mail) => sendOne(rt, mail)));
  return taken.length;
}

async function sendOne({ pool, mailer, appSecret, log }: SenderResources, taken: TakenMail): Promise<void> {
  const { id, attempts } = taken;
  try {
    await mailer.send(openMail(appSecret, taken));
  } catch (error) {
    // Only the server's code: its message and the error's other fields name the recipient.
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    if (attempts >= MAX_ATTEMPTS || isRefusedForGood(error)) {
      log.error({ mail: id, attempts, code }, 'A mail was given up');
      await closeMail(pool, id, false);
      return;
    }
    const delayMs = FIRST_DELAY_MS * 2 ** (attempts - 1);
    log.warn({ mail: id, attempts, code, delayMs }, 'A mail could not be sent; it is tried again');
    await postponeMail(pool, id, delayMs);
    return;
  }
  await closeMail(pool, id, true);
  log.info({ mail: id, attempts }, 'A mail was sent');
}
