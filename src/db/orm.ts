import { defineConfig, MikroORM } from '@mikro-orm/postgresql';
import type { EntitySchema } from '@mikro-orm/postgresql';
import type { Config } from '#src/config.ts';
import { escapeLiteral } from '#src/db/literal.ts';
import { IDLE_MS, type PoolPlace, waitMsOf } from '#src/db/pool.ts';
import { asRole, type DatabaseRole } from '#src/db/tenant.ts';
import type { Log } from '#src/lib/log.ts';

export type Orm = MikroORM;

/**
 * The ORM over one connection pool. Nothing connects before the first query, so a database that is down is an error of that query.
 * @param entities the whole list (`src/modules/entities.ts`); the caller passes it because the database layer knows no module
 * @param as the role its connections take on; without one they stay what the URL's login is (migrations)
 */
export function openOrm(
  config: PoolPlace & Pick<Config, 'DATABASE_POOL'>,
  entities: readonly EntitySchema[],
  { role, log }: { role?: DatabaseRole; log?: Log } = {},
): Orm {
  const orm = new MikroORM(
    defineConfig({
      clientUrl: config.DATABASE_URL,
      entities: [...entities],
      // Otherwise the first connection asks whether the database exists, and makes one where the name was misspelled.
      ensureDatabase: false,
      pool: { min: 0, max: config.DATABASE_POOL, idleTimeoutMillis: IDLE_MS },
      // The ORM keeps only host, user and name of the URL; the driver reads it whole, with `sslmode` and the like.
      driverOptions: {
        connectionString: config.DATABASE_URL,
        application_name: 'whatshybrid',
        connectionTimeoutMillis: waitMsOf(config),
        keepAlive: true,
        ...(role ? { options: asRole(role) } : {}),
      },
      migrations: {
        path: `${import.meta.dirname}/../../migrations`,
        glob: '!(*.test|*.d).{js,ts}',
        snapshot: false,
      },
      logger: (message) => log?.warn({ source: 'database' }, message),
      colors: false,
    }),
  );
  Object.assign(orm.config.getPlatform(), { escapeLiteral });
  return orm;
}
