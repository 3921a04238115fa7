import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import type { ColumnView } from '#src/modules/imports/columns.ts';

export type RowStatus = 'created' | 'updated' | 'skipped' | 'invalid';

/** An import as it is kept, with how far its operation is. */
export interface ImportRow {
  id: string;
  user_id: string;
  status: 'uploading' | 'uploaded' | 'started';
  file_name: string | null;
  format: 'csv' | 'xlsx';
  encoding: string;
  delimiter: string | null;
  is_utf8: boolean;
  columns: ColumnView[];
  preview: string[][];
  data_offset: number;
  row_count: number;
  size_bytes: number;
  operation_id: string | null;
  mode: string | null;
  is_dry_run: boolean;
  created_at: Date;
  expires_at: Date;
  operation_status: 'queued' | 'active' | 'completed' | 'failed' | 'cancelled' | null;
  counts: Record<string, number> | null;
  done: number | null;
  problem: unknown;
  finished_at: Date | null;
}

const COLUMNS = `i.id, i.user_id, i.status, i.file_name, i.format, i.encoding, i.delimiter, i.is_utf8, i.columns, i.preview,
  i.data_offset::float8 as data_offset, i.row_count, i.size_bytes::float8 as size_bytes, i.operation_id, i.mode, i.is_dry_run, i.created_at, i.expires_at,
  o.status as operation_status, o.counts, o.done::float8 as done, o.problem, o.finished_at`;
const FROM = `contact_import i left join bulk_operation o on o.workspace_id = i.workspace_id and o.id = i.operation_id`;

/** @returns whether there was room: a workspace has so many files that wait, and so many bytes of them, at most */
export async function insertImport(
  em: EntityManager,
  one: { id: string; userId: string; fileName: string | null },
  { files, bytes }: { files: number; bytes: number },
): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `insert into contact_import (workspace_id, id, user_id, file_name) select current_workspace(), ?::uuid, ?::uuid, ?::text
      from (select count(*) as files, coalesce(sum(size_bytes), 0) as bytes from contact_import
        where workspace_id = current_workspace() and (status <> 'started' or is_dry_run) and expires_at > now()) kept
      where kept.files < ? and kept.bytes < ? returning id`,
    [one.id, one.userId, one.fileName, files, bytes],
  );
  return rows.length === 1;
}

/** What was found out about a file. */
export interface ReadFile {
  format: 'csv' | 'xlsx';
  encoding: string;
  delimiter: string | null;
  isUtf8: boolean;
  columns: readonly ColumnView[];
  preview: readonly (readonly string[])[];
  dataOffset: number;
  rowCount: number;
  sizeBytes: number;
}

/** The file is whole. */
export async function saveUpload(em: EntityManager, id: string, file: ReadFile): Promise<void> {
  await em.execute(
    `update contact_import set status = 'uploaded', format = ?, encoding = ?, delimiter = ?, is_utf8 = ?, columns = ?::json, preview = ?::json,
        data_offset = ?, row_count = ?, size_bytes = ? where workspace_id = current_workspace() and id = ?::uuid`,
    [
      file.format,
      file.encoding,
      file.delimiter,
      file.isUtf8,
      JSON.stringify(file.columns),
      JSON.stringify(file.preview),
      file.dataOffset,
      file.rowCount,
      file.sizeBytes,
      id,
    ],
  );
}

export async function deleteImport(em: EntityManager, id: string): Promise<void> {
  await em.execute('delete from contact_import where workspace_id = current_workspace() and id = ?::uuid', [id]);
}

/** An import that is whole and has not expired. @param forUpdate locks it until the transaction ends */
export async function findImport(em: EntityManager, id: string, forUpdate = false): Promise<ImportRow | undefined> {
  const rows = await em.execute<ImportRow[]>(
    `select ${COLUMNS} from ${FROM} where i.workspace_id = current_workspace() and i.id = ?::uuid and i.status <> 'uploading'
      and i.expires_at > now()${forUpdate ? ' for update of i' : ''}`,
    [id],
  );
  return rows[0];
}

/** The newest first, before the id `before`, of one member or of all. */
export async function listImports(
  em: EntityManager,
  { userId, before, limit }: { userId: string | null; before: string | null; limit: number },
): Promise<ImportRow[]> {
  return em.execute<ImportRow[]>(
    `select ${COLUMNS} from ${FROM} where i.workspace_id = current_workspace() and i.status <> 'uploading' and i.expires_at > now()
      and (?::uuid is null or i.user_id = ?::uuid) and (?::uuid is null or i.id < ?::uuid) order by i.id desc limit ?`,
    [userId, userId, before, before, limit],
  );
}

export async function startImport(
  em: EntityManager,
  id: string,
  { operationId, mode, isDryRun }: { operationId: string; mode: string; isDryRun: boolean },
): Promise<void> {
  await em.execute(
    `update contact_import set status = 'started', operation_id = ?::uuid, mode = ?, is_dry_run = ?, expires_at = now() + interval '30 days'
      where workspace_id = current_workspace() and id = ?::uuid`,
    [operationId, mode, isDryRun, id],
  );
}

/** What became of a row of the file. */
export interface RowOutcome {
  rowNo: number;
  status: RowStatus;
  contactId: string | null;
  reason: string | null;
  /** Of the column that is the reason, from 0. */
  columnNo: number | null;
  /** The row as it stood in the file, of those that were refused. */
  cells: readonly string[] | null;
}

export async function insertRows(em: EntityManager, importId: string, rows: readonly RowOutcome[]): Promise<void> {
  await em.execute(
    `insert into import_row (workspace_id, import_id, row_no, status, contact_id, reason, column_no, cells)
      select current_workspace(), ?::uuid, "rowNo", status, "contactId", reason, "columnNo", cells
      from json_to_recordset(?::json) as r ("rowNo" int, status text, "contactId" uuid, reason text, "columnNo" int, cells json)`,
    [importId, JSON.stringify(rows)],
  );
}

/** Rows behind `after`, in the file's order, of one status or of all. */
export async function listRows(
  em: EntityManager,
  importId: string,
  { status, after, limit }: { status: RowStatus | null; after: number; limit: number },
): Promise<RowOutcome[]> {
  const ofStatus = status === null ? '' : 'and status = ?';
  return em.execute<RowOutcome[]>(
    `select row_no as "rowNo", status, contact_id as "contactId", reason, column_no as "columnNo", cells from import_row
      where workspace_id = current_workspace() and import_id = ?::uuid ${ofStatus} and row_no > ? order by row_no limit ?`,
    [importId, ...(status === null ? [] : [status]), after, limit],
  );
}

/** Drops some of what a dry run left. @returns how many rows; call again while > 0 */
export async function clearRows(em: EntityManager, importId: string, limit: number): Promise<number> {
  const rows = await em.execute<{ row_no: number }[]>(
    `delete from import_row where workspace_id = current_workspace() and import_id = ?::uuid and row_no in
      (select row_no from import_row where workspace_id = current_workspace() and import_id = ?::uuid order by row_no limit ?) returning row_no`,
    [importId, importId, limit],
  );
  return rows.length;
}

/** Drops imports that have expired, and files whose upload was cut, as the system. @returns how many; call again while > 0 */
export async function purgeImports(systemPool: Pool): Promise<number> {
  const { rowCount } = await systemPool.query(
    `delete from contact_import where (workspace_id, id) in (
      (select workspace_id, id from contact_import where expires_at < now() order by expires_at limit 1)
      union all
      (select workspace_id, id from contact_import where status = 'uploading' and expires_at < now() + interval '30 days' - interval '1 hour'
        order by expires_at limit 1))`,
  );
  return rowCount ?? 0;
}
