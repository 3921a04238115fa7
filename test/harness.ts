import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { Client, escapeIdentifier, Pool } from 'pg';
import type { Config } from '#src/config.ts';
import type { App } from '#src/http/app-type.ts';
import type { Runtime } from '#src/runtime.ts';
import { buildApp } from '#src/app.ts';
import { readConfig } from '#src/config.ts';
import { migrateUp } from '#src/migrate.ts';
import { openRuntime } from '#src/runtime.ts';

const MIGRATIONS = `${import.meta.dirname}/../migrations`;
/** Any number that nothing else takes as an advisory lock on the server's own database. */
const TEMPLATE_LOCK = 72_616_002;

export interface TestRuntime {
  rt: Runtime;
  config: Config;
  /** Closes the runtime and drops its database. */
  close(): Promise<void>;
}

export interface TestApp extends TestRuntime {
  app: App;
}

/**
 * A runtime of its own for one test file: a fresh database cloned from the migrated template, a Redis prefix nobody else has.
 * Needs `DATABASE_URL` (a server where it may make databases) and `REDIS_URL`; throws when one is missing.
 * @param env variables on top of the defaults of a test
 */
export async function openTestRuntime(env: Record<string, string> = {}): Promise<TestRuntime> {
  const database = await createTestDatabase();
  const config = readConfig({
    DATABASE_URL: database.url,
    DATABASE_POOL: '8',
    // A machine that stalls is no reason for a test to be answered 503.
    DATABASE_WAIT_MS: '120000',
    REDIS_URL: needed('REDIS_URL'),
    REDIS_PREFIX: `wh-test-${randomBytes(6).toString('hex')}`,
    APP_SECRET: randomBytes(32).toString('base64'),
    RATE_LIMIT_SCALE: '1000',
    OPS_PASSWORD: randomBytes(12).toString('hex'),
    LOG_LEVEL: 'silent',
    MAX_EVENT_LOOP_DELAY_MS: '0',
    HOST: '127.0.0.1',
    PORT: '0',
    ...env,
  });
  const rt = await openRuntime(config, 'test');
  return {
    rt,
    config,
    async close() {
      await rt.close();
      await database.drop();
    },
  };
}

/** One for all files of a test process, which it keeps alive for none: a new connection costs Postgres as much as the copy of a database. */
let admin: Pool | undefined;
function adminOf(server: string): Pool {
  if (admin) return admin;
  admin = new Pool({ connectionString: server, max: 2, idleTimeoutMillis: 600_000, allowExitOnIdle: true });
  admin.on('error', () => undefined);
  return admin;
}

/** Found once for all files of a test process. */
let template: Promise<string> | undefined;
const templateOf = (server: string): Promise<string> =>
  (template ??= onServer(server, (client) => ensureTemplate(client, server)));

/** A fresh database, cloned from the migrated template. */
export async function createTestDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const server = needed('DATABASE_URL');
  const name = `wh_test_${randomBytes(6).toString('hex')}`;
  const source = process.env['WH_TEMPLATE_DATABASE'] ?? (await templateOf(server));
  // Copied as files: written through the log, as is usual, it takes twice as long.
  await adminOf(server).query(`create database ${name} template ${escapeIdentifier(source)} strategy file_copy`);
  return {
    url: withDatabase(server, name),
    drop: async () => void (await adminOf(server).query(`drop database ${name} with (force)`)),
  };
}

/** A test runtime with the HTTP server on it, ready for `app.inject` (it does not listen). */
export async function openTestApp(env: Record<string, string> = {}): Promise<TestApp> {
  const opened = await openTestRuntime(env);
  const app = await buildApp(opened.rt);
  await app.ready();
  return {
    ...opened,
    app,
    async close() {
      await app.close();
      await opened.close();
    },
  };
}

/** The URL of another database on the same server. */
export function withDatabase(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** Runs a task with a connection to the server's own database. */
export async function onServer<Result>(serverUrl: string, task: (client: Client) => Promise<Result>): Promise<Result> {
  const client = new Client({ connectionString: serverUrl });
  await client.connect();
  try {
    return await task(client);
  } finally {
    await client.end();
  }
}

/** The template for this state of the migrations; the first process that needs it makes it while the others wait. */
async function ensureTemplate(client: Client, server: string): Promise<string> {
  const files = (await readdir(MIGRATIONS)).toSorted();
  const hash = createHash('sha256');
  for (const file of files) hash.update(file).update(await readFile(`${MIGRATIONS}/${file}`));
  const name = `wh_template_${hash.digest('hex').slice(0, 12)}`;
  await client.query('select pg_advisory_lock($1)', [TEMPLATE_LOCK]);
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [name]);
    if (rowCount) return name;
    // Made under another name: a run that dies half-way must not leave a template that looks finished.
    const unfinished = `${name}_unfinished`;
    await client.query(`drop database if exists ${unfinished} with (force)`);
    await client.query(`create database ${unfinished}`);
    await migrateUp(withDatabase(server, unfinished));
    await client.query(`alter database ${unfinished} rename to ${name}`);
    return name;
  } finally {
    await client.query('select pg_advisory_unlock($1)', [TEMPLATE_LOCK]);
  }
}

function needed(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`The tests need ${name}; \`npm test\` sets it.`);
  return value;
}
