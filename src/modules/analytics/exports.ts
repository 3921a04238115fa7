import type { Pool } from 'pg';
import type { Logger } from 'pino';
import { analytics } from '#queues/analytics.ts';
import { AppError, toProblem } from '#src/errors.ts';
import {
  claimExport,
  completeExport,
  failExport,
  writeChunk,
  type ExportRow,
  type ExportTry,
} from '#src/modules/analytics/exports.query.ts';
import { writeReport } from '#src/modules/analytics/reports.ts';

/** A worker writes a part at least as often, or another takes over. */
const LEASE_MS = 60_000;
/** A page of a report may be larger; a part is read into memory as a whole. */
const CHUNK_BYTES = 262_144;
const MAX_BYTES = 268_435_456;

export interface ExportResources {
  /** As `wh_app`: it sees the workspace it writes for. */
  pool: Pool;
  log: Logger;
}

/** Another worker has taken over. */
class LostLease extends Error {}

async function write(pool: Pool, taken: ExportTry, row: ExportRow): Promise<{ rows: number; bytes: number }> {
  const whose = { workspaceId: taken.workspaceId, userId: row.only_user_id ?? undefined };
  const written = { rows: 0, bytes: 0, chunks: 0 };
  let waiting = '';
  const flush = async (): Promise<void> => {
    const content = Buffer.from(waiting);
    waiting = '';
    written.bytes += content.length;
    if (written.bytes > MAX_BYTES) {
      throw new AppError(
        413,
        'export_too_large',
        `The file would be over ${MAX_BYTES} bytes; ask for a shorter period.`,
      );
    }
    if (!(await writeChunk(pool, taken, written.chunks++, content, LEASE_MS))) throw new LostLease();
  };
  const asked = { report: row.report, format: row.format, starts: row.starts_at, ends: row.ends_at };
  for await (const { text, rows } of writeReport(pool, whose, asked)) {
    waiting += text;
    written.rows += rows;
    if (waiting.length >= CHUNK_BYTES) await flush();
  }
  if (waiting !== '') await flush();
  return written;
}

/**
 * Writes the file of an export that is due, in parts. Killed anywhere, another worker begins anew when the lease is over; what an earlier
 * try wrote is never part of the file.
 */
export async function runExport({ pool, log }: ExportResources, workspaceId: string, id: string): Promise<void> {
  const row = await claimExport(pool, { workspaceId, id }, LEASE_MS);
  if (!row) return;
  const taken = { workspaceId, id, attempt: row.attempt };
  const { attempts, baseMs, capMs } = analytics.retry;
  try {
    // Every try before was cut short: whatever kills its worker would go on to kill others.
    if (row.attempt > attempts) throw new AppError(500, 'export_failed', 'The file could not be written.');
    await completeExport(pool, taken, await write(pool, taken, row));
  } catch (error) {
    if (error instanceof LostLease) return;
    log.error({ err: error, workspaceId, exportId: id, attempt: row.attempt }, 'An export failed');
    const isFinal = error instanceof AppError || row.attempt >= attempts;
    const retryMs = Math.min(capMs, baseMs * 2 ** (row.attempt - 1));
    await failExport(pool, taken, isFinal ? { problem: toProblem(error) } : { retryMs });
  }
}
