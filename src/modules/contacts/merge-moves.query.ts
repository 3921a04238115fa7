import type { EntityManager } from '@mikro-orm/postgresql';
import { findReferences, type Reference } from '#src/modules/contacts/merge-tables.query.ts';

/** The rest of a row's key, by column. */
type RowKey = Record<string, unknown>;

/** Rows that hung on one row and now hang on another. */
export interface Move {
  table: string;
  column: string;
  from: string;
  to: string;
  keys: RowKey[];
}

const keyOf = (row: string, { key }: Reference): string =>
  `json_build_object(${key.map((name) => `'${name}', ${row}.${name}`).join(', ')})`;
const sameKey = (columns: readonly string[]): string => columns.map((name) => ` and t.${name} = m.${name}`).join('');

/** Rows of `from` that `to` has already, by one of the table's unique indexes; with the row of `to` beside. */
async function findTwins(
  em: EntityManager,
  reference: Reference,
  from: string,
  to: string,
): Promise<{ own: RowKey; other: RowKey }[]> {
  const { table, column, uniques } = reference;
  const twins: { own: RowKey; other: RowKey }[] = [];
  for (const { parts, where } of uniques) {
    const side = (
      name: string,
    ) => `(select ${[`${keyOf('t', reference)} as key`, ...parts.map((part, at) => `${part} as part${at}`)].join(', ')}
      from ${table} t where t.workspace_id = current_workspace() and t.${column} = ?::uuid ${where === null ? '' : `and ${where}`}) ${name}`;
    const isSame = parts.map((_, at) => `x.part${at} = y.part${at}`).join(' and ') || 'true';
    twins.push(
      ...(await em.execute<{ own: RowKey; other: RowKey }[]>(
        `select x.key as own, y.key as other from ${side('x')} join ${side('y')} on ${isSame}`,
        [from, to],
      )),
    );
  }
  return twins;
}

/**
 * Moves what hangs on a row of `parent` to another of the same table, in every table there is. What the other has already stays where it is,
 * and what hangs on that goes to its twin.
 * @returns what was moved, for `moveBack`
 */
export async function moveChildren(em: EntityManager, parent: string, from: string, to: string): Promise<Move[]> {
  const moves: Move[] = [];
  for (const reference of await findReferences(em, parent)) {
    const { table, column, key } = reference;
    const twins = await findTwins(em, reference, from, to);
    const staying = JSON.stringify(twins.map(({ own }) => own));
    const moved = await em.execute<{ key: RowKey }[]>(
      `update ${table} t set ${column} = ?::uuid where t.workspace_id = current_workspace() and t.${column} = ?::uuid
        and not exists (select from json_populate_recordset(null::${table}, ?::json) m where true${sameKey(key)})
        returning ${keyOf('t', reference)} as key`,
      [to, from, staying],
    );
    if (moved.length > 0) moves.push({ table, column, from, to, keys: moved.map((row) => row.key) });
    for (const { own, other } of twins)
      if (typeof own['id'] === 'string' && typeof other['id'] === 'string')
        moves.push(...(await moveChildren(em, table, own['id'], other['id'])));
  }
  return moves;
}

/** What goes by itself in time, or is made anew: that it is gone is nobody's change. */
const PASSING = new Set(['message', 'lead_score', 'contact_ai', 'import_row']);

/** Moves back what `moveChildren` moved. @returns how many rows are no longer where it had put them, by table, but of those that go by themselves */
export async function moveBack(em: EntityManager, moves: readonly Move[]): Promise<Map<string, number>> {
  const missing = new Map<string, number>();
  for (const { table, column, from, to, keys } of moves.toReversed()) {
    const [row] = await em.execute<[{ n: number }]>(
      `with moved as (
          update ${table} t set ${column} = ?::uuid from json_populate_recordset(null::${table}, ?::json) m
            where t.workspace_id = current_workspace() and t.${column} = ?::uuid${sameKey(Object.keys(keys[0] ?? {}))} returning 1)
        select count(*)::int as n from moved`,
      [from, JSON.stringify(keys), to],
    );
    if (row.n < keys.length && !PASSING.has(table)) missing.set(table, (missing.get(table) ?? 0) + keys.length - row.n);
  }
  return missing;
}
