import { Pool } from 'pg';
import type { Config } from '#src/config.ts';
import { asRole, type DatabaseRole } from '#src/db/tenant.ts';
import type { Log } from '#src/lib/log.ts';

/** For how long a connection waits for work: who comes when it is gone waits 60 ms for a new one, and for all that one has to learn. */
export const IDLE_MS = 600_000;

/** Where a pool connects, and how long it waits for a connection. */
export type PoolPlace = Pick<Config, 'DATABASE_URL'> & Partial<Pick<Config, 'DATABASE_WAIT_MS'>>;
export const waitMsOf = ({ DATABASE_WAIT_MS }: PoolPlace): number => DATABASE_WAIT_MS ?? 10_000;

/**
 * A pool whose statements are few, named and reached by key: their plan is made once per connection. Postgres would otherwise plan a
 * batch anew for every length of its arrays, at about the price of running it.
 * @param role what its connections may see: one workspace at a time, or, for the relay and the sweepers, all
 * @param max connections at most
 */
export function openPool(
  config: PoolPlace,
  { name, role, max }: { name: string; role: DatabaseRole; max: number },
  log: Log,
): Pool {
  const pool = new Pool({
    connectionString: config.DATABASE_URL,
    max,
    application_name: name,
    options: `-c plan_cache_mode=force_generic_plan -c jit=off ${asRole(role)}`,
    connectionTimeoutMillis: waitMsOf(config),
    idleTimeoutMillis: IDLE_MS,
    // A database that stands still must not keep its callers for ever.
    query_timeout: 20_000,
    keepAlive: true,
    // Statements of one transaction go out together (see `queryAs`).
    pipeline: true,
  });
  pool.on('error', (error) => log.warn({ reason: error.message }, 'A database connection was lost'));
  // The statement under way fails when its connection is lost; but the connection says so too, and where nobody listens, as between two
  // statements of a transaction, that would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}
