import type { ClientBase } from 'pg';

/** Any number that no other part of the program takes as an advisory lock. */
const MIGRATION_LOCK = 72_616_001;

/** The names of the migrations the database has had; none when it is new. */
export async function executedMigrations(client: ClientBase): Promise<string[]> {
  const table = await client.query<{ found: boolean }>(
    `select to_regclass('mikro_orm_migrations') is not null as found`,
  );
  if (!table.rows[0]?.found) return [];
  const { rows } = await client.query<{ name: string }>('select name from mikro_orm_migrations');
  return rows.map(({ name }) => name);
}

/** Waits until no other process migrates this database; the lock lasts as long as the client's connection. */
export async function lockMigrations(client: ClientBase): Promise<void> {
  await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
}
