import { DriverException, type EntityManager } from '@mikro-orm/postgresql';
import { AppError } from '#src/errors.ts';
import type { Condition } from '#src/modules/segments/compile-filter.query.ts';

/** A person waits no longer for a list. */
const TIMEOUT_MS = 5000;
const QUERY_CANCELED = '57014';
/** A number beyond is no longer counted. */
export const COUNTED = 10_000;

const instant = (sql: string) =>
  `case when isfinite(${sql}) then to_char(${sql} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') else '-infinity' end`;

/** What lists can be sorted by: a column that an index has and that is never null, and how it stands in a cursor. */
const SORTS = {
  '-createdAt': { sql: 'c.created_at', text: instant('c.created_at'), cast: 'timestamptz', direction: 'desc' },
  name: { sql: 'c.sort_name', text: 'c.sort_name', cast: 'text', direction: 'asc' },
  '-leadScore': { sql: 'c.sort_score', text: 'c.sort_score::text', cast: 'int', direction: 'desc' },
  '-lastInboundAt': { sql: 'c.sort_inbound', text: instant('c.sort_inbound'), cast: 'timestamptz', direction: 'desc' },
} as const;
export type ContactSort = keyof typeof SORTS;
export const CONTACT_SORTS = ['-createdAt', 'name', '-leadScore', '-lastInboundAt'] as const satisfies ContactSort[];

/** Whose contacts: everybody's, or one member's alone. */
const OWN = `c.workspace_id = current_workspace() and c.deleted_at is null`;
const ofOwner = (ownerId: string | undefined): Condition =>
  ownerId === undefined ? { sql: OWN, params: [] } : { sql: `${OWN} and c.owner_id = ?::uuid`, params: [ownerId] };

/**
 * Runs a query whose cost a client shapes, each statement for no longer than a person waits.
 * @throws AppError 422 `filter_too_slow`
 */
export async function inTime<Result>(em: EntityManager, work: () => Promise<Result>): Promise<Result> {
  await em.execute(`set local statement_timeout = ${TIMEOUT_MS}`);
  try {
    const result = await work();
    await em.execute('set local statement_timeout to default');
    return result;
  } catch (error) {
    if (!(error instanceof DriverException) || error.code !== QUERY_CANCELED) throw error;
    throw new AppError(422, 'filter_too_slow', 'This takes too long. Narrow the filter, or sort by something else.');
  }
}

/** A place in a list: the sort key as a text, and the id. */
export interface FoundContact {
  id: string;
  key: string;
}

/** The contacts a filter is true of, those in the bin left out. @param after the place they come after */
export async function searchContacts(
  em: EntityManager,
  where: Condition,
  {
    sort,
    after,
    limit,
    ownerId,
  }: { sort: ContactSort; after?: FoundContact; limit: number; ownerId?: string | undefined },
): Promise<FoundContact[]> {
  const { sql, text, cast, direction } = SORTS[sort];
  const mine = ofOwner(ownerId);
  const beyond = after
    ? {
        sql: `and (${sql}, c.id) ${direction === 'desc' ? '<' : '>'} (?::${cast}, ?::uuid)`,
        params: [after.key, after.id],
      }
    : { sql: '', params: [] };
  return em.execute<FoundContact[]>(
    `select c.id, ${text} as key from contact c where ${mine.sql} and ${where.sql} ${beyond.sql}
      order by ${sql} ${direction}, c.id ${direction} limit ${limit}`,
    [...mine.params, ...where.params, ...beyond.params],
  );
}

/** How many contacts a filter is true of, as far as they are counted. */
export async function countContacts(
  em: EntityManager,
  where: Condition,
  ownerId: string | undefined,
): Promise<{ count: number; isCapped: boolean }> {
  const mine = ofOwner(ownerId);
  const [row] = await em.execute<[{ count: number }]>(
    `select count(*)::int as count from (select from contact c where ${mine.sql} and ${where.sql} limit ${COUNTED + 1}) x`,
    [...mine.params, ...where.params],
  );
  return { count: Math.min(row.count, COUNTED), isCapped: row.count > COUNTED };
}
