import type { EntityManager } from '@mikro-orm/postgresql';
import type { SettingScope } from '#src/modules/settings/registry.ts';

/** What was set: `value` as JSON, or a secret, sealed. `changed` has microseconds. */
export interface SettingRow {
  key: string;
  value: string | null;
  sealed: string | null;
  changed: string;
}

/** Whose settings: the workspace's or the user's id; null for the installation's. */
export interface Owner {
  scope: SettingScope;
  id: string | null;
}

export const TABLES = { global: 'setting', workspace: 'workspace_setting', user: 'user_setting' } as const;
const OWNERS = { global: null, workspace: 'workspace_id', user: 'user_id' } as const;

const isOwn = ({ scope }: Owner) => (OWNERS[scope] === null ? '?::uuid is null' : `${OWNERS[scope]} = ?::uuid`);

/** What an owner has set. */
export function findSettings(em: EntityManager, owner: Owner): Promise<SettingRow[]> {
  return em.execute<SettingRow[]>(
    `select key, value::text as value, encode(sealed, 'hex') as sealed,
       to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as changed
     from ${TABLES[owner.scope]} where ${isOwn(owner)} order by key`,
    [owner.id],
  );
}

/** Makes other changes of the same owner's settings wait until the transaction ends. */
export async function lockSettings(em: EntityManager, owner: Owner): Promise<void> {
  await em.execute('select pg_advisory_xact_lock(hashtextextended(?, 0))', [`settings:${owner.scope}:${owner.id}`]);
}

/** Sets one key. @param sealed in hex */
export async function putSetting(
  em: EntityManager,
  owner: Owner,
  row: Pick<SettingRow, 'key' | 'value' | 'sealed'>,
): Promise<void> {
  const column = OWNERS[owner.scope];
  const [columns, marks, values] = column === null ? ['', '', []] : [`${column}, `, '?::uuid, ', [owner.id]];
  await em.execute(
    `insert into ${TABLES[owner.scope]} (${columns}key, value, sealed, updated_at)
     values (${marks}?, ?::json, decode(?::text, 'hex'), clock_timestamp())
     on conflict (${columns}key) do update
       set value = excluded.value, sealed = excluded.sealed, updated_at = excluded.updated_at`,
    [...values, row.key, row.value, row.sealed],
  );
}

/** Gives one key back its default. */
export async function removeSetting(em: EntityManager, owner: Owner, key: string): Promise<void> {
  await em.execute(`delete from ${TABLES[owner.scope]} where ${isOwn(owner)} and key = ?`, [owner.id, key]);
}
