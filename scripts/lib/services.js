// @ts-check
import { join } from 'node:path';
import { readJson, writeJson } from './files.js';
import { startPostgres } from './postgres.js';
import { pingRedis } from './redis-ping.js';
import { startRedis } from './redis.js';
import { StartError } from './start-error.js';

/**
 * One that was started here.
 * @typedef {object} Own
 * @property {string} name
 * @property {import('node:child_process').ChildProcess} child
 * @property {() => Promise<import('node:child_process').ChildProcess | 'busy'>} again starts it once more, with the same port and data
 */

const CONNECT_MS = 5000;

/**
 * @param {string} name of the variable
 * @param {string} address
 * @param {RegExp} scheme
 * @param {string} example
 * @returns {URL}
 */
function parseUrl(name, address, scheme, example) {
  if (scheme.test(address)) {
    try {
      return new URL(address);
    } catch {
      // Told below, without the address: it may hold a password.
    }
  }
  throw new StartError(`${name} must look like ${example}`);
}

/** @param {unknown} error a failed connection; of several addresses tried, the first one's reason */
function reason(error) {
  const cause = error instanceof AggregateError ? error.errors[0] : error;
  return cause instanceof Error ? cause.message : String(cause);
}

/**
 * @param {string} address
 * @throws {StartError} one line, without the password
 */
export async function checkPostgres(address) {
  const url = parseUrl('DATABASE_URL', address, /^postgres(ql)?:/, 'postgresql://user:password@host:5432/name');
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: address, connectionTimeoutMillis: CONNECT_MS });
  client.on('error', () => {});
  try {
    await client.connect();
  } catch (error) {
    throw new StartError(`DATABASE_URL (${url.host}${url.pathname}) cannot be used: ${reason(error)}`, {
      cause: error,
    });
  } finally {
    await client.end().catch(() => {});
  }
}

/**
 * @param {string} address
 * @throws {StartError} one line, without the password
 */
export async function checkRedis(address) {
  const url = parseUrl('REDIS_URL', address, /^rediss?:/, 'redis://host:6379');
  try {
    await pingRedis(address);
  } catch (error) {
    throw new StartError(`REDIS_URL (${url.host}) cannot be used: ${reason(error)}`, { cause: error });
  }
}

/**
 * Finds Postgres and Redis: those that DATABASE_URL and REDIS_URL name, else our own, started in the data folder.
 * They end with the lock.
 * @param {{ root: string, lock: import('./lock.js').Lock, env: Record<string, string | undefined>, durable: boolean, say: (line: string) => void }} options
 * `root`: the checkout; `durable` false: for tests, survives nothing
 * @returns {Promise<{ databaseUrl: string, redisUrl: string, own: Own[] }>} `own`: those that were started here
 * @throws {StartError} when one of them cannot be had
 */
export async function openServices({ root, lock, env, durable, say }) {
  const path = join(lock.dataDir, 'services.json');
  const known = readJson(path) ?? {};
  const remember = (/** @type {string} */ name) => (/** @type {unknown} */ what) => {
    known[name] = what;
    writeJson(path, known);
  };
  /** @returns {Promise<{ url: string, own?: Own }>} */
  const postgres = async () => {
    if (env.DATABASE_URL) {
      await checkPostgres(env.DATABASE_URL);
      return { url: env.DATABASE_URL };
    }
    return startPostgres({ root, lock, durable, remembered: known.postgres, remember: remember('postgres') });
  };
  /** @returns {Promise<{ url: string, own?: Own }>} */
  const redis = async () => {
    if (env.REDIS_URL) {
      await checkRedis(env.REDIS_URL);
      return { url: env.REDIS_URL };
    }
    return startRedis({ lock, durable, say, remembered: known.redis, remember: remember('redis') });
  };
  const [database, queue] = await Promise.allSettled([postgres(), redis()]);
  if (database.status === 'rejected') throw database.reason;
  if (queue.status === 'rejected') throw queue.reason;
  const own = [database.value, queue.value].flatMap((one) => (one.own ? [one.own] : []));
  return { databaseUrl: database.value.url, redisUrl: queue.value.url, own };
}
