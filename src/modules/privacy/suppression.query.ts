import type { EntityManager } from '@mikro-orm/postgresql';
import { newId } from '#src/lib/ids.ts';

export interface SuppressionRow {
  id: string;
  scope: 'marketing';
  reason: string;
  source: string;
  created_by: string | null;
  created_at: string;
}

const OWN = 'workspace_id = current_workspace()';
const COLUMNS = `id, scope, reason, source, created_by, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as created_at`;
const HASHES = `(select decode(h, 'hex') from jsonb_array_elements_text(?::jsonb) h)`;

/**
 * Puts numbers on the list, by their hashes in hexadecimal. One that is there stays as it is, but that an opt-out gives way to any other reason:
 * an opt-out is lifted by whoever records that they agree.
 * @returns how many were not there
 */
export async function insertSuppressions(
  em: EntityManager,
  hashes: readonly string[],
  how: { reason: string; source: string; createdBy: string | null },
): Promise<number> {
  if (hashes.length === 0) return 0;
  const rows = await em.execute<{ is_new: boolean }[]>(
    `insert into suppression as s (workspace_id, id, address_hash, reason, source, created_by)
      select current_workspace(), n.id::uuid, decode(n.hash, 'hex'), ?, ?, ?::uuid from json_to_recordset(?::json) as n (id uuid, hash text)
      order by n.hash on conflict on constraint suppression_address do update
        set reason = excluded.reason, source = excluded.source, created_by = excluded.created_by
        where s.reason = 'opt_out' and excluded.reason <> 'opt_out'
      returning (xmax = 0) as is_new`,
    [
      how.reason,
      how.source,
      how.createdBy,
      JSON.stringify([...new Set(hashes)].map((hash) => ({ id: newId(), hash }))),
    ],
  );
  return rows.filter((row) => row.is_new).length;
}

/** @returns the hashes that are on the list, of those asked for */
export async function findSuppressed(em: EntityManager, hashes: readonly string[]): Promise<string[]> {
  const rows = await em.execute<{ hash: string }[]>(
    `select encode(address_hash, 'hex') as hash from suppression where ${OWN} and scope = 'marketing' and address_hash in ${HASHES}`,
    [JSON.stringify(hashes)],
  );
  return rows.map(({ hash }) => hash);
}

/** @returns the entry of a hash */
export async function findByHash(em: EntityManager, hash: string): Promise<SuppressionRow | undefined> {
  const rows = await em.execute<SuppressionRow[]>(
    `select ${COLUMNS} from suppression where ${OWN} and scope = 'marketing' and address_hash = decode(?, 'hex')`,
    [hash],
  );
  return rows[0];
}

/** The newest first, before the id `before`. */
export function listSuppressions(em: EntityManager, before: string | null, limit: number): Promise<SuppressionRow[]> {
  return em.execute<SuppressionRow[]>(
    `select ${COLUMNS} from suppression where ${OWN} and (?::uuid is null or id < ?::uuid) order by id desc limit ?`,
    [before, before, limit],
  );
}

/** @returns whether it was there */
export async function removeSuppression(em: EntityManager, id: string): Promise<boolean> {
  const sql = `delete from suppression where ${OWN} and id = ?::uuid returning 1 as one`;
  return (await em.execute<unknown[]>(sql, [id])).length > 0;
}

/** Takes numbers off the list. @param reason those alone that are on it for this; null: for whatever reason */
export async function removeByHash(
  em: EntityManager,
  hashes: readonly string[],
  reason: 'opt_out' | null,
): Promise<void> {
  await em.execute(
    `delete from suppression where ${OWN} and address_hash in ${HASHES} and (?::text is null or reason = ?)`,
    [JSON.stringify(hashes), reason, reason],
  );
}
