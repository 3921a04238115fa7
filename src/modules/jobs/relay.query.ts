import type { Pool } from 'pg';
import type { Band } from '#queues/define.ts';
import type { QueueName } from '#queues/index.ts';
import type { JobKey } from '#src/modules/jobs/job.row.ts';

/** A job to be put into Redis. */
export interface Dispatch extends JobKey {
  queue: QueueName;
  band: Band;
  /** Milliseconds until it may start. */
  delayMs: number;
}

interface DispatchRow {
  workspace_id: string;
  id: string;
  queue: QueueName;
  band: Band;
  delay_ms: number;
}

const COLUMNS = `workspace_id, id, queue, band, greatest(0, extract(epoch from run_at - now()) * 1000)::int as delay_ms`;

const toDispatch = (row: DispatchRow): Dispatch => ({
  workspaceId: row.workspace_id,
  id: row.id,
  queue: row.queue,
  band: row.band,
  delayMs: row.delay_ms,
});

const keysOf = (jobs: JobKey[]) => [jobs.map((job) => job.workspaceId), jobs.map((job) => job.id)];

/** Jobs whose way to Redis failed or was forgotten. The young ones are left to the API that has just accepted them. */
export async function findUndispatched(pool: Pool, limit: number): Promise<Dispatch[]> {
  const { rows } = await pool.query<DispatchRow>(
    `select ${COLUMNS} from job
     where dispatched_at is null and status in ('queued', 'retrying')
       and run_at < now() + interval '60 seconds' and created_at < now() - interval '1500 milliseconds'
     order by run_at limit $1`,
    [limit],
  );
  return rows.map(toDispatch);
}

/** Notes that jobs are in Redis; those already claimed need no note and cost no write. */
export async function markDispatched(pool: Pool, jobs: JobKey[]): Promise<void> {
  await pool.query({
    name: 'job-mark-dispatched',
    text: `with input as materialized (select * from unnest($1::uuid[], $2::uuid[]) as t (workspace_id, id)),
      target as materialized (select j.workspace_id, j.id from job j join input using (workspace_id, id)
        where j.status in ('queued', 'retrying') order by j.workspace_id, j.id for update of j skip locked)
      update job j set dispatched_at = now() from target t where j.workspace_id = t.workspace_id and j.id = t.id`,
    values: keysOf(jobs),
  });
}

/** Waiting jobs that were dispatched a while ago, longest first: candidates for having been lost by Redis. */
export async function findLongWaiting(pool: Pool, olderThanMs: number, limit: number): Promise<Dispatch[]> {
  const { rows } = await pool.query<DispatchRow>(
    `select ${COLUMNS} from job
     where status in ('queued', 'retrying') and dispatched_at < now() - $1 * interval '1 millisecond'
     order by dispatched_at limit $2`,
    [olderThanMs, limit],
  );
  return rows.map(toDispatch);
}

/** Running jobs whose lease ran out a while ago and that no worker took over: their entry in Redis is gone or stuck. */
export async function findAbandoned(pool: Pool, overdueMs: number, limit: number): Promise<Dispatch[]> {
  const { rows } = await pool.query<DispatchRow>(
    `select ${COLUMNS} from job where status = 'active' and lease_until < now() - $1 * interval '1 millisecond'
     order by lease_until limit $2`,
    [overdueMs, limit],
  );
  return rows.map(toDispatch);
}

/** Redis was lost: every waiting job has to be put into it again. Rows are locked in key order, as by all that lock several. @returns how many. */
export async function forgetDispatched(pool: Pool): Promise<number> {
  const { rowCount } = await pool.query(
    `with target as materialized (select workspace_id, id from job
       where status in ('queued', 'retrying') and dispatched_at is not null order by workspace_id, id for update)
     update job j set dispatched_at = null from target t where j.workspace_id = t.workspace_id and j.id = t.id`,
  );
  return rowCount ?? 0;
}

/** The mark that tells whether Redis still is the one this installation filled. */
export async function findEpoch(pool: Pool): Promise<string> {
  const { rows } = await pool.query<{ redis_epoch: string }>('select redis_epoch from installation');
  if (!rows[0]) throw new Error('The table "installation" has no row: run the migrations.');
  return rows[0].redis_epoch;
}

/** Drops what is past its time: texts of ended jobs, and idempotency keys after a day, with what they were answered. @returns rows touched; call again while > 0. */
export async function purge(pool: Pool, resultTtlSeconds: number): Promise<number> {
  const texts = await pool.query(
    `update job set input = null, result = null, streamed_text = null
     where (workspace_id, id) in (select workspace_id, id from job where input is not null
       and finished_at < now() - $1 * interval '1 second' order by finished_at limit 1000)`,
    [resultTtlSeconds],
  );
  const keys = await pool.query(
    `delete from idempotency where (workspace_id, route, key) in
     (select workspace_id, route, key from idempotency where created_at < now() - interval '24 hours' order by created_at limit 1000)`,
  );
  const answers = await pool.query(
    `delete from idempotent_request where (workspace_id, user_id, route, key) in
     (select workspace_id, user_id, route, key from idempotent_request where created_at < now() - interval '24 hours'
       order by created_at limit 1000)`,
  );
  return (texts.rowCount ?? 0) + (keys.rowCount ?? 0) + (answers.rowCount ?? 0);
}

/** Waiting and running work by queue, with the age of the oldest that could have begun in milliseconds. */
export async function queueDepths(
  pool: Pool,
): Promise<{ queue: string; waiting: number; active: number; oldest_age_ms: number }[]> {
  const { rows } = await pool.query<{ queue: string; waiting: number; active: number; oldest_age_ms: number }>(
    `select queue, count(*) filter (where status <> 'active')::int as waiting, count(*) filter (where status = 'active')::int as active,
       coalesce(max(greatest(0, extract(epoch from now() - run_at) * 1000)) filter (where status <> 'active'), 0)::float8 as oldest_age_ms
     from job where status in ('queued', 'retrying', 'active') and engine <> 'batch' group by queue
     union all
     select 'webhooks', count(*) filter (where status = 'pending')::int, count(*) filter (where status = 'sending')::int,
       coalesce(max(greatest(0, extract(epoch from now() - next_attempt_at) * 1000)) filter (where status = 'pending'), 0)::float8
     from webhook_delivery where next_attempt_at is not null`,
  );
  return rows;
}
