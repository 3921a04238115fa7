import type { Pool } from 'pg';
import { csvLine } from '#src/lib/csv.ts';
import { readPeriod, type Whose } from '#src/modules/analytics/analytics.query.ts';
import type { ExportFormat, ReportName } from '#src/modules/analytics/exports.query.ts';
import {
  readAiDays,
  readCalls,
  readTeamDays,
  type CallKey,
  type Cell,
  type Days,
} from '#src/modules/analytics/reports.query.ts';

const DAY_MS = 86_400_000;
const DAYS_AT_ONCE = 7;
const CALLS_AT_ONCE = 2000;

interface Span {
  starts: Date;
  ends: Date;
}
type Lines = AsyncGenerator<Record<string, Cell>[]>;

const dayAt = (at: number): string => new Date(at).toISOString().slice(0, 10);

async function* byDays(
  pool: Pool,
  whose: Whose,
  { starts, ends }: Span,
  read: (pool: Pool, whose: Whose, days: Days) => Promise<Record<string, Cell>[]>,
): Lines {
  const asked = { from: starts.toISOString(), to: ends.toISOString() };
  const period = await readPeriod(pool, whose.workspaceId, asked);
  if (!period) return;
  const end = Date.parse(period.endDay);
  for (let at = Date.parse(period.firstDay); at < end; at += DAYS_AT_ONCE * DAY_MS) {
    yield await read(pool, whose, { firstDay: dayAt(at), endDay: dayAt(Math.min(end, at + DAYS_AT_ONCE * DAY_MS)) });
  }
}

async function* byCalls(pool: Pool, whose: Whose, span: Span): Lines {
  let after: CallKey | undefined;
  for (;;) {
    const rows = await readCalls(pool, whose, { ...span, after, limit: CALLS_AT_ONCE });
    yield rows;
    const last = rows.at(-1);
    if (!last || rows.length < CALLS_AT_ONCE) return;
    after = {
      startedAt: String(last['started_at']),
      jobId: String(last['job_id']),
      attemptNo: Number(last['attempt_no']),
      callNo: Number(last['call_no']),
    };
  }
}

const MONEY = ['cost_usd', 'credits'];
const TOKENS = ['input_tokens', 'cached_input_tokens', 'output_tokens', 'reasoning_tokens'];

/** What can be exported: the columns of each file, and what they are read from, one page at a time. */
const REPORTS: Record<ReportName, { columns: string[]; read: (pool: Pool, whose: Whose, span: Span) => Lines }> = {
  ai: {
    columns: ['day', 'engine', 'provider', 'model', 'calls', 'failures', ...TOKENS, ...MONEY],
    read: (pool, whose, span) => byDays(pool, whose, span, readAiDays),
  },
  team: {
    columns: ['day', 'user_id', 'name', 'jobs_completed', 'jobs_failed', 'jobs_cancelled', 'calls', ...MONEY],
    read: (pool, whose, span) => byDays(pool, whose, span, readTeamDays),
  },
  calls: {
    columns: [
      'started_at',
      'job_id',
      'attempt_no',
      'call_no',
      'user_id',
      'engine',
      'strategy',
      'provider',
      'model',
      'key_owner',
      'outcome',
      'failure',
      'fallback_from',
      ...TOKENS,
      ...MONEY,
      'latency_ms',
      'ttft_ms',
    ],
    read: byCalls,
  },
};

/** A report as the text of a file, in pieces that fit in memory, each with how many rows it holds. */
export async function* writeReport(
  pool: Pool,
  whose: Whose,
  { report, format, ...span }: { report: ReportName; format: ExportFormat } & Span,
): AsyncGenerator<{ text: string; rows: number }> {
  const { columns, read } = REPORTS[report];
  const cellsOf = (row: Record<string, Cell>) => columns.map((column) => row[column] ?? null);
  if (format === 'csv') yield { text: csvLine(columns), rows: 0 };
  for await (const rows of read(pool, whose, span)) {
    const lines = rows.map((row) => (format === 'csv' ? csvLine(cellsOf(row)) : `${JSON.stringify(row)}\n`));
    yield { text: lines.join(''), rows: rows.length };
  }
}
