import { readdir } from 'node:fs/promises';
import pRetry from 'p-retry';
import { Client } from 'pg';
import type { Migrator } from '@mikro-orm/migrations';
import type { Orm } from '#src/db/orm.ts';
import { ConfigError, readConfig, type Config } from '#src/config.ts';
import { executedMigrations, lockMigrations } from '#src/db/migration.query.ts';
import { isDatabaseOutage } from '#src/db/outage.ts';

// The ORM takes a third of a second to load, so it is imported only where there is work for it: an up-to-date start never does.

const MIGRATIONS = `${import.meta.dirname}/../migrations`;
const WAIT_MS = 30_000;
const ANCHORING = '20261125000400-audit-anchor';

const USAGE = `usage: node src/migrate.ts up [--seed | --seed-key] | down | check
  up      brings the database of DATABASE_URL to the newest schema; --seed also makes the demo account, --seed-key
          also an API key of it, which stands in the last line
  down    takes the newest migration back
  check   exits with 1 when migrations are pending or the schema is not what the entities say`;

/**
 * Brings the schema up to date. Waits up to 30 s for the database; runs that meet take turns.
 * @returns the names of the migrations it applied, none when the schema was up to date
 */
export async function migrateUp(databaseUrl: string): Promise<string[]> {
  return connected(databaseUrl, async (client) => {
    if ((await pending(client)).length === 0) return [];
    await lockMigrations(client);
    return migrating(databaseUrl, async (migrator) => (await migrator.up()).map(({ name }) => name));
  });
}

/**
 * Takes the newest migration back, or in one transaction all that came after one.
 * @param to the one that is the newest then; 0: there is none
 * @returns the names of those taken back, newest first, nothing when there was none
 */
export async function migrateDown(databaseUrl: string, to?: string | 0): Promise<string[]> {
  return connected(databaseUrl, async (client) => {
    await lockMigrations(client);
    const options = to === undefined ? {} : { to };
    return migrating(databaseUrl, async (migrator) => (await migrator.down(options)).map(({ name }) => name));
  });
}

/**
 * What is wrong with the schema, one line each: pending migrations, and the SQL that would turn the schema into the one the entities
 * describe. Tables without an entity are left alone. Nothing when all is well.
 */
export async function schemaProblems(databaseUrl: string): Promise<string[]> {
  return connected(databaseUrl, async (client) => {
    const waiting = await pending(client);
    if (waiting.length > 0) return waiting.map((name) => `pending: ${name}`);
    return migrating(databaseUrl, async (_migrator, orm) => {
      const sql = await orm.schema.getUpdateSchemaSQL({ safe: false, dropTables: false, wrap: false });
      // The entities describe neither policies nor triggers; what those must be is tested.
      const lines = sql
        .split('\n')
        .filter((line) => line.trim() !== '' && !/ policy | row level security| trigger |drop function/.test(line));
      // A key between two tables without an entity would be dropped.
      const own = new Set([...orm.getMetadata().getAll().values()].map(({ tableName }) => tableName));
      const isOthers = (line: string) => {
        const table = /^alter table "([^"]+)"/.exec(line)?.[1];
        return table !== undefined && !own.has(table);
      };
      return lines.filter((line) => !isOthers(line)).map((line) => `entities and schema disagree: ${line}`);
    });
  });
}

/** The migrations of this checkout that the database has not had, oldest first. */
async function pending(client: Client): Promise<string[]> {
  const files = await readdir(MIGRATIONS);
  const names = files.filter((file) => /^\d{14}-[a-z0-9-]+\.ts$/.test(file)).map((file) => file.slice(0, -3));
  const executed = new Set(await executedMigrations(client));
  return names.filter((name) => !executed.has(name)).toSorted();
}

async function connected<Result>(databaseUrl: string, task: (client: Client) => Promise<Result>): Promise<Result> {
  const client = await pRetry(
    async () => {
      const fresh = new Client({ connectionString: databaseUrl, application_name: 'whatshybrid-migrate' });
      await fresh.connect();
      return fresh;
    },
    {
      retries: 1000,
      maxRetryTime: WAIT_MS,
      minTimeout: 50,
      maxTimeout: 500,
      factor: 1.5,
      // A wrong password or name will not get right by waiting.
      shouldRetry: ({ error }) => isDatabaseOutage(error),
    },
  );
  try {
    return await task(client);
  } finally {
    // Ends the session, and with it the advisory lock.
    await client.end();
  }
}

async function migrating<Result>(
  databaseUrl: string,
  task: (migrator: Migrator, orm: Orm) => Promise<Result>,
): Promise<Result> {
  const [{ openOrm }, { entities }, { Migrator }] = await Promise.all([
    import('#src/db/orm.ts'),
    import('#src/modules/entities.ts'),
    import('@mikro-orm/migrations'),
  ]);
  const orm = openOrm({ DATABASE_URL: databaseUrl, DATABASE_POOL: 2 }, entities);
  try {
    return await task(new Migrator(orm.em), orm);
  } finally {
    await orm.close();
  }
}

async function main(command: string | undefined, options: string[]): Promise<number> {
  const wantsKey = options[0] === '--seed-key';
  const wantsSeed = command === 'up' && options.length === 1 && (wantsKey || options[0] === '--seed');
  if (!['up', 'down', 'check'].includes(command ?? '') || (options.length > 0 && !wantsSeed)) {
    print(USAGE);
    return 2;
  }
  const config = readConfig();
  const databaseUrl = config.DATABASE_OWNER_URL ?? config.DATABASE_URL;
  if (command === 'check') {
    const problems = await schemaProblems(databaseUrl);
    print(problems.join('\n') || 'the schema is what the entities say');
    return problems.length > 0 ? 1 : 0;
  }
  const names = command === 'up' ? await migrateUp(databaseUrl) : await migrateDown(databaseUrl);
  if (command === 'up' && names.includes(ANCHORING)) await anchorOlder(config);
  print(names.length > 0 ? `${command}: ${names.join(', ')}` : `${command}: nothing to do`);
  if (wantsSeed) {
    const { seed } = await import('#src/seed.ts');
    print(JSON.stringify(await seed(config, wantsKey)));
  }
  return 0;
}

/** The logs that are older than their codes are vouched for once, by the run that brings the codes. */
async function anchorOlder(config: Config): Promise<void> {
  const [{ anchorAll }, { openPool }, { createLog }] = await Promise.all([
    import('#src/modules/audit/anchor-all.ts'),
    import('#src/db/pool.ts'),
    import('#src/lib/log.ts'),
  ]);
  const pool = openPool(config, { name: 'migrate', role: 'wh_system', max: 2 }, createLog('warn', 'migrate'));
  try {
    await anchorAll(pool, config, print);
  } finally {
    await pool.end();
  }
}

const print = (text: string) => void process.stdout.write(`${text}\n`);

function describe(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  if (isDatabaseOutage(error)) return `The database of DATABASE_URL did not answer within ${WAIT_MS / 1000} s.`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv[2], process.argv.slice(3));
  } catch (error) {
    process.stderr.write(`${describe(error)}\n`);
    process.exitCode = 1;
  }
}
