import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool, QueryConfig, QueryResult, QueryResultRow } from 'pg';
import type { Orm } from '#src/db/orm.ts';
import { isUuid } from '#src/lib/ids.ts';

/** The roles a process can take on (see `migrations/20261122000000-roles.ts`). */
export type DatabaseRole = 'wh_app' | 'wh_system';

/** For whom a transaction works: it sees the rows of that workspace, and that user's own memberships. */
export interface Scope {
  workspaceId?: string | undefined;
  userId?: string | undefined;
}

/** The start-up option of a connection that takes on a role, and so loses what the login may do beyond it. */
export const asRole = (role: DatabaseRole): string => `-c role=${role}`;

/** Goes with `begin` in one message, which takes no parameters: so ids are checked. What is not set in a transaction is empty in it. */
function scopeSql({ workspaceId, userId }: Scope): string {
  for (const id of [workspaceId, userId])
    if (id !== undefined && !isUuid(id)) throw new TypeError('A scope takes UUIDs');
  const workspace = workspaceId === undefined ? '' : `set local app.workspace_id = '${workspaceId}';`;
  return userId === undefined ? workspace : `${workspace} set local app.user_id = '${userId}';`;
}

/**
 * Runs work on entities in one transaction that sees one workspace. Outside of it, nothing of any workspace can be seen.
 * @param work gets the transaction's entity manager; what it changes is flushed at its end
 * @returns what `work` returns; throws what it throws, with everything rolled back
 */
export function inWorkspaceTx<Result>(
  orm: Orm,
  scope: Scope,
  work: (em: EntityManager) => Promise<Result>,
): Promise<Result> {
  return orm.em.fork().transactional(async (em) => {
    const sql = scopeSql(scope);
    if (sql !== '') await em.execute(sql);
    em.setFilterParams('workspace', { workspaceId: scope.workspaceId });
    return work(em);
  });
}

/** Runs one statement in a transaction that sees one workspace. The four messages go out together: one round trip. */
export async function queryAs<Row extends QueryResultRow>(
  pool: Pool,
  scope: Scope,
  statement: QueryConfig,
): Promise<QueryResult<Row>> {
  const begin = `begin; ${scopeSql(scope)}`;
  const client = await pool.connect();
  let broken: Error | undefined;
  // A connection that is lost says so here too, and again once it is closed; unheard, that would end the process.
  const onError = (error: Error): void => void (broken = error);
  client.on('error', onError);
  const sent = [client.query(begin), client.query<Row>(statement), client.query('commit')] as const;
  try {
    const [, result] = await Promise.all(sent);
    return result;
  } catch (error) {
    await Promise.allSettled(sent);
    // A failed statement has been rolled back by the `commit`; a connection that failed must not be used again.
    if (!(error instanceof Error && 'severity' in error && error.severity === 'ERROR'))
      broken = new Error('The connection failed', { cause: error });
    throw error;
  } finally {
    if (!broken) client.off('error', onError);
    client.release(broken);
  }
}
