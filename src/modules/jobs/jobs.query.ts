import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { Problem } from '#src/errors.ts';
import { JOB_COLUMNS, type JobKey, type JobRow } from '#src/modules/jobs/job.row.ts';
import type { JobStatus } from '#src/modules/jobs/job.schemas.ts';

/** A job's key; with `userId`, only if that user submitted it. */
export interface OwnJobKey extends JobKey {
  userId?: string | undefined;
}

/** @returns the job of that workspace, or null: another workspace's job is as unknown as none. */
export async function findJob(pool: Pool, key: OwnJobKey): Promise<JobRow | null> {
  const { rows } = await queryAs<JobRow>(pool, key, {
    name: 'job-find',
    text: `select ${JOB_COLUMNS} from job where workspace_id = $1 and id = $2 and ($3::uuid is null or user_id = $3)`,
    values: [key.workspaceId, key.id, key.userId ?? null],
  });
  return rows[0] ?? null;
}

/** @returns the jobs among these that are over. */
export async function findOver(pool: Pool, keys: JobKey[]): Promise<JobRow[]> {
  const byWorkspace = Map.groupBy(keys, (key) => key.workspaceId);
  const found = await Promise.all(
    [...byWorkspace].map(([workspaceId, own]) =>
      queryAs<JobRow>(
        pool,
        { workspaceId },
        {
          name: 'job-find-over',
          text: `select ${JOB_COLUMNS} from job where workspace_id = $1 and id = any($2::uuid[]) and finished_at is not null`,
          values: [workspaceId, own.map((key) => key.id)],
        },
      ),
    ),
  );
  return found.flatMap(({ rows }) => rows);
}

/** One page of a workspace's jobs, newest first. `before` is the id of the last job of the page before (ids are time-ordered). */
export async function listJobs(
  pool: Pool,
  page: {
    workspaceId: string;
    userId?: string | undefined;
    status?: JobStatus | undefined;
    engine?: string | undefined;
    before?: string | undefined;
    limit: number;
  },
): Promise<JobRow[]> {
  const { rows } = await queryAs<JobRow>(pool, page, {
    name: 'job-list',
    text: `select ${JOB_COLUMNS} from job where workspace_id = $1 and ($2::text is null or status = $2)
      and ($3::text is null or engine = $3) and ($4::uuid is null or id < $4) and ($6::uuid is null or user_id = $6)
      order by id desc limit $5`,
    values: [
      page.workspaceId,
      page.status ?? null,
      page.engine ?? null,
      page.before ?? null,
      page.limit,
      page.userId ?? null,
    ],
  });
  return rows;
}

// The lease is cleared though a waiting job has none: an update that waits for a worker's hand-back is first checked against the
// row as it was, and an ended job with a lease would be refused there.
const CANCEL = `
with target as materialized (
  select * from job where workspace_id = $1 and id = $2 and ($4::uuid is null or user_id = $4) for update
), cancelled as (
  update job j set status = 'cancelled', problem = $3::json, finished_at = now(), cancel_requested_at = now(),
    lease_token = null, lease_until = null
  from target t where j.workspace_id = t.workspace_id and j.id = t.id and t.status in ('queued', 'retrying')
  returning j.*
), flagged as (
  update job j set cancel_requested_at = coalesce(j.cancel_requested_at, now())
  from target t where j.workspace_id = t.workspace_id and j.id = t.id and t.status = 'active'
), released as (
  select credit_resolve(workspace_id, array[id], array[0::bigint], 'release') as count from cancelled where credit_held > 0
)
select target.status as previously, (select count(*) from released), ${JOB_COLUMNS.split(', ')
  .map((column) => `cancelled.${column}`)
  .join(', ')}
from target left join cancelled using (workspace_id, id)`;

/** What a cancel met: a waiting job, now over; a running one, whose worker must be told; one that was over; or none. */
export type Cancelled =
  | { kind: 'cancelled'; row: JobRow }
  | { kind: 'running' }
  | { kind: 'over' }
  | { kind: 'unknown' };

/** Cancels a waiting job at once, with its hold given back, or marks a running one. */
export async function cancelJob(pool: Pool, key: OwnJobKey, problem: Problem): Promise<Cancelled> {
  const { rows } = await queryAs<JobRow & { previously: JobStatus; id: string | null }>(pool, key, {
    name: 'job-cancel',
    text: CANCEL,
    values: [key.workspaceId, key.id, JSON.stringify(problem), key.userId ?? null],
  });
  const row = rows[0];
  if (!row) return { kind: 'unknown' };
  if (row.id) return { kind: 'cancelled', row };
  return { kind: row.previously === 'active' ? 'running' : 'over' };
}

/**
 * Cancels all that is open in a workspace: waiting jobs at once, with their holds given back; running ones, and batches, are marked.
 * @returns the ids of the marked ones
 */
export async function cancelAllJobs(pool: Pool, workspaceId: string, problem: Problem): Promise<string[]> {
  // Locks in key order, jobs before the account, as every end of jobs does.
  const { rows } = await queryAs<{ ids: string[] }>(
    pool,
    { workspaceId },
    {
      name: 'job-cancel-all',
      text: `with target as materialized (
        select workspace_id, id, status from job where workspace_id = $1 and finished_at is null order by id for update
      ), cancelled as (
        update job j set status = 'cancelled', problem = $2::json, finished_at = now(), cancel_requested_at = now(),
          lease_token = null, lease_until = null
        from target t where j.workspace_id = t.workspace_id and j.id = t.id and t.status in ('queued', 'retrying')
        returning j.id, j.credit_held
      ), marked as (
        update job j set cancel_requested_at = coalesce(j.cancel_requested_at, now())
        from target t where j.workspace_id = t.workspace_id and j.id = t.id and t.status = 'active' returning j.id
      ), released as (
        select credit_resolve($1, array_agg(id), array_agg(0::bigint), 'release') as count from cancelled where credit_held > 0
        having count(*) > 0
      )
      select coalesce(array_agg(id::text), '{}') as ids, (select count(*) from released) from marked`,
      values: [workspaceId, JSON.stringify(problem)],
    },
  );
  return rows.flatMap(({ ids }) => ids);
}

/**
 * Workspaces that were closed of late and have jobs nobody has cancelled: accepted in the seconds in which a caller's rights are remembered, or
 * left by a process that died while it closed them. Looked at are those of the day before it, by their ids: all that it ever had may be many.
 */
export async function findClosedAtWork(systemPool: Pool, limit: number): Promise<string[]> {
  const { rows } = await systemPool.query<{ id: string }>(
    `select w.id from workspace w where w.deleted_at > now() - interval '10 minutes' and exists (
       select from job j where j.workspace_id = w.id and j.id >= first_id_at(w.deleted_at - interval '1 day')
         and j.finished_at is null and j.cancel_requested_at is null) limit $1`,
    [limit],
  );
  return rows.map(({ id }) => id);
}

/** A workspace's credits in micro-credits. */
export async function findCredits(pool: Pool, workspaceId: string): Promise<{ balance: number; held: number } | null> {
  const { rows } = await queryAs<{ balance: string; held: string }>(
    pool,
    { workspaceId },
    {
      name: 'credit-find',
      text: 'select balance, held from credit_account where workspace_id = $1',
      values: [workspaceId],
    },
  );
  const row = rows[0];
  return row ? { balance: Number(row.balance), held: Number(row.held) } : null;
}
