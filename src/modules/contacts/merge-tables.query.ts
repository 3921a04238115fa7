import type { EntityManager } from '@mikro-orm/postgresql';

/** A column that says what a row hangs on. */
export interface Reference {
  table: string;
  column: string;
  /** The rest of the row's key, without the workspace. */
  key: string[];
  /** Of each unique index with the column in it: what else must differ, and for which rows. */
  uniques: { parts: string[]; where: string | null }[];
}

/**
 * Every column that leads to a row of `parent`, as Postgres knows them, so that no table is forgotten: by foreign key, and for contacts also
 * by the name `contact_id`, since what is kept by month has keys only to its own kind.
 * @param parent a table whose key is the workspace and `id`
 */
export async function findReferences(em: EntityManager, parent: string): Promise<Reference[]> {
  return em.execute<Reference[]>(
    `with reference as (
        select f.conrelid as oid, own.attnum, own.attname
          from pg_constraint f
          cross join lateral unnest(f.conkey, f.confkey) as k (own, other)
          join pg_attribute own on own.attrelid = f.conrelid and own.attnum = k.own
          join pg_attribute other on other.attrelid = f.confrelid and other.attnum = k.other and other.attname = 'id'
          where f.contype = 'f' and f.conparentid = 0 and f.confrelid = ?::text::regclass
        union
        select c.oid, a.attnum, a.attname
          from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'contact_id' and not a.attisdropped
          where ?::text = 'contact' and c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition)
      select r.oid::regclass::text as table, quote_ident(r.attname) as column,
        (select coalesce(json_agg(quote_ident(a.attname)), '[]')
          from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
          where i.indrelid = r.oid and i.indisprimary and a.attname not in ('workspace_id', r.attname)) as key,
        (select coalesce(json_agg(json_build_object('where', pg_get_expr(i.indpred, i.indrelid), 'parts', (
            select coalesce(json_agg(part), '[]') from (
              select pg_get_indexdef(i.indexrelid, n, true) as part from generate_series(1, i.indnkeyatts::int) n) p
            where part not in ('workspace_id', quote_ident(r.attname))))), '[]')
          from pg_index i where i.indrelid = r.oid and i.indisunique and r.attnum = any(i.indkey)) as uniques
      from reference r order by 1, 2`,
    [parent, parent],
  );
}
