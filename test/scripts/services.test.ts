import { chmodSync, existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { afterEach, expect, it } from 'vitest';
import { takeLock } from '../../scripts/lib/lock.js';
import { pingRedis } from '../../scripts/lib/redis-ping.js';
import { keepSecrets } from '../../scripts/lib/secrets.js';
import { checkPostgres, checkRedis, openServices } from '../../scripts/lib/services.js';
import { removeDataDir } from '../../scripts/lib/throw-away.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const made: string[] = [];
afterEach(() => {
  for (const dataDir of made.splice(0)) removeDataDir(dataDir);
});

function dataFolder(mode: number): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'wh-services-'));
  chmodSync(dataDir, mode);
  made.push(dataDir);
  return dataDir;
}

/** Opens own services in the folder, does the task with them, and ends them. */
async function withServices(dataDir: string, task: (urls: { databaseUrl: string; redisUrl: string }) => Promise<void>) {
  const lock = await takeLock(dataDir);
  try {
    await task(await openServices({ root, lock, env: {}, durable: true, say: () => {} }));
  } finally {
    await lock.endAll({ graceMs: 5000 });
    await lock.release();
  }
}

async function query(databaseUrl: string, text: string): Promise<unknown[]> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  const { rows } = await client.query(text);
  await client.end();
  return rows;
}

async function refused(url: string): Promise<void> {
  await expect(pingRedis(url)).rejects.toThrow('ECONNREFUSED');
}

it('keeps data, port and password over a restart, and leaves nothing running', async () => {
  const dataDir = dataFolder(0o711);
  const urls: string[] = [];
  await withServices(dataDir, async ({ databaseUrl, redisUrl }) => {
    urls.push(databaseUrl, redisUrl);
    await query(databaseUrl, "create table kept as select 'ação' as word");
    expect(await query(databaseUrl, 'show fsync')).toEqual([{ fsync: 'on' }]);
    const redis = new Redis(redisUrl);
    await redis.set('kept', 'yes');
    expect(await redis.config('GET', 'maxmemory-policy')).toContain('noeviction');
    redis.disconnect();
    await expect(pingRedis(redisUrl.replace(/:[^:@]+@/, ':wrong@'))).rejects.toThrow('WRONGPASS');
    await expect(query(databaseUrl.replace(/:[^:@]+@/, ':wrong@'), 'select 1')).rejects.toThrow(
      'password authentication',
    );
  });
  await refused(urls[1] ?? '');
  // As a power cut leaves it, with a pid that belongs to a stranger by now.
  const elsewhere = JSON.parse(readFileSync(join(dataDir, 'services.json'), 'utf8')).postgres.elsewhere;
  const pidFile = join(elsewhere ?? dataDir, 'postgres/postmaster.pid');
  writeFileSync(pidFile, `${process.pid}\n`);
  await withServices(dataDir, async ({ databaseUrl, redisUrl }) => {
    expect([databaseUrl, redisUrl]).toEqual(urls);
    expect(await query(databaseUrl, 'select word from kept')).toEqual([{ word: 'ação' }]);
    const redis = new Redis(redisUrl);
    expect(await redis.get('kept')).toBe('yes');
    redis.disconnect();
  });
  await refused(urls[1] ?? '');
  expect(existsSync(pidFile)).toBe(false);
});

it("finds a place that Postgres's user can reach when the data folder is closed to it", async () => {
  const dataDir = dataFolder(0o700);
  await withServices(dataDir, async ({ databaseUrl }) => {
    expect(await query(databaseUrl, 'select 1 as one')).toEqual([{ one: 1 }]);
  });
  const services = join(dataDir, 'services.json');
  const { elsewhere } = JSON.parse(readFileSync(services, 'utf8')).postgres;
  expect(statSync(services).mode & 0o077).toBe(0);
  expect(elsewhere !== undefined).toBe(process.getuid?.() === 0);
  expect(existsSync(join(elsewhere ?? dataDir, 'postgres/PG_VERSION'))).toBe(true);
});

it.each([
  [
    checkPostgres,
    'postgresql://a:s3cret@127.0.0.1:1/b',
    /^DATABASE_URL \(127\.0\.0\.1:1\/b\) cannot be used: .*ECONNREFUSED/,
  ],
  [checkPostgres, 'mysql://s3cret@x', /^DATABASE_URL must look like postgresql:/],
  [checkPostgres, 'postgresql://s3cret:x:y@[', /^DATABASE_URL must look like postgresql:/],
  [checkRedis, 'redis://:s3cret@127.0.0.1:1', /^REDIS_URL \(127\.0\.0\.1:1\) cannot be used: .*ECONNREFUSED/],
  [checkRedis, 's3cret', /^REDIS_URL must look like redis:/],
])('%o says in one line why %s cannot be used, without the password', async (check, address, message) => {
  const failure = await check(address).then(
    () => 'none',
    (error: Error) => error.message,
  );
  expect(failure).toMatch(message);
  expect(failure).not.toContain('s3cret');
  expect(failure.split('\n')).toHaveLength(1);
});

it('makes secrets once; the environment wins', () => {
  const dataDir = dataFolder(0o711);
  const first = keepSecrets(dataDir, {});
  expect(Buffer.from(first['APP_SECRET'] ?? '', 'base64')).toHaveLength(32);
  expect(first['OPS_PASSWORD']?.length).toBeGreaterThanOrEqual(12);
  expect(keepSecrets(dataDir, {})).toEqual(first);
  expect(keepSecrets(dataDir, { OPS_PASSWORD: 'mine' })).toEqual({ ...first, OPS_PASSWORD: 'mine' });
  expect(statSync(join(dataDir, 'secrets.json')).mode & 0o777).toBe(0o600);
  writeFileSync(join(dataDir, 'secrets.json'), '{"APP');
  expect(() => keepSecrets(dataDir, {})).toThrow('secrets.json is not valid JSON');
});
