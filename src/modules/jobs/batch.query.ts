import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { Problem } from '#src/errors.ts';
import type { QueueName } from '#queues/index.ts';
import { type AcceptRow, type Accepted, toOutcome } from '#src/modules/jobs/accept.query.ts';
import { JOB_COLUMNS, type JobKey, type JobRow } from '#src/modules/jobs/job.row.ts';

/** A batch on its way into the database. */
export interface NewBatch {
  workspaceId: string;
  id: string;
  userId: string;
  queue: QueueName;
  engine: string;
  options: unknown;
  requestId: string;
  maxAttempts: number;
  idempotency: { route: string; key: string; bodyHash: Buffer } | null;
  /** In order; holds in micro-credits. */
  items: { id: string; input: unknown; hold: number }[];
}

/**
 * Accepts a batch: the parent, an item job for each input and all their holds, in one transaction, or nothing of it.
 * @throws AppError as an accept of one job does
 */
export async function acceptBatch(pool: Pool, batch: NewBatch): Promise<Accepted> {
  const { workspaceId, items } = batch;
  const { rows } = await pool.query<AcceptRow>({
    name: 'batch-accept',
    text: `select 1 as i, * from batch_accept($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    values: [
      workspaceId,
      batch.id,
      batch.userId,
      batch.queue,
      batch.engine,
      JSON.stringify({ engine: batch.engine, items: items.length }),
      JSON.stringify(batch.options),
      batch.requestId,
      batch.maxAttempts,
      batch.idempotency?.route ?? null,
      batch.idempotency?.key ?? null,
      batch.idempotency?.bodyHash ?? null,
      items.map((item) => item.id),
      items.map((item) => JSON.stringify(item.input)),
      items.map((item) => item.hold),
    ],
  });
  const hold = items.reduce((sum, item) => sum + item.hold, 0);
  const outcome = toOutcome(rows[0], { id: batch.id, hold });
  if (outcome instanceof Error) throw outcome;
  return outcome.value;
}

/** The share of a batch's items that are over, 0 to 1. */
export async function findProgress(pool: Pool, key: JobKey): Promise<number> {
  const { rows } = await queryAs<{ progress: number | null }>(pool, key, {
    name: 'batch-progress',
    text: `select (count(finished_at)::float8 / nullif(count(*), 0)) as progress from job where workspace_id = $1 and parent_id = $2`,
    values: [key.workspaceId, key.id],
  });
  return rows[0]?.progress ?? 0;
}

/** Items waiting are cancelled, with their holds given back; those running are marked. @returns the ids of the marked ones */
export async function cancelItems(pool: Pool, key: JobKey, problem: Problem): Promise<string[]> {
  // Locks in key order, jobs before the account, as every end of jobs does.
  const { rows } = await queryAs<{ ids: string[] }>(pool, key, {
    name: 'batch-cancel',
    text: `with target as materialized (
        select workspace_id, id, status from job where workspace_id = $1 and parent_id = $2 and finished_at is null order by id for update
      ), cancelled as (
        update job j set status = 'cancelled', problem = $3::json, finished_at = now(), cancel_requested_at = now(),
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
    values: [key.workspaceId, key.id, JSON.stringify(problem)],
  });
  return rows.flatMap(({ ids }) => ids);
}

const same = (field: string): string =>
  `case when count(distinct c.usage->>'${field}') = 1 then min(c.usage->>'${field}') else 'several' end`;
const sum = (field: string): string => `sum((c.usage->>'${field}')::numeric)`;

/** What the items `c` of a batch `p` used together; null where none used anything. Its own wait is that of the first item. */
const USAGE = `case when count(*) > 0 then json_build_object(
      'provider', ${same('provider')}, 'model', ${same('model')},
      'inputTokens', ${sum('inputTokens')}, 'outputTokens', ${sum('outputTokens')}, 'cachedInputTokens', ${sum('cachedInputTokens')},
      'costUsd', ${sum('costUsd')}, 'credits', ${sum('credits')},
      'queueMs', min((c.usage->>'queueMs')::int), 'latencyMs', (extract(epoch from now() - p.created_at) * 1000)::int,
      'timeToFirstTokenMs', null, 'fallbacks', '[]'::json,
      'degraded', bool_or((c.usage->>'degraded')::boolean), 'estimated', bool_or((c.usage->>'estimated')::boolean)) end`;

const END = `with over as materialized (
    select p.workspace_id, p.id from job p
    where p.workspace_id = $1 and p.id = $2 and p.engine = 'batch' and p.finished_at is null and not exists (
      select from job c where c.workspace_id = p.workspace_id and c.parent_id = p.id and c.finished_at is null)
    for update
  )
  update job p set status = case when p.cancel_requested_at is null then 'completed' else 'cancelled' end,
    problem = case when p.cancel_requested_at is null then null else $3::json end,
    lease_token = null, lease_until = null, finished_at = now(),
    result = (select json_agg(case when c.status = 'completed' then json_build_object('ok', true, 'result', c.result)
        else json_build_object('ok', false, 'problem', c.problem) end order by c.item)
      from job c where c.workspace_id = p.workspace_id and c.parent_id = p.id),
    usage = (select ${USAGE} from job c where c.workspace_id = p.workspace_id and c.parent_id = p.id and c.usage is not null)
  from over where p.workspace_id = over.workspace_id and p.id = over.id
  returning ${JOB_COLUMNS.split(', ')
    .map((column) => `p.${column}`)
    .join(', ')}`;

/**
 * Ends a batch whose items are all over, with their results in order. May be repeated, and asked by several at once: one of them ends it.
 * @returns the ended parent, to this caller alone; null while an item is open, or when it was over already
 */
export async function endBatch(pool: Pool, key: JobKey, cancelled: Problem): Promise<JobRow | null> {
  const { rows } = await queryAs<JobRow>(pool, key, {
    name: 'batch-end',
    text: END,
    values: [key.workspaceId, key.id, JSON.stringify(cancelled)],
  });
  return rows[0] ?? null;
}

/** Batches with no open item that nobody has ended: whoever finished the last item died before. */
export async function findUnended(systemPool: Pool, limit: number): Promise<JobKey[]> {
  const { rows } = await systemPool.query<{ workspace_id: string; id: string }>(
    `select p.workspace_id, p.id from job p where p.engine = 'batch' and p.finished_at is null and not exists (
       select from job c where c.workspace_id = p.workspace_id and c.parent_id = p.id and c.finished_at is null) limit $1`,
    [limit],
  );
  return rows.map((row) => ({ workspaceId: row.workspace_id, id: row.id }));
}

/** Open items of batches whose cancel was asked for after or while they were looked at. */
export async function findUncancelled(systemPool: Pool, limit: number): Promise<JobKey[]> {
  const { rows } = await systemPool.query<{ workspace_id: string; id: string }>(
    `select p.workspace_id, p.id from job p where p.engine = 'batch' and p.finished_at is null and p.cancel_requested_at is not null
       and exists (select from job c where c.workspace_id = p.workspace_id and c.parent_id = p.id and c.finished_at is null
         and c.cancel_requested_at is null) limit $1`,
    [limit],
  );
  return rows.map((row) => ({ workspaceId: row.workspace_id, id: row.id }));
}
