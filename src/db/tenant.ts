import type { EntityManager } from '@mikro-orm/postgresql';
import {
  DatabaseError,
  Query,
  type Pool,
  type PoolClient,
  type QueryConfig,
  type QueryResult,
  type QueryResultRow,
} from 'pg';
import { currentClaim, type Claim } from '#src/db/claim.ts';
import { enterClaimed, noteClaim } from '#src/db/claim.query.ts';
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

function checkScope({ workspaceId, userId }: Scope): void {
  for (const id of [workspaceId, userId])
    if (id !== undefined && !isUuid(id)) throw new TypeError('A scope takes UUIDs');
}

const DEADLOCK_TRIES = 3;
/** By Postgres's code: every process loads this file, and one that only needs a pool must not load the ORM for a class. */
const isDeadlock = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === '40P01';

/** Takes no parameters, so the ids are checked. What is not set in a transaction is empty in it. */
function scopeSql(scope: Scope): string {
  checkScope(scope);
  const { workspaceId, userId } = scope;
  const workspace = workspaceId === undefined ? '' : `set local app.workspace_id = '${workspaceId}';`;
  return userId === undefined ? workspace : `${workspace} set local app.user_id = '${userId}';`;
}

async function setScope(em: EntityManager, scope: Scope): Promise<void> {
  const sql = scopeSql(scope);
  if (sql !== '') await em.execute(sql);
}

/**
 * Runs work on entities in one transaction that sees one workspace. Outside of it, nothing of any workspace can be seen. In a request with
 * an Idempotency-Key (`claim.ts`) the key is written with the change, or neither is.
 * @param work gets the transaction's entity manager; what it changes is flushed at its end. It is done again when Postgres ended it because
 * it and another waited for each other, so it must change nothing but the database
 * @returns what `work` returns; throws what it throws, with everything rolled back
 */
export async function inWorkspaceTx<Result>(
  orm: Orm,
  scope: Scope,
  work: (em: EntityManager) => Promise<Result>,
): Promise<Result> {
  const claim = currentClaim();
  for (let tries = 1; ; tries += 1) {
    try {
      return await (claim ? inClaimedTx(orm, scope, claim, work) : inOneTx(orm, scope, work));
    } catch (error) {
      if (!isDeadlock(error) || tries === DEADLOCK_TRIES) throw error;
    }
  }
}

async function inClaimedTx<Result>(
  orm: Orm,
  scope: Scope,
  claim: Claim,
  work: (em: EntityManager) => Promise<Result>,
): Promise<Result> {
  checkScope(scope);
  const isBeside = claim.inside > 0;
  const entered = Promise.withResolvers<void>();
  if (!isBeside) claim.entry = entered.promise;
  entered.promise.catch(() => undefined);
  claim.inside += 1;
  try {
    // Beside another one of the same request it would find the key taken by that, so it goes by what that found.
    if (isBeside) await claim.entry;
    return await orm.em.fork().transactional(async (em) => {
      await (isBeside ? setScope(em, scope) : enterClaimed(em, scope, claim));
      entered.resolve();
      em.setFilterParams('workspace', { workspaceId: scope.workspaceId });
      const result = await work(em);
      await em.flush();
      await noteClaim(em, claim);
      return result;
    });
  } catch (error) {
    entered.reject(error);
    throw error;
  } finally {
    claim.inside -= 1;
  }
}

function inOneTx<Result>(orm: Orm, scope: Scope, work: (em: EntityManager) => Promise<Result>): Promise<Result> {
  return orm.em.fork().transactional(async (em) => {
    await setScope(em, scope);
    em.setFilterParams('workspace', { workspaceId: scope.workspaceId });
    return work(em);
  });
}

// Sets both until the transaction ends, and returns no row: one would be taken for a row of the statement behind it.
const SCOPE = {
  name: 'scope',
  text: `select where set_config('app.workspace_id', $1, true) is null or set_config('app.user_id', $2, true) is null`,
};
const NO_SUCH_STATEMENT = '26000';
/** The connections that have it prepared. */
const prepared = new WeakSet<PoolClient>();

function prepareScope(client: PoolClient): void {
  if (prepared.has(client)) return;
  prepared.add(client);
  client.query({ ...SCOPE, values: ['', ''] }).catch(() => prepared.delete(client));
}

/**
 * A statement that goes out right behind the one that sets its scope, with one Sync behind both. All up to a Sync is one implicit transaction
 * (PostgreSQL's protocol, "Pipelining"): the scope ends with the statement, and if it cannot be set, the statement is skipped.
 */
function send<Row extends QueryResultRow>(
  client: PoolClient,
  { workspaceId = '', userId = '' }: Scope,
  statement: QueryConfig,
): Promise<QueryResult<Row>> {
  const { promise, resolve, reject } = Promise.withResolvers<QueryResult<Row>>();
  // Extended also where there are no values: a simple query ends the transaction by itself.
  const extended: QueryConfig & { queryMode: 'extended' } = { ...statement, queryMode: 'extended' };
  const query = new Query<Row>(extended, (error, results) => {
    const result = error ? undefined : [results].flat().at(-1);
    if (result) resolve(result);
    else reject(error ?? new Error('The statement was not answered'));
  });
  const submit = query.submit.bind(query);
  query.submit = (connection) => {
    connection.stream.cork();
    try {
      connection.bind({ statement: SCOPE.name, values: [workspaceId, userId] }, true);
      connection.execute({}, true);
      return submit(connection);
    } finally {
      connection.stream.uncork();
    }
  };
  client.query(query);
  return promise;
}

/** Runs one statement in a transaction that sees one workspace: one round trip, as without the wall. */
export async function queryAs<Row extends QueryResultRow>(
  pool: Pool,
  scope: Scope,
  statement: QueryConfig,
): Promise<QueryResult<Row>> {
  checkScope(scope);
  const client = await pool.connect();
  let broken: Error | undefined;
  // A connection that is lost says so here too, and again once it is closed; unheard, that would end the process.
  const onError = (error: Error): void => void (broken = error);
  client.on('error', onError);
  try {
    prepareScope(client);
    return await send<Row>(client, scope, statement);
  } catch (error) {
    // A failed statement was rolled back; a connection that failed, or lost what was prepared on it, must not be used again.
    const { severity, code } = error instanceof DatabaseError ? error : {};
    if (severity !== 'ERROR' || code === NO_SUCH_STATEMENT)
      broken = new Error('The connection failed', { cause: error });
    throw error;
  } finally {
    if (!broken) client.off('error', onError);
    client.release(broken);
  }
}
