import type { PoolConfig } from 'pg';

/**
 * For pools whose statements are few, named and reached by key: their plan is made once per connection. Postgres would otherwise
 * plan a batch anew for every length of its arrays, at about the price of running it.
 */
export const HOT_POOL = {
  options: '-c plan_cache_mode=force_generic_plan -c jit=off',
  connectionTimeoutMillis: 10_000,
  // A database that stands still must not keep its callers for ever.
  query_timeout: 20_000,
  keepAlive: true,
} satisfies PoolConfig;
