import type { Pool } from 'pg';
import { createBatcher } from '#src/db/batch.ts';
import type { JobOptions, JobStatus } from '#src/modules/jobs/job.schemas.ts';
import type { ClaimedJob, JobKey } from '#src/modules/jobs/job.row.ts';

/** What became of a claim: the job; or why it is not ours: it is over, unknown, or another worker's for `leaseMs` more. */
export type Claim =
  | { kind: 'claimed'; job: ClaimedJob }
  | { kind: 'over' }
  | { kind: 'unknown' }
  | { kind: 'leased'; leaseMs: number };

export interface ClaimRequest extends JobKey {
  leaseToken: string;
}

interface ClaimRow {
  i: number;
  /** The status before the claim; null when there is no such job. */
  was: JobStatus | null;
  lease_left_ms: number | null;
  workspace_id: string;
  /** Null when the job could not be claimed. */
  id: string | null;
  user_id: string;
  queue: string;
  engine: string;
  input: unknown;
  options: JobOptions;
  request_id: string;
  attempt: number;
  failures: number;
  max_attempts: number;
  is_cancel_requested: boolean;
  lease_token: string;
  credit_held: string;
  queue_ms: number;
  since_start_ms: number;
}

function toClaim(row: ClaimRow | undefined): Claim {
  if (!row || row.was === null) return { kind: 'unknown' };
  if (row.id === null) {
    return row.lease_left_ms === null ? { kind: 'over' } : { kind: 'leased', leaseMs: row.lease_left_ms };
  }
  return {
    kind: 'claimed',
    job: {
      workspaceId: row.workspace_id,
      id: row.id,
      userId: row.user_id,
      queue: row.queue,
      engine: row.engine,
      input: row.input,
      options: row.options,
      requestId: row.request_id,
      attempt: row.attempt,
      failures: row.failures,
      maxAttempts: row.max_attempts,
      previously: row.was,
      isCancelRequested: row.is_cancel_requested,
      leaseToken: row.lease_token,
      hold: Number(row.credit_held),
      queueMs: row.queue_ms,
      sinceStartMs: row.since_start_ms,
    },
  };
}

/**
 * Claims jobs for this process, many in one statement.
 * @param leaseMs how long a claim holds without being renewed, by the database's clock.
 */
export function createClaim(pool: Pool, leaseMs: number): (request: ClaimRequest) => Promise<Claim> {
  return createBatcher<ClaimRequest, Claim>({
    max: 200,
    run: async (requests) => {
      const { rows } = await pool.query<ClaimRow>({
        name: 'job-claim',
        text: 'select * from job_claim($1, $2, $3, $4)',
        values: [
          requests.map((request) => request.workspaceId),
          requests.map((request) => request.id),
          requests.map((request) => request.leaseToken),
          leaseMs,
        ],
      });
      const byIndex = new Map(rows.map((row) => [row.i - 1, row]));
      return requests.map((_, index) => ({ value: toClaim(byIndex.get(index)) }));
    },
  });
}

/**
 * Renews the leases of all jobs a process runs, in one statement.
 * @returns by lease token: whether a cancel was asked for. A token that is missing was lost to another worker.
 */
export async function renewLeases(pool: Pool, held: ClaimRequest[], leaseMs: number): Promise<Map<string, boolean>> {
  const { rows } = await pool.query<{ token: string; is_cancel_requested: boolean }>({
    name: 'job-renew',
    text: 'select * from job_renew($1, $2, $3, $4)',
    values: [held.map((job) => job.workspaceId), held.map((job) => job.id), held.map((job) => job.leaseToken), leaseMs],
  });
  return new Map(rows.map((row) => [row.token, row.is_cancel_requested]));
}
