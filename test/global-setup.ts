import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { takeLock } from '../scripts/lib/lock.js';
import { openServices } from '../scripts/lib/services.js';
import { makeThrowAwayDir, removeDataDir } from '../scripts/lib/throw-away.js';

const GRACE_MS = 5000;
const say = (line: string) => process.stderr.write(`${line}\n`);

/**
 * Gives the tests Postgres and Redis: those of DATABASE_URL and REDIS_URL, else fresh ones. Test processes, which start after
 * this, find them in the same two variables; the databases in them are the harness's affair. Processes that tests start share what
 * each has compiled, by NODE_COMPILE_CACHE, and are bundled once for all, in WH_PROGRAMS_DIR.
 * @returns the teardown
 */
export async function setup(): Promise<() => Promise<void>> {
  const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
  const dataDir = makeThrowAwayDir({ durable: false });
  const lock = await takeLock(dataDir, { throwAway: true });
  const close = async () => {
    await lock.endAll({ graceMs: GRACE_MS });
    removeDataDir(dataDir);
    await lock.release();
  };
  try {
    const services = await openServices({ root, lock, env: process.env, durable: false, say });
    process.env['DATABASE_URL'] = services.databaseUrl;
    process.env['REDIS_URL'] = services.redisUrl;
    process.env['NODE_COMPILE_CACHE'] ??= join(dataDir, 'compile-cache');
    process.env['WH_PROGRAMS_DIR'] ??= join(dataDir, 'programs');
    return close;
  } catch (error) {
    await close();
    throw error;
  }
}
