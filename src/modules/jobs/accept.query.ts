import type { Pool } from 'pg';
import { createBatcher, type BatchOutcome } from '#src/db/batch.ts';
import { AppError, notFound } from '#src/errors.ts';
import type { Band } from '#queues/define.ts';
import type { QueueName } from '#queues/index.ts';

/** A validated job on its way into the database. Money in micro-credits (1 credit = 1 000 000), which are nano-USD. */
export interface NewJob {
  workspaceId: string;
  id: string;
  userId: string;
  queue: QueueName;
  engine: string;
  band: Band;
  input: unknown;
  options: unknown;
  requestId: string;
  maxAttempts: number;
  /** The most the job can cost; held until it ends. */
  hold: number;
  /** Set when the client sent an Idempotency-Key. */
  idempotency: { route: string; key: string; bodyHash: Buffer } | null;
}

export interface Accepted {
  jobId: string;
  /** True when an earlier request with the same key and body had made the job. */
  isReplay: boolean;
}

export interface AcceptRow {
  i: number;
  outcome: 'accepted' | 'replayed' | 'mismatch' | 'gone' | 'too_dear' | 'over_budget' | 'over_member_budget';
  job_id: string;
  /** Micro-credits there are for it: of the account, or of the budget that refused it. */
  balance: string | null;
}

const CREDIT = 1_000_000;

/** What the database said of one job. */
export function toOutcome(row: AcceptRow | undefined, job: Pick<NewJob, 'id' | 'hold'>): BatchOutcome<Accepted> {
  if (!row) return new Error('The accept statement lost a row');
  switch (row.outcome) {
    case 'accepted':
      return { value: { jobId: job.id, isReplay: false } };
    case 'replayed':
      return { value: { jobId: row.job_id, isReplay: true } };
    case 'mismatch':
      return new AppError(422, 'idempotency_mismatch', 'This Idempotency-Key was used before with another body.');
    case 'gone':
      return notFound('The workspace');
    case 'too_dear': {
      const needed = (job.hold / CREDIT).toFixed(3);
      const available = (Number(row.balance) / CREDIT).toFixed(3);
      return new AppError(
        402,
        'insufficient_credits',
        `This job may cost up to ${needed} credits; ${available} are available. A cheaper options.model or an options.maxCostUsd bounds it.`,
      );
    }
    case 'over_budget':
    case 'over_member_budget': {
      const whose = row.outcome === 'over_budget' ? "the workspace's monthly budget" : 'your monthly budget';
      return new AppError(
        402,
        'budget_exceeded',
        `This job may cost up to ${(job.hold / CREDIT).toFixed(3)} credits; ${whose} leaves ${(Number(row.balance) / CREDIT).toFixed(3)} until the month ends (UTC).`,
      );
    }
    default:
      return row.outcome satisfies never;
  }
}

/**
 * Accepts jobs: row, reservation of credits and idempotency row in one statement and one commit, shared by all callers of the moment.
 * @returns a function that resolves once the job is durable; rejects with 402 `insufficient_credits` or `budget_exceeded`, 404, 422 `idempotency_mismatch`.
 */
export function createAccept(pool: Pool): (job: NewJob) => Promise<Accepted> {
  return createBatcher<NewJob, Accepted>({
    max: 500,
    run: async (jobs) => {
      const { rows } = await pool.query<AcceptRow>({
        name: 'job-accept',
        text: `select * from job_accept($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
        values: [
          jobs.map((job) => job.workspaceId),
          jobs.map((job) => job.id),
          jobs.map((job) => job.userId),
          jobs.map((job) => job.queue),
          jobs.map((job) => job.engine),
          jobs.map((job) => job.band),
          jobs.map((job) => JSON.stringify(job.input)),
          jobs.map((job) => JSON.stringify(job.options)),
          jobs.map((job) => job.requestId),
          jobs.map((job) => job.maxAttempts),
          jobs.map((job) => job.hold),
          jobs.map((job) => job.idempotency?.route ?? null),
          jobs.map((job) => job.idempotency?.key ?? null),
          jobs.map((job) => job.idempotency?.bodyHash ?? null),
        ],
      });
      const byIndex = new Map(rows.map((row) => [row.i - 1, row]));
      return jobs.map((job, index) => toOutcome(byIndex.get(index), job));
    },
  });
}
