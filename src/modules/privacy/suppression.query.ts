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

/** Puts numbers on the list, by their hashes in hexadecimal. @returns how many were not there */
export async function insertSuppressions(
  em: EntityManager,
  hashes: readonly string[],
  how: { reason: string; source: string; createdBy: string | null },
): Promise<number> {
  if (hashes.length === 0) return 0;
  const rows = await em.execute<unknown[]>(
    `insert into suppression (workspace_id, id, address_hash, reason, source, created_by)
      select current_workspace(), n.id::uuid, decode(n.hash, 'hex'), ?, ?, ?::uuid from json_to_recordset(?::json) as n (id uuid, hash text)
      order by n.hash on conflict on constraint suppression_address do nothing returning 1 as one`,
    [
      how.reason,
      how.source,
      how.createdBy,
      JSON.stringify([...new Set(hashes)].map((hash) => ({ id: newId(), hash }))),
    ],
  );
  return rows.length;
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

/** Takes numbers off the list. */
export async function removeByHash(em: EntityManager, hashes: readonly string[]): Promise<void> {
  await em.execute(`delete from suppression where ${OWN} and address_hash in ${HASHES}`, [JSON.stringify(hashes)]);
}
