import type { Pool } from 'pg';
import { csvLine } from '#src/lib/csv.ts';
import { readEntries, type AuditRow } from '#src/modules/audit/audit.query.ts';

const COLUMNS = [
  'seq',
  'id',
  'at',
  'actor_kind',
  'actor_id',
  'action',
  'target_type',
  'target_id',
  'before',
  'after',
  'ip',
  'user_agent',
  'request_id',
  'prev_hash',
  'hash',
] as const satisfies (keyof AuditRow)[];

export const CONTENT_TYPES = { ndjson: 'application/x-ndjson; charset=utf-8', csv: 'text/csv; charset=utf-8' } as const;

/**
 * A workspace's entries as a file, oldest first, one batch at a time. In NDJSON, `before` and `after` are the texts that were hashed, so
 * that the file alone is enough to check the chain (docs/audit.md).
 */
export async function* exportEntries(
  pool: Pool,
  workspaceId: string,
  { format, from, to }: { format: keyof typeof CONTENT_TYPES; from?: Date | undefined; to?: Date | undefined },
): AsyncGenerator<string> {
  if (format === 'csv') yield csvLine(COLUMNS);
  const lineOf = (row: AuditRow) =>
    format === 'csv' ? csvLine(COLUMNS.map((column) => row[column])) : `${JSON.stringify(row)}\n`;
  for await (const rows of readEntries(pool, workspaceId, { from, to })) yield rows.map(lineOf).join('');
}
