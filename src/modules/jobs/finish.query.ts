import type { Pool } from 'pg';
import { createBatcher } from '#src/db/batch.ts';
import type { Problem } from '#src/errors.ts';
import { JOB_COLUMNS, type JobKey, type JobRow } from '#src/modules/jobs/job.row.ts';
import type { JobUsage } from '#src/modules/jobs/job.schemas.ts';

/**
 * How an attempt ended. `retrying` gives the job back for a later start, unless its cancel was asked for: then it ends as
 * `cancelled`, with the problem and the text given. The others are final.
 */
export interface Finish extends JobKey {
  leaseToken: string;
  status: 'completed' | 'failed' | 'cancelled' | 'retrying';
  result: unknown;
  problem: Problem | null;
  /** The text shown since the last restart. */
  streamedText: string | null;
  usage: JobUsage | null;
  /** Every provider call of this attempt, in order. */
  calls: readonly UsageCall[];
  /** Micro-credits to take of the hold; the rest goes back. Ignored on `retrying`. */
  charge: number;
  /** On `retrying`: milliseconds until the next start. */
  delayMs: number;
  /** On `retrying`: whether the attempt counts against the job's attempts (a drain or a busy provider does not). */
  isFailure: boolean;
}

/** One provider call as `ai_usage_log` keeps it; the names are its columns'. */
export interface UsageCall {
  call_no: number;
  strategy: string;
  provider: string;
  model: string;
  key_owner: 'installation' | 'workspace';
  outcome: 'delivered' | 'failed' | 'cancelled';
  failure: string | null;
  /** `provider/model` that failed before it in the same attempt. */
  fallback_from: string | null;
  input_tokens: number;
  cached_input_tokens: number;
  cache_write_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  is_estimated: boolean;
  /** The workspace pays this call with what the job is charged. */
  is_paid: boolean;
  cost_nano: number;
  price_version: string;
  latency_ms: number;
  ttft_ms: number | null;
  started_at_ms: number;
}

/** What the statement did: the final row; or nothing, because the lease had passed to another worker. */
export type Finished = { kind: 'done'; row: JobRow } | { kind: 'refused' };

const json = (value: unknown): string | null => (value === null || value === undefined ? null : JSON.stringify(value));

/** @returns a function that ends an attempt, if its lease still holds; many attempts share one statement and one commit. */
export function createFinish(pool: Pool): (finish: Finish) => Promise<Finished> {
  return createBatcher<Finish, Finished>({
    max: 200,
    run: async (finishes) => {
      const { rows } = await pool.query<JobRow>({
        name: 'job-finish',
        text: `select ${JOB_COLUMNS} from job_finish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
        values: [
          finishes.map((finish) => finish.workspaceId),
          finishes.map((finish) => finish.id),
          finishes.map((finish) => finish.leaseToken),
          finishes.map((finish) => finish.status),
          finishes.map((finish) => json(finish.result)),
          finishes.map((finish) => json(finish.problem)),
          finishes.map((finish) => finish.streamedText),
          finishes.map((finish) => json(finish.usage)),
          finishes.map((finish) => Math.max(0, Math.ceil(finish.charge))),
          finishes.map((finish) => Math.ceil(finish.delayMs)),
          finishes.map((finish) => finish.isFailure),
          finishes.map(({ calls }) => (calls.length > 0 ? JSON.stringify(calls) : null)),
        ],
      });
      const byId = new Map(rows.map((row) => [row.id, row]));
      return finishes.map(({ id }) => {
        const row = byId.get(id);
        return { value: row ? { kind: 'done', row } : { kind: 'refused' } };
      });
    },
  });
}
