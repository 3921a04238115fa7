import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { Migrator } from '@mikro-orm/migrations';
import { openOrm } from '#src/db/orm.ts';
import { entities } from '#src/modules/entities.ts';
import { onServer, withDatabase } from '#test/harness.ts';

const MIGRATIONS = `${import.meta.dirname}/../migrations`;

/**
 * A fresh database that has had the migrations before one of them, and not that one.
 * @param server a server where databases may be made
 * @param name of a migration, without the ending of its file
 */
export async function createDatabaseBefore(
  server: string,
  name: string,
): Promise<{ url: string; drop(): Promise<void> }> {
  const earlier = (await readdir(MIGRATIONS)).map((file) => file.slice(0, -3)).filter((one) => one < name);
  const last = earlier.toSorted().at(-1);
  if (last === undefined) throw new Error(`No migration comes before ${name}`);
  const database = `wh_test_${randomBytes(6).toString('hex')}`;
  await onServer(server, (client) => client.query(`create database ${database}`));
  const url = withDatabase(server, database);
  const orm = openOrm({ DATABASE_URL: url, DATABASE_POOL: 2 }, entities);
  try {
    await new Migrator(orm.em).up({ to: last });
  } finally {
    await orm.close();
  }
  return {
    url,
    drop: async () => void (await onServer(server, (client) => client.query(`drop database ${database} with (force)`))),
  };
}
