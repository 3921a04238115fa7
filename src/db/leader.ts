import { Client } from 'pg';
import type { Logger } from 'pino';
import { setTimeout as sleep } from 'node:timers/promises';

const RETRY_MS = 1000;

/**
 * Runs `lead` in at most one process at a time, by a session-level advisory lock: the database frees it when the leader's
 * connection dies, and the next process takes over within about a second. Resolves when `signal` has aborted and `lead` ended.
 * @param lead gets the connection that holds the lock, to listen on
 * @param key the lock's number, one for each kind of work.
 */
export async function leadWhenFree(
  databaseUrl: string,
  key: number,
  lead: (signal: AbortSignal, client: Client) => Promise<void>,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  let isStandby = false;
  while (!signal.aborted) {
    const client = new Client({ connectionString: databaseUrl, keepAlive: true });
    const lost = new AbortController();
    client.on('error', () => lost.abort());
    client.on('end', () => lost.abort());
    try {
      await client.connect();
      const { rows } = await client.query<{ won: boolean }>('select pg_try_advisory_lock($1) as won', [key]);
      if (rows[0]?.won) {
        isStandby = false;
        log.info('Leading');
        await lead(AbortSignal.any([signal, lost.signal]), client);
      } else if (!isStandby) {
        isStandby = true;
        log.info('Standing by');
      }
    } catch (error) {
      log.warn({ err: error }, 'Leadership could not be sought');
    } finally {
      await client.end().catch(() => undefined);
    }
    await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
}
