import type { Pool } from 'pg';
import type { SealedColumn } from '#src/modules/vault/sealed-columns.ts';

export interface SealedRow {
  workspace_id: string;
  id: string;
  sealed: Buffer;
}

/** What is sealed with another key than its workspace's current one. Names come from the code's own list, never from outside. */
const OLD = ({ table, column }: SealedColumn) => `from ${table} t join (
    select workspace_id, max(version) as version from workspace_key where wrapped is not null group by workspace_id
  ) k using (workspace_id)
  where t.${column} is not null and substring(t.${column} from 1 for 5) <> '\\x02'::bytea || int4send(k.version)`;

/** Some of the values of a column that are sealed with an old key. */
export async function findOld(systemPool: Pool, column: SealedColumn, limit: number): Promise<SealedRow[]> {
  const { rows } = await systemPool.query<SealedRow>(
    `select t.workspace_id, t.${column.id}::text as id, t.${column.column} as sealed ${OLD(column)} limit $1`,
    [limit],
  );
  return rows;
}

/** How many there are. */
export async function countOld(systemPool: Pool, column: SealedColumn): Promise<number> {
  const { rows } = await systemPool.query<{ n: number }>(`select count(*)::int as n ${OLD(column)}`);
  return rows[0]?.n ?? 0;
}

/** Puts a value that was sealed anew in its place, unless it has changed since it was read. @returns whether it did */
export async function replaceSealed(
  systemPool: Pool,
  column: SealedColumn,
  row: SealedRow,
  sealed: Buffer,
): Promise<boolean> {
  const { rowCount } = await systemPool.query(
    `update ${column.table} set ${column.column} = $4 where workspace_id = $1 and ${column.id}::text = $2 and ${column.column} = $3`,
    [row.workspace_id, row.id, row.sealed, sealed],
  );
  return rowCount === 1;
}
