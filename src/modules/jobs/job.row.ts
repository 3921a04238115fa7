import type { Problem } from '#src/errors.ts';
import type { JobOptions, JobStatus, JobUsage, JobView } from '#src/modules/jobs/job.schemas.ts';

/** The key of a job's row. */
export interface JobKey {
  workspaceId: string;
  id: string;
}

/** The columns of a job that a client may see; `pg` gives dates as Date and json already parsed. */
export interface JobRow {
  workspace_id: string;
  id: string;
  engine: string;
  queue: string;
  band: string;
  status: JobStatus;
  attempt: number;
  created_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
  result: unknown;
  problem: Problem | null;
  streamed_text: string | null;
  usage: JobUsage | null;
  /** The batch it is an item of. */
  parent_id: string | null;
}

/** The columns of `JobRow`, for a select. */
export const JOB_COLUMNS =
  'workspace_id, id, engine, queue, band, status, attempt, created_at, started_at, finished_at, result, problem, streamed_text, usage, parent_id';

/** A job in a worker's hands: the row as it was claimed, with the lease that proves it. */
export interface ClaimedJob extends JobKey {
  userId: string;
  queue: string;
  engine: string;
  input: unknown;
  options: JobOptions;
  requestId: string;
  /** Counts starts from 1; fences the output stream. */
  attempt: number;
  failures: number;
  maxAttempts: number;
  /** What the start before this one ended in; `active` means that its worker was lost. */
  previously: JobStatus;
  isCancelRequested: boolean;
  leaseToken: string;
  /** Micro-credits held for the job. */
  hold: number;
  /** From acceptance (or the planned retry) to this claim, in milliseconds. */
  queueMs: number;
  /** From the job's first start to this claim, in milliseconds; 0 for the first. */
  sinceStartMs: number;
}

/** @returns what was left, when the job was claimed, of the milliseconds that the client gave it (`options.timeoutMs`) */
export const timeLeftMs = ({ options, sinceStartMs }: Pick<ClaimedJob, 'options' | 'sinceStartMs'>): number =>
  (options.timeoutMs ?? Infinity) - sinceStartMs;

const PRIORITY: Record<string, JobView['priority']> = {
  interactive: 'interactive',
  high: 'interactive',
  normal: 'normal',
  low: 'batch',
  bulk: 'batch',
};

/** The job as clients see it. */
export function toJobView(row: JobRow): JobView {
  const isOver = row.finished_at !== null;
  return {
    id: row.id,
    engine: row.engine,
    queue: row.queue,
    status: row.status,
    priority: PRIORITY[row.band] ?? 'normal',
    attempts: row.attempt,
    createdAt: row.created_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    finishedAt: row.finished_at?.toISOString() ?? null,
    progress: row.status === 'completed' ? 1 : null,
    result: row.result,
    problem: row.problem,
    partialText: isOver && row.status !== 'completed' ? row.streamed_text : null,
    usage: row.usage,
  };
}
