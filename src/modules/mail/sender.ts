import type { Pool } from 'pg';
import type { Log } from '#src/lib/log.ts';
import { isRefusedForGood, isSurelyUnsent, type Mailer } from '#src/lib/mail.ts';
import { openMail } from '#src/modules/mail/sealed-mail.ts';
import { closeMail, findWaitMs, postponeMail, takeMail, type TakenMail } from '#src/modules/mail/sender.query.ts';

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
 * Sends one mail of the outbox, if it is due; any number of processes may try. A mail whose sender dies between the server's yes and the
 * note of it is sent once more, with the same Message-ID; a reminder is not.
 * @returns milliseconds until it is due (again), or null when it is over
 */
export async function sendMail(rt: SenderResources, id: string): Promise<number | null> {
  const taken = await takeMail(rt.pool, id, LEASE_MS);
  return taken ? attempt(rt, taken) : findWaitMs(rt.pool, id);
}

async function attempt({ pool, mailer, appSecret, log }: SenderResources, taken: TakenMail): Promise<number | null> {
  const { id, purpose, attempts } = taken;
  try {
    await mailer.send(openMail(appSecret, taken));
  } catch (error) {
    // Only the server's code: its message and the error's other fields name the recipient.
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    const isSpent = attempts >= MAX_ATTEMPTS || (purpose === 'reminder' && !isSurelyUnsent(error));
    if (isSpent || isRefusedForGood(error)) {
      log.error({ mail: id, attempts, code }, 'A mail was given up');
      await closeMail(pool, id, false);
      return null;
    }
    const delayMs = FIRST_DELAY_MS * 2 ** (attempts - 1);
    log.warn({ mail: id, attempts, code, delayMs }, 'A mail could not be sent; it is tried again');
    await postponeMail(pool, id, delayMs);
    return delayMs;
  }
  await closeMail(pool, id, true);
  log.info({ mail: id, attempts }, 'A mail was sent');
  return null;
}
