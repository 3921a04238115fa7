import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import type { Step } from '#src/modules/bulk/operation.ts';

/** An operation as it is kept; `bigint`s are numbers, exact up to 2^53. */
export interface OperationRow {
  id: string;
  user_id: string;
  kind: string;
  status: 'queued' | 'active' | 'completed' | 'failed' | 'cancelled';
  input: unknown;
  state: unknown;
  counts: Record<string, number>;
  done: number;
  total: number | null;
  attempt: number;
  failures: number;
  is_cancel_requested: boolean;
  problem: unknown;
  created_at: Date;
  finished_at: Date | null;
}

const COLUMNS = `id, user_id, kind, status, input, state, counts, done::float8 as done, total::float8 as total, attempt, failures,
  is_cancel_requested, problem, created_at, finished_at`;

/** Asks for an operation, in the transaction's workspace. A worker has it within a second. */
export async function insertOperation(
  em: EntityManager,
  one: { id: string; userId: string; kind: string; input: object; state: object; total?: number },
): Promise<OperationRow> {
  const [row] = await em.execute<[OperationRow]>(
    `insert into bulk_operation (workspace_id, id, user_id, kind, input, state, total)
      values (current_workspace(), ?::uuid, ?::uuid, ?::text, ?::json, ?::json, ?::bigint) returning ${COLUMNS}`,
    [one.id, one.userId, one.kind, JSON.stringify(one.input), JSON.stringify(one.state), one.total ?? null],
  );
  return row;
}

export async function findOperation(em: EntityManager, id: string): Promise<OperationRow | undefined> {
  const rows = await em.execute<OperationRow[]>(
    `select ${COLUMNS} from bulk_operation where workspace_id = current_workspace() and id = ?::uuid`,
    [id],
  );
  return rows[0];
}

/** The newest first, before the id `before`, of one member or of all. */
export async function listOperations(
  em: EntityManager,
  { userId, before, limit }: { userId: string | null; before: string | null; limit: number },
): Promise<OperationRow[]> {
  return em.execute<OperationRow[]>(
    `select ${COLUMNS} from bulk_operation where workspace_id = current_workspace()
      and (?::uuid is null or user_id = ?::uuid) and (?::uuid is null or id < ?::uuid) order by id desc limit ?`,
    [userId, userId, before, before, limit],
  );
}

/** Takes an operation that is due. Counts as a failure until a step succeeds, so that what kills its workers ends. @returns undefined where there is nothing to do */
export async function claimOperation(
  em: EntityManager,
  id: string,
  leaseMs: number,
): Promise<OperationRow | undefined> {
  const rows = await em.execute<OperationRow[]>(
    `update bulk_operation set status = 'active', attempt = attempt + 1, failures = failures + 1, due_at = now() + ? * interval '1 millisecond'
      where workspace_id = current_workspace() and id = ?::uuid and due_at <= now() returning ${COLUMNS}`,
    [leaseMs, id],
  );
  return rows[0];
}

/** @returns the operation for this attempt's next step, locked until the transaction ends; undefined where another attempt has it, or it is over */
export async function lockOperation(em: EntityManager, id: string, attempt: number): Promise<OperationRow | undefined> {
  const rows = await em.execute<OperationRow[]>(
    `select ${COLUMNS} from bulk_operation where workspace_id = current_workspace() and id = ?::uuid and attempt = ?
      and status = 'active' for update`,
    [id, attempt],
  );
  return rows[0];
}

export async function saveStep(
  em: EntityManager,
  id: string,
  { state, done, total, counts, isOver }: Step<unknown>,
  leaseMs: number,
): Promise<void> {
  await em.execute(
    `update bulk_operation set state = ?::json, done = ?, total = coalesce(?::bigint, total), counts = ?::json, failures = 0,
        status = case when ?::boolean then 'completed' else 'active' end, finished_at = case when ?::boolean then now() end,
        due_at = case when not ?::boolean then now() + ? * interval '1 millisecond' end
      where workspace_id = current_workspace() and id = ?::uuid`,
    [JSON.stringify(state), done, total ?? null, JSON.stringify(counts), isOver, isOver, isOver, leaseMs, id],
  );
}

/** Ends an operation before it is done. */
export async function endOperation(
  em: EntityManager,
  id: string,
  status: 'failed' | 'cancelled',
  problem: object | null,
): Promise<void> {
  await em.execute(
    `update bulk_operation set status = ?, problem = ?::json, finished_at = now(), due_at = null
      where workspace_id = current_workspace() and id = ?::uuid and status in ('queued', 'active')`,
    [status, problem && JSON.stringify(problem), id],
  );
}

/** Gives an operation back, to be taken up again after `waitMs`. */
export async function postponeOperation(
  em: EntityManager,
  id: string,
  { attempt, waitMs, isFailure }: { attempt: number; waitMs: number; isFailure: boolean },
): Promise<void> {
  await em.execute(
    `update bulk_operation set status = 'queued', due_at = now() + ? * interval '1 millisecond', failures = case when ?::boolean then failures else 0 end
      where workspace_id = current_workspace() and id = ?::uuid and attempt = ? and status = 'active'`,
    [waitMs, isFailure, id, attempt],
  );
}

/** Asks an operation to end before its next step; one that has not begun ends at once. @returns it as it is then, or undefined where there was none to end */
export async function requestCancel(em: EntityManager, id: string): Promise<OperationRow | undefined> {
  const rows = await em.execute<OperationRow[]>(
    `update bulk_operation set is_cancel_requested = true, status = case when status = 'queued' then 'cancelled' else status end,
        due_at = case when status = 'queued' then null else due_at end, finished_at = case when status = 'queued' then now() end
      where workspace_id = current_workspace() and id = ?::uuid and status in ('queued', 'active') returning ${COLUMNS}`,
    [id],
  );
  return rows[0];
}

/** Operations to be handed to a worker, as the system; also those whose worker is gone. */
export async function findDueOperations(
  systemPool: Pool,
  limit: number,
): Promise<{ workspaceId: string; jobId: string }[]> {
  const { rows } = await systemPool.query<{ workspaceId: string; jobId: string }>({
    name: 'bulk-operations-due',
    text: `select workspace_id as "workspaceId", id as "jobId" from bulk_operation where due_at <= now() order by due_at limit $1`,
    values: [limit],
  });
  return rows;
}

/** Drops what was over 30 days ago, as the system. @returns how many; call again while > 0 */
export async function purgeOperations(systemPool: Pool): Promise<number> {
  const { rowCount } = await systemPool.query(
    `delete from bulk_operation where (workspace_id, id) in
      (select workspace_id, id from bulk_operation where finished_at < now() - interval '30 days' order by finished_at limit 100)`,
  );
  return rowCount ?? 0;
}
