import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aUser, type TestUser } from '../../../test/factories.ts';
import { openTestRuntime, type TestRuntime } from '../../../test/harness.ts';
import { createAccept } from '#src/modules/jobs/accept.query.ts';
import { createClaim } from '#src/modules/jobs/claim.query.ts';
import type { JobKey } from '#src/modules/jobs/job.row.ts';
import { cancelJob, findCredits } from '#src/modules/jobs/jobs.query.ts';
import { forgetDispatched, markDispatched } from '#src/modules/jobs/relay.query.ts';
import { newId } from '#src/lib/ids.ts';
import { toProblem } from '#src/errors.ts';

let test: TestRuntime;
let user: TestUser;

beforeAll(async () => {
  test = await openTestRuntime();
  user = await aUser(test.rt);
});
afterAll(() => test.close());

async function aJob(id = newId()): Promise<JobKey> {
  const { workspaceId, userId } = user.auth;
  await createAccept(test.rt.pool)({
    workspaceId,
    id,
    userId,
    queue: 'ai-inference',
    engine: 'chat',
    band: 'normal',
    input: {},
    options: {},
    requestId: 'r',
    maxAttempts: 3,
    hold: 1000,
    idempotency: null,
  });
  return { workspaceId, id };
}

/** Runs `work` in a transaction of its own; resolves `blocked` once another statement waits for one of its locks. */
async function inTransaction<Result>(
  work: (query: (sql: string, values: unknown[]) => Promise<unknown>, blocked: () => Promise<void>) => Promise<Result>,
): Promise<Result> {
  const client = await test.rt.systemPool.connect();
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  const blocked = async (): Promise<void> => {
    await expect
      .poll(async () => {
        const waiting = await test.rt.pool.query(
          'select 1 from pg_stat_activity where datname = current_database() and $1 = any(pg_blocking_pids(pid))',
          [rows[0]?.pid],
        );
        return waiting.rowCount;
      })
      .toBe(1);
  };
  try {
    await client.query('begin');
    const result = await work((sql, values) => client.query(sql, values), blocked);
    await client.query('commit');
    return result;
  } finally {
    client.release();
  }
}

describe('a cancel', () => {
  it('that meets a worker in the act of giving the job back for a retry ends the job', async () => {
    const before = await findCredits(test.rt.pool, user.auth.workspaceId);
    const key = await aJob();
    await createClaim(test.rt.pool, 10_000)({ ...key, leaseToken: randomUUID() });
    const { cancelling } = await inTransaction(async (query, blocked) => {
      await query(`update job set status = 'retrying', lease_token = null, lease_until = null where id = $1`, [key.id]);
      const started = cancelJob(test.rt.pool, key, toProblem(new Error('cancelled')));
      started.catch(() => undefined);
      await blocked();
      return { cancelling: started };
    });
    expect(await cancelling).toMatchObject({ kind: 'cancelled', row: { id: key.id, status: 'cancelled' } });
    expect(await findCredits(test.rt.pool, user.auth.workspaceId)).toEqual(before);
  });
});

describe('forgetting what a lost Redis held', () => {
  it('waits for rows in key order, so that it and a claim of several jobs cannot wait for each other', async () => {
    const [first, second] = [newId(), newId()].toSorted();
    // The later key is stored and dispatched first: a scan of the table or of the index meets it first.
    const later = await aJob(second);
    const earlier = await aJob(first);
    await markDispatched(test.rt.systemPool, [later]);
    await markDispatched(test.rt.systemPool, [earlier]);
    const { forgetting } = await inTransaction(async (query, blocked) => {
      await query('select from job where id = $1 for update', [earlier.id]);
      const started = forgetDispatched(test.rt.systemPool);
      started.catch(() => undefined);
      await blocked();
      await query('select from job where id = $1 for update', [later.id]);
      return { forgetting: started };
    });
    expect(await forgetting).toBeGreaterThanOrEqual(2);
  });
});
