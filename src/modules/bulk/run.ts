import type { EntityManager } from '@mikro-orm/postgresql';
import type { Logger } from 'pino';
import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { AppError, toProblem } from '#src/errors.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import type { OperationKind, StepResources } from '#src/modules/bulk/operation.ts';
import {
  claimOperation,
  endOperation,
  lockOperation,
  postponeOperation,
  saveStep,
  type OperationRow,
} from '#src/modules/bulk/operations.query.ts';

/** A worker that says nothing for so long is gone. */
const LEASE_MS = 30_000;
const TELL_EVERY_MS = 1000;
const TRIES = 5;
const RETRY_BASE_MS = 500;

export interface OperationResources extends StepResources {
  orm: Orm;
  kinds: readonly OperationKind[];
  log: Logger;
  /** Aborts when the process is told to go: the operation is given back after the step under way. */
  stopping: AbortSignal;
}

type Row = Pick<OperationRow, 'id' | 'user_id' | 'kind' | 'status' | 'counts' | 'done' | 'total'>;

/** Tells those who watch how far an operation is. */
export async function tellProgress(em: EntityManager, row: Row): Promise<void> {
  const { id, user_id: userId, kind, status, counts, done, total } = row;
  const data = { operationId: id, kind, status, done, total, counts };
  await emitEvent(em, { type: 'operation.progressed', data, subjectId: null, actorId: userId });
}

/** Ends an operation before it is done, and tells its kind and those who watch. */
export async function cutShort(
  em: EntityManager,
  kinds: readonly OperationKind[],
  { workspaceId, row }: { workspaceId: string; row: OperationRow },
  end: { status: 'failed' | 'cancelled'; problem: object | null },
): Promise<void> {
  const { id, user_id: userId, input, state, counts, done } = row;
  const kind = kinds.find(({ name }) => name === row.kind);
  await endOperation(em, id, end.status, end.problem);
  await kind?.cutShort?.(em, { workspaceId, id, userId, input, state, counts, done }, end.status);
  await tellProgress(em, { ...row, status: end.status });
}

/** Does one step. @returns whether there is another for this attempt */
async function doStep(
  rt: OperationResources,
  workspaceId: string,
  { id, attempt }: OperationRow,
  isToldDue: () => boolean,
): Promise<boolean> {
  return inWorkspaceTx(rt.orm, { workspaceId }, async (em) => {
    const row = await lockOperation(em, id, attempt);
    if (!row) return false;
    if (row.is_cancel_requested) {
      await cutShort(em, rt.kinds, { workspaceId, row }, { status: 'cancelled', problem: null });
      return false;
    }
    const kind = rt.kinds.find(({ name }) => name === row.kind);
    if (!kind) throw new Error(`There is no kind of operation ${row.kind}`);
    const { user_id: userId, input, state, counts, done } = row;
    const step = await kind.step(em, { workspaceId, id, userId, input, state, counts, done }, rt);
    await saveStep(em, id, step, LEASE_MS);
    if (step.isOver || isToldDue()) {
      const status = step.isOver ? 'completed' : 'active';
      await tellProgress(em, { ...row, ...step, total: step.total ?? row.total, status });
    }
    return !step.isOver;
  });
}

/**
 * Takes an operation that is due and does its steps until it is over, it is cancelled, another attempt has it, or the process is told to go.
 * A step that fails is tried again, by any worker, and after five failures in a row the operation has failed.
 */
export async function runOperation(rt: OperationResources, workspaceId: string, id: string): Promise<void> {
  const scope = { workspaceId };
  const claimed = await inWorkspaceTx(rt.orm, scope, (em) => claimOperation(em, id, LEASE_MS));
  if (!claimed) return;
  const { attempt } = claimed;
  let toldAt = -Infinity;
  const isToldDue = (): boolean => {
    const isDue = performance.now() - toldAt >= TELL_EVERY_MS;
    if (isDue) toldAt = performance.now();
    return isDue;
  };
  try {
    // Every attempt before was cut short: whatever killed its worker would go on to kill others.
    if (claimed.failures > TRIES) throw new AppError(500, 'operation_failed', 'It could not be done.');
    while (!rt.stopping.aborted) if (!(await doStep(rt, workspaceId, claimed, isToldDue))) return;
    await inWorkspaceTx(rt.orm, scope, (em) => postponeOperation(em, id, { attempt, waitMs: 0, isFailure: false }));
  } catch (error) {
    rt.log.error({ err: error, workspaceId, operationId: id, kind: claimed.kind, attempt }, 'A step failed');
    await inWorkspaceTx(rt.orm, scope, async (em) => {
      const row = await lockOperation(em, id, attempt);
      if (!row) return;
      if (error instanceof AppError || row.failures >= TRIES) {
        await cutShort(em, rt.kinds, { workspaceId, row }, { status: 'failed', problem: toProblem(error) });
      } else
        await postponeOperation(em, id, { attempt, waitMs: RETRY_BASE_MS * 2 ** (row.failures - 1), isFailure: true });
    });
  }
}
