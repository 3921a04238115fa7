import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';

export type ReportName = 'ai' | 'team' | 'calls';
export type ExportFormat = 'csv' | 'ndjson';

/** An export as it is kept; `bigint`s are numbers, exact up to 2^53. */
export interface ExportRow {
  id: string;
  user_id: string;
  /** Whose figures alone are in it; null for those of everybody. */
  only_user_id: string | null;
  report: ReportName;
  format: ExportFormat;
  starts_at: Date;
  ends_at: Date;
  status: 'queued' | 'active' | 'completed' | 'failed';
  attempt: number;
  row_count: number | null;
  size_bytes: number | null;
  problem: unknown;
  created_at: Date;
  finished_at: Date | null;
  expires_at: Date;
}

const COLUMNS = `id, user_id, only_user_id, report, format, starts_at, ends_at, status, attempt, row_count::float8 as row_count,
  size_bytes::float8 as size_bytes, problem, created_at, finished_at, expires_at`;

export interface NewExport {
  id: string;
  userId: string;
  onlyUserId: string | null;
  report: ReportName;
  format: ExportFormat;
  starts: Date;
  ends: Date;
  keepMs: number;
}

/** @returns the row, or undefined where the workspace has `max` exports already */
export async function insertExport(em: EntityManager, one: NewExport, max: number): Promise<ExportRow | undefined> {
  const rows = await em.execute<ExportRow[]>(
    `insert into analytics_export (workspace_id, id, user_id, only_user_id, report, format, starts_at, ends_at, expires_at)
      select current_workspace(), ?::uuid, ?::uuid, ?::uuid, ?::text, ?::text, ?::timestamptz, ?::timestamptz,
        now() + ?::float8 * interval '1 millisecond'
      where (select count(*) from analytics_export where workspace_id = current_workspace()) < ? returning ${COLUMNS}`,
    [
      one.id,
      one.userId,
      one.onlyUserId,
      one.report,
      one.format,
      one.starts.toISOString(),
      one.ends.toISOString(),
      one.keepMs,
      max,
    ],
  );
  return rows[0];
}

/** An export that has not expired. */
export async function findExport(pool: Pool, workspaceId: string, id: string): Promise<ExportRow | undefined> {
  const { rows } = await queryAs<ExportRow>(
    pool,
    { workspaceId },
    {
      name: 'analytics-export',
      text: `select ${COLUMNS} from analytics_export where workspace_id = $1 and id = $2 and expires_at > now()`,
      values: [workspaceId, id],
    },
  );
  return rows[0];
}

/** Which export, and which try at it: what another try writes is no part of it. */
export interface ExportTry {
  workspaceId: string;
  id: string;
  attempt: number;
}

/** Takes an export that is due, for as long as `leaseMs`. @returns undefined where there is nothing to do */
export async function claimExport(
  pool: Pool,
  { workspaceId, id }: Omit<ExportTry, 'attempt'>,
  leaseMs: number,
): Promise<ExportRow | undefined> {
  const { rows } = await queryAs<ExportRow>(
    pool,
    { workspaceId },
    {
      name: 'analytics-export-claim',
      text: `update analytics_export set status = 'active', attempt = attempt + 1, due_at = now() + $3 * interval '1 millisecond'
        where workspace_id = $1 and id = $2 and due_at <= now() and expires_at > now() returning ${COLUMNS}`,
      values: [workspaceId, id, leaseMs],
    },
  );
  return rows[0];
}

const isOwn = 'workspace_id = $1 and id = $2 and attempt = $3';

/** Writes a part of the file and keeps the lease. @returns whether the try still has it */
export async function writeChunk(
  pool: Pool,
  { workspaceId, id, attempt }: ExportTry,
  chunkNo: number,
  content: Buffer,
  leaseMs: number,
): Promise<boolean> {
  const { rowCount } = await queryAs(
    pool,
    { workspaceId },
    {
      name: 'analytics-export-write',
      text: `with kept as (update analytics_export set due_at = now() + $6 * interval '1 millisecond'
          where ${isOwn} and status = 'active' returning 1)
        insert into analytics_export_chunk (workspace_id, export_id, attempt, chunk_no, content)
        select $1, $2, $3, $4, $5 from kept`,
      values: [workspaceId, id, attempt, chunkNo, content, leaseMs],
    },
  );
  return rowCount === 1;
}

/** Ends a try: the file is whole, and what other tries wrote goes. */
export async function completeExport(
  pool: Pool,
  { workspaceId, id, attempt }: ExportTry,
  { rows, bytes }: { rows: number; bytes: number },
): Promise<void> {
  await queryAs(
    pool,
    { workspaceId },
    {
      text: `with done as (update analytics_export set status = 'completed', due_at = null, finished_at = now(), row_count = $4,
          size_bytes = $5 where ${isOwn} and status = 'active' returning 1)
        delete from analytics_export_chunk using done where workspace_id = $1 and export_id = $2 and attempt < $3`,
      values: [workspaceId, id, attempt, rows, bytes],
    },
  );
}

/** Ends a try that failed: for good with a problem, or until `retryMs` from now; what it wrote goes. */
export async function failExport(
  pool: Pool,
  { workspaceId, id, attempt }: ExportTry,
  outcome: { problem: object } | { retryMs: number },
): Promise<void> {
  const isFinal = 'problem' in outcome;
  await queryAs(
    pool,
    { workspaceId },
    {
      text: `with failed as (update analytics_export set status = case when $4 then 'failed' else 'queued' end,
          due_at = case when not $4 then now() + $5 * interval '1 millisecond' end, finished_at = case when $4 then now() end,
          problem = $6::json where ${isOwn} and status = 'active' returning 1)
        delete from analytics_export_chunk using failed where workspace_id = $1 and export_id = $2 and attempt <= $3`,
      values: [
        workspaceId,
        id,
        attempt,
        isFinal,
        isFinal ? 0 : outcome.retryMs,
        isFinal ? JSON.stringify(outcome.problem) : null,
      ],
    },
  );
}

/** @returns a part of a finished file, or undefined behind the last */
export async function readChunk(
  pool: Pool,
  { workspaceId, id, attempt }: ExportTry,
  chunkNo: number,
): Promise<Buffer | undefined> {
  const { rows } = await queryAs<{ content: Buffer }>(
    pool,
    { workspaceId },
    {
      name: 'analytics-export-read',
      text: `select content from analytics_export_chunk where workspace_id = $1 and export_id = $2 and attempt = $3 and chunk_no = $4`,
      values: [workspaceId, id, attempt, chunkNo],
    },
  );
  return rows[0]?.content;
}

/** Exports to be handed to a worker, as the system; also those whose worker is gone. */
export async function findDueExports(
  systemPool: Pool,
  limit: number,
): Promise<{ workspaceId: string; jobId: string }[]> {
  const { rows } = await systemPool.query<{ workspaceId: string; jobId: string }>({
    name: 'analytics-exports-due',
    text: `select workspace_id as "workspaceId", id as "jobId" from analytics_export where due_at <= now() order by due_at limit $1`,
    values: [limit],
  });
  return rows;
}

/** Drops exports an hour after they expired, so that who has begun to read one gets all of it, as the system. @returns how many; call again while > 0 */
export async function purgeExports(systemPool: Pool): Promise<number> {
  const { rowCount } = await systemPool.query(
    `delete from analytics_export where (workspace_id, id) in
      (select workspace_id, id from analytics_export where expires_at < now() - interval '1 hour' order by expires_at limit 20)`,
  );
  return rowCount ?? 0;
}
