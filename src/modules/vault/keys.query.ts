import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';

export interface KeyRow {
  workspace_id: string;
  version: number;
  kek_id: string;
  /** Null once it was destroyed. */
  wrapped: Buffer | null;
}

/** All keys of a workspace. */
export async function findKeys(pool: Pool, workspaceId: string): Promise<KeyRow[]> {
  const { rows } = await queryAs<KeyRow>(
    pool,
    { workspaceId },
    {
      name: 'vault-keys',
      text: 'select workspace_id, version, kek_id, wrapped from workspace_key where workspace_id = $1 order by version',
      values: [workspaceId],
    },
  );
  return rows;
}

/** Adds keys that are not there yet: of two that make the same version, the first stays. */
export async function insertKeys(pool: Pool, workspaceId: string, keys: Omit<KeyRow, 'workspace_id'>[]): Promise<void> {
  await queryAs(
    pool,
    { workspaceId },
    {
      name: 'vault-insert',
      text: `insert into workspace_key (workspace_id, version, kek_id, wrapped)
        select $1, * from unnest($2::int[], $3::text[], $4::bytea[]) on conflict do nothing`,
      values: [
        workspaceId,
        keys.map((key) => key.version),
        keys.map((key) => key.kek_id),
        keys.map((key) => key.wrapped),
      ],
    },
  );
}

/** Destroys a workspace's keys; a workspace that had none gets a destroyed one. */
export async function destroyKeys(pool: Pool, workspaceId: string): Promise<void> {
  await queryAs(
    pool,
    { workspaceId },
    {
      name: 'vault-destroy',
      text: `with gone as (update workspace_key set wrapped = null, destroyed_at = now() where workspace_id = $1 returning 1)
        insert into workspace_key (workspace_id, version, kek_id, destroyed_at)
        select $1, 0, 'none', now() where not exists (select from gone) on conflict do nothing`,
      values: [workspaceId],
    },
  );
}

/** Destroys the keys of workspaces that were closed by a process that died before it could. @returns of how many, at most 500 */
export async function destroyClosed(systemPool: Pool): Promise<number> {
  const { rowCount } = await systemPool.query(
    `with closed as (
        select w.id from workspace w where w.deleted_at is not null and (
          exists (select from workspace_key k where k.workspace_id = w.id and k.wrapped is not null)
          or not exists (select from workspace_key k where k.workspace_id = w.id)) limit 500
      ), gone as (
        update workspace_key k set wrapped = null, destroyed_at = now() from closed
        where k.workspace_id = closed.id and k.wrapped is not null returning k.workspace_id
      ), none as (
        insert into workspace_key (workspace_id, version, kek_id, destroyed_at)
        select id, 0, 'none', now() from closed where id not in (select workspace_id from gone) on conflict do nothing
      ) select from closed`,
  );
  return rowCount ?? 0;
}

/** Keys that are wrapped in another key than the current one, of all workspaces. */
export async function findWrappedInOld(systemPool: Pool, kekId: string, limit: number): Promise<KeyRow[]> {
  const { rows } = await systemPool.query<KeyRow>(
    `select workspace_id, version, kek_id, wrapped from workspace_key
     where kek_id <> $1 and wrapped is not null order by workspace_id, version limit $2`,
    [kekId, limit],
  );
  return rows;
}

/** Puts a key that was wrapped anew in its place, if nobody has since. */
export async function rewrap(systemPool: Pool, old: KeyRow, kekId: string, wrapped: Buffer): Promise<void> {
  await systemPool.query(
    `update workspace_key set kek_id = $3, wrapped = $4 where workspace_id = $1 and version = $2 and wrapped = $5`,
    [old.workspace_id, old.version, kekId, wrapped, old.wrapped],
  );
}

/** The workspaces that have keys which were not destroyed. */
export async function findKeyed(systemPool: Pool): Promise<string[]> {
  const { rows } = await systemPool.query<{ workspace_id: string }>(
    'select distinct workspace_id from workspace_key where wrapped is not null',
  );
  return rows.map((row) => row.workspace_id);
}
