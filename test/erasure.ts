import type { Redis } from 'ioredis';
import type { Pool } from 'pg';

/**
 * Where in Postgres a text stands: every column of every table is looked at as text, so a table of tomorrow is too.
 * @param needles lower case, without accents
 * @returns `table.column: needle`, once for each
 */
export async function grepPostgres(pool: Pool, needles: readonly string[]): Promise<string[]> {
  const { rows } = await pool.query<{ table: string; columns: { name: string; type: string }[] }>(
    `select c.relname as table, json_agg(json_build_object('name', a.attname, 'type', a.atttypid::regtype::text)) as columns
      from pg_class c join pg_attribute a on a.attrelid = c.oid
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped
        and has_table_privilege(c.oid, 'select')
      group by 1 order by 1`,
  );
  const found: string[] = [];
  for (const { table, columns } of rows) {
    // Bytes are looked at as the text they may be.
    const asText = columns.map(({ name, type }) =>
      type === 'bytea' ? `encode(t."${name}", 'escape') as "${name}"` : `t."${name}"::text as "${name}"`,
    );
    const hit = columns
      .map(
        ({ name }) =>
          `select '${name}' as name, n from seen, unnest($1::text[]) n where fold("${name}") like '%' || n || '%'`,
      )
      .join(' union ');
    const { rows: hits } = await pool.query<{ name: string; n: string }>(
      `with seen as materialized (select ${asText.join(', ')} from "${table}" t) ${hit}`,
      [needles],
    );
    found.push(...hits.map(({ name, n }) => `${table}.${name}: ${n}`));
  }
  return found;
}

/** Every key of Redis with all that is in it, by its kind. */
export async function dumpRedis(redis: Redis): Promise<string[]> {
  const texts: string[] = [];
  for await (const keys of redis.scanStream({ count: 500 }) as AsyncIterable<string[]>) {
    for (const key of keys) {
      const type = await redis.type(key);
      const read: Record<string, () => Promise<unknown>> = {
        string: () => redis.getBuffer(key).then((value) => value?.toString('latin1')),
        hash: () => redis.hgetall(key),
        list: () => redis.lrange(key, 0, -1),
        set: () => redis.smembers(key),
        zset: () => redis.zrange(key, '0', '-1'),
        stream: () => redis.xrange(key, '-', '+'),
      };
      const content = await read[type]?.();
      if (content === undefined && type !== 'none') throw new Error(`A ${type} cannot be looked into`);
      texts.push(`${key} ${JSON.stringify(content)}`);
    }
  }
  return texts;
}
