import type { EntityManager } from '@mikro-orm/postgresql';
import { CONTACT_COLUMNS, type ContactRow } from '#src/modules/contacts/contact.row.ts';
import type { ContactQuery, SortName } from '#src/modules/contacts/contacts.schemas.ts';
import { isUuid } from '#src/lib/ids.ts';

/** What contacts are sorted by: a column that is never null, as clients hand its value back, and that read again. */
interface Sort {
  column: string;
  shown: string;
  parameter: string;
}

const moment = (column: string): Sort => ({
  column,
  // Microseconds since 1970, exact until 2255; null for never.
  shown: `case when isfinite(${column}) then (extract(epoch from ${column}) * 1000000)::float8 end`,
  parameter: `timestamptz 'epoch' + ?::bigint * interval '1 microsecond'`,
});

const SORT: Record<SortName, Sort> = {
  createdAt: moment('c.created_at'),
  lastInboundAt: moment('c.sort_inbound'),
  leadScore: { column: 'c.sort_score', shown: 'c.sort_score', parameter: '?::int' },
  name: { column: 'c.sort_name', shown: 'c.sort_name', parameter: '?::text collate "C"' },
};

/** Where a page ends: the sort's value and the id. */
export type ContactKey = readonly [number | string | null, string];

/** A list that is asked for. */
export interface ContactList {
  filters: Omit<ContactQuery, 'sort' | 'limit' | 'cursor' | 'deleted'>;
  /** Only who this member looks after. */
  onlyOwner: string | undefined;
  sort: { name: SortName; isDescending: boolean };
  after: ContactKey | null;
  limit: number;
}

/** A condition and its parameters. `isIndexed`: it can be what the rows are found by. */
interface Condition {
  sql: string;
  values: unknown[];
  isIndexed: boolean;
}

/** How many contacts of a label or search are sorted, where walking along the sort did not find a page of them. */
const FEW = 1000;
/** How many contacts are looked at in the order of the sort before they are found by what they have in common. */
export const WALK = 3000;

const condition = (sql: string, value: unknown, isIndexed = true): Condition => ({ sql, values: [value], isIndexed });
// Folded first: what only looks like a sign of LIKE becomes one by that.
const LIKE_WORD = String.raw`regexp_replace(fold(?::text), '([\\%_])', '\\\1', 'g')`;
const PHONE_LIKE = /^\+?[\d\s().-]+$/;
/** Fewer letters are too many people's to be looked for inside of words. */
const MIN_PART = 3;
const MAX_WORDS = 8;

/** Words that must all be there, in any order: their beginnings, or with three letters and more any part; of a phone its digits. */
export function searchConditions(q: string): Condition[] {
  const words = PHONE_LIKE.test(q) ? [q.replaceAll(/\D/g, '')] : q.split(/\s+/);
  return words
    .filter((word) => word !== '')
    .slice(0, MAX_WORDS)
    .map((word) => {
      const isPart = word.length >= MIN_PART;
      return condition(`c.search like '${isPart ? '%' : '% '}' || ${LIKE_WORD} || '%'`, word, isPart);
    });
}

/** As many digits of a phone's end as there is an index of. */
const TAIL_DIGITS = 8;

/** What of a search an index of its own answers, where trigrams are too many people's: the beginning of an e-mail, the end of a phone. */
function keyOf(q: string): Condition | undefined {
  const digits = q.replaceAll(/\D/g, '');
  if (PHONE_LIKE.test(q))
    return digits.length < TAIL_DIGITS ? undefined : condition('c.phone_tail = ?', digits.slice(-TAIL_DIGITS));
  if (!/^\S+@\S*$/.test(q)) return undefined;
  const email = q.toLowerCase();
  return { sql: `c.email_key >= ? and c.email_key < ?`, values: [email, `${email}\u{10ffff}`], isIndexed: true };
}

/** Conditions that hold along the sort, so that they cost no reading on, and the others. */
function conditionsOf({ filters, onlyOwner, sort }: ContactList): { along: Condition[]; other: Condition[] } {
  const along: Condition[] = [];
  const other: Condition[] = [];
  const add = (one: Condition, sortName?: SortName) => (sortName === sort.name ? along : other).push(one);
  const { archived, ownerId, consent, createdAfter, createdBefore, lastInboundAfter, minScore, q } = filters;
  if (archived !== 'any')
    along.push({ sql: `c.archived_at is ${archived === 'true' ? 'not ' : ''}null`, values: [], isIndexed: false });
  for (const owner of [onlyOwner, ownerId]) if (owner) add(condition('c.owner_id = ?::uuid', owner), 'createdAt');
  if (consent) add(condition('c.consent = ?', consent, false));
  if (createdAfter) add(condition('c.created_at >= ?::timestamptz', createdAfter), 'createdAt');
  if (createdBefore) add(condition('c.created_at < ?::timestamptz', createdBefore), 'createdAt');
  if (lastInboundAfter)
    add(condition(`${SORT.lastInboundAt.column} >= ?::timestamptz`, lastInboundAfter), 'lastInboundAt');
  if (minScore !== undefined) add(condition(`${SORT.leadScore.column} >= ?::int`, minScore), 'leadScore');
  if (q) for (const one of searchConditions(q)) add(one);
  return { along, other };
}

/** The id of a label by its id or name; undefined where there is none. */
async function findLabel(em: EntityManager, label: string): Promise<string | undefined> {
  const rows = await em.execute<{ id: string }[]>(
    `select id from label where workspace_id = current_workspace() and ${isUuid(label) ? 'id = ?::uuid' : 'lower(name) = lower(?)'}`,
    [label],
  );
  return rows[0]?.id;
}

async function isFew(em: EntityManager, labelId: string): Promise<boolean> {
  const rows = await em.execute<{ found: number }[]>(
    `select count(*)::int as found from (select from contact_label cl where cl.workspace_id = current_workspace()
      and cl.label_id = ?::uuid limit ${FEW + 1}) t`,
    [labelId],
  );
  return (rows[0]?.found ?? 0) <= FEW;
}

/** Whether there is a contact that is found by it, whatever else is asked for: pages of one list must all be found the same way. */
async function finds(em: EntityManager, { sql, values }: Condition): Promise<boolean> {
  const rows = await em.execute<{ finds: boolean }[]>(
    `select exists (select from contact c where ${BASE} and ${sql}) as finds`,
    values,
  );
  return rows[0]?.finds ?? false;
}

/** A statement and its parameters, for who runs it and for who asks how it would be run. */
export interface Statement {
  sql: string;
  values: unknown[];
}

const BASE = 'c.workspace_id = current_workspace() and c.deleted_at is null and c.merged_into is null';
const and = (conditions: readonly Condition[]) => conditions.map(({ sql }) => ` and ${sql}`).join('');
const valuesOf = (conditions: readonly Condition[]) => conditions.flatMap(({ values }) => values);

/** No COALESCE or function that may tell of what it is given: behind the wall, no index would be asked with it. */
function isAfter({ column, parameter }: Sort, isDescending: boolean, [value, id]: ContactKey): Condition {
  const place = value === null ? `'-infinity'::timestamptz` : parameter;
  const sql = `(${column}, c.id) ${isDescending ? '<' : '>'} (${place}, ?::uuid)`;
  return { sql, values: value === null ? [id] : [value, id], isIndexed: true };
}

/**
 * A page of contacts, found in one of two ways.
 * @param walk how many contacts to look at in the order of the sort, `all` of them, or `none`: those that meet the conditions are found by
 * whatever index has fewest, and sorted
 */
export function pageStatement(
  list: ContactList,
  { along, other }: { along: Condition[]; other: Condition[] },
  walk: number | 'all' | 'none',
): Statement {
  const { column, shown } = SORT[list.sort.name];
  const direction = list.sort.isDescending ? 'desc' : 'asc';
  const order = (key: string, id: string) => `order by ${key} ${direction}, ${id} ${direction}`;
  const after = list.after ? [isAfter(SORT[list.sort.name], list.sort.isDescending, list.after)] : [];
  const first = [...along, ...after];
  const limit = `limit ${list.limit}`;
  const found = (conditions: readonly Condition[], more: string) =>
    `select c.*, ${column} as sort_key from contact c where ${BASE}${and(conditions)} ${more}`;
  const page = {
    all: () => found([...first, ...other], `${order(column, 'c.id')} ${limit}`),
    none: () =>
      `select c.*, m.sort_key from (with met as materialized (select c.id, ${column} as sort_key from contact c
          where ${BASE}${and([...first, ...other])}) select met.* from met ${order('met.sort_key', 'met.id')} ${limit}) m
        join contact c on c.workspace_id = current_workspace() and c.id = m.id`,
    some: () =>
      `select c.* from (${found(first, `${order(column, 'c.id')} limit ${walk}`)}) c where true${and(other)} ${limit}`,
  }[typeof walk === 'number' ? 'some' : walk]();
  return {
    sql: `select ${CONTACT_COLUMNS}, ${shown} as sort_key from (${page}) c ${order('c.sort_key', 'c.id')}`,
    values: [...valuesOf(first), ...valuesOf(other)],
  };
}

export type ListedContact = ContactRow & { sort_key: number | string | null };

/**
 * A page of contacts. Where many meet the conditions, walking along the sort's index finds a page soon; where few do, they are found by what
 * they have in common and sorted. Which is it shows a short walk, or for a label a count that ends early. Of a search that begins an e-mail or
 * ends a phone only those are found, where there are any.
 * @param ask runs a statement
 */
export async function findContactPage(
  em: EntityManager,
  list: ContactList,
  ask = ({ sql, values }: Statement) => em.execute<ListedContact[]>(sql, values),
): Promise<ListedContact[]> {
  const conditions = conditionsOf(list);
  let isRare = false;
  if (list.filters.label !== undefined) {
    const labelId = await findLabel(em, list.filters.label);
    if (labelId === undefined) return [];
    isRare = await isFew(em, labelId);
    const labelled = `from contact_label cl where cl.workspace_id = current_workspace() and cl.label_id = ?::uuid`;
    conditions.other.push(
      isRare
        ? condition(`c.id in (select cl.contact_id ${labelled})`, labelId)
        : condition(`exists (select ${labelled} and cl.contact_id = c.id)`, labelId),
    );
  }
  const key = list.filters.q === undefined ? undefined : keyOf(list.filters.q);
  if (key && (await finds(em, key))) {
    isRare = true;
    conditions.other.push(key);
  }
  if (conditions.other.length === 0) return ask(pageStatement(list, conditions, 'all'));
  if (!isRare) {
    const page = await ask(pageStatement(list, conditions, WALK));
    if (page.length === list.limit) return page;
  }
  const isIndexed = conditions.other.some((one) => one.isIndexed);
  return ask(pageStatement(list, conditions, isIndexed ? 'none' : 'all'));
}
