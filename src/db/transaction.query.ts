import type { Pool, PoolClient } from 'pg';

/** Runs work in one transaction of a pool's connection. @returns what `work` returns; throws what it throws, with everything rolled back */
export async function inTransaction<Result>(pool: Pool, work: (tx: PoolClient) => Promise<Result>): Promise<Result> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch((reason: Error) => (broken = reason));
    throw error;
  } finally {
    client.release(broken);
  }
}

/** Runs work that may fail without the transaction failing with it: what it wrote is rolled back, and its error thrown. */
export async function inSavepoint<Result>(tx: PoolClient, work: () => Promise<Result>): Promise<Result> {
  await tx.query('savepoint attempt');
  try {
    return await work();
  } catch (error) {
    await tx.query('rollback to savepoint attempt');
    throw error;
  }
}
