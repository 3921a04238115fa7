import type { EntityManager } from '@mikro-orm/postgresql';
import { cleanFilter, mapFilters, textsOf } from '#src/modules/privacy/clean-filter.ts';
import type { Erased } from '#src/modules/privacy/erase.query.ts';
import type { Subject } from '#src/modules/privacy/person.query.ts';

const BATCH = 200;
/** Filters are taken apart in this process: so much of them at once, or one that is larger. */
const MAX_BYTES = 4_194_304;
/** Fewer digits of a number may be anybody's. */
const TELLING_DIGITS = 7;

/** A table with filters in one of its columns, of the type json. */
interface Filters {
  table: string;
  /** What of a row holds filters, each under the key `filter`: an expression on `t`. */
  document: string;
  where: string;
  /** What is set to the changed document, `d.document`. */
  set: string;
}

/** Filters that a workspace keeps. */
export const SEGMENT_FILTERS: Filters = {
  table: 'segment',
  document: `json_build_object('filter', t.filter)`,
  where: 'true',
  set: `filter = (d.document ->> 'filter')::json`,
};

/** Filters of what was done to many contacts; what is under way needs its own. */
export const OPERATION_FILTERS: Filters = {
  table: 'bulk_operation',
  document: 't.input',
  where: `t.finished_at is not null and t.input::text like '%"filter"%'`,
  set: 'input = d.document',
};

/** A part of one of their numbers, long enough to be theirs. */
function isPartOf(text: string, phones: readonly string[]): boolean {
  const digits = text.replaceAll(/\D/g, '');
  return digits.length >= TELLING_DIGITS && /^[\d\s().+-]+$/.test(text) && phones.some((one) => one.includes(digits));
}

/** Takes the conditions that name a person out of the next rows' filters, which stay filters and become true of nobody new. */
export async function cleanFilters(
  em: EntityManager,
  { anywhere: { words, digits }, phones }: Subject,
  { table, document, where, set }: Filters,
  place: string | null,
): Promise<Erased> {
  const next = await em.execute<{ id: string; has_more: boolean }[]>(
    `with next as materialized (select n.id, sum(n.bytes) over (order by n.id) - n.bytes as bytes_before, count(*) over () as rows
        from (select t.id, octet_length((${document})::text) as bytes from ${table} t where t.workspace_id = current_workspace() and ${where}
          and (?::text is null or t.id > ?::uuid) order by t.id limit ${BATCH}) n)
      select id, (select max(rows) = ${BATCH} or max(bytes_before) >= ${MAX_BYTES} from next) as has_more
        from next where bytes_before < ${MAX_BYTES} order by id`,
    [place, place],
  );
  const rows = await em.execute<{ id: string; document: unknown }[]>(
    `select t.id, ${document} as document from ${table} t where t.workspace_id = current_workspace()
      and t.id in (select v::uuid from json_array_elements_text(?::json) v) order by t.id for update`,
    [JSON.stringify(next.map(({ id }) => id))],
  );
  const texts = new Set<string>();
  for (const row of rows)
    mapFilters(row.document, (filter) => {
      for (const text of textsOf(filter)) texts.add(text);
      return filter;
    });
  const matched = await em.execute<{ text: string }[]>(
    `select v as text from json_array_elements_text(?::json) v where v ~* ? or v ~* ?`,
    [JSON.stringify([...texts]), words ?? '(?!)', digits ?? '(?!)'],
  );
  const found = new Set(matched.map(({ text }) => text));
  const isNamed = (text: string): boolean => found.has(text) || isPartOf(text, phones);
  const changed = rows.flatMap((row) => {
    const cleaned = mapFilters(row.document, (filter) => cleanFilter(filter, isNamed));
    return JSON.stringify(cleaned) === JSON.stringify(row.document) ? [] : [{ id: row.id, document: cleaned }];
  });
  if (changed.length > 0)
    await em.execute(
      `update ${table} t set ${set} from json_to_recordset(?::json) d(id uuid, document json)
        where t.workspace_id = current_workspace() and t.id = d.id`,
      [JSON.stringify(changed)],
    );
  const last = next.at(-1);
  return { count: changed.length, place: last?.has_more ? last.id : null };
}
