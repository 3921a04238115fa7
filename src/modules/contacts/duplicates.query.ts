import type { EntityManager } from '@mikro-orm/postgresql';

/** Names so alike are spellings of one (trigrams, 0 to 1). */
const ALIKE = 0.6;
/** Of those who share a company, so many are compared with each in the order of names (sorted neighbourhoods, Hernández and Stolfo 1995). */
const NEIGHBOURS = 5;
/** Of those who share a number or address, so many with each. */
const SHARING = 10;

/** Why two contacts may be one person. */
export const DUPLICATE_REASONS = ['phone', 'email', 'name_and_company', 'name_and_phone_tail'] as const;
export type DuplicateReason = (typeof DUPLICATE_REASONS)[number];

/** Two contacts that may be one; the first was made first. */
export interface DuplicatePair {
  a: string;
  b: string;
  reasons: DuplicateReason[];
}

const OWN = (alias: string) => `${alias}.workspace_id = current_workspace() and ${alias}.deleted_at is null`;
const isOwned = (alias: string, ownerId: string | null) =>
  ownerId === null ? { sql: '', params: [] } : { sql: ` and ${alias}.owner_id = ?::uuid`, params: [ownerId] };

/** The ids of contacts, from one on. */
export async function scanContacts(
  em: EntityManager,
  { from, ownerId, limit }: { from: string; ownerId: string | null; limit: number },
): Promise<string[]> {
  const mine = isOwned('c', ownerId);
  const rows = await em.execute<{ id: string }[]>(
    `select c.id from contact c where ${OWN('c')}${mine.sql} and c.id >= ?::uuid order by c.id limit ${limit}`,
    [...mine.params, from],
  );
  return rows.map(({ id }) => id);
}

const alike = `similarity(b.sort_name, a.sort_name) >= ${ALIKE}`;
const neighbours = (sign: '>' | '<', direction: 'asc' | 'desc') => `
  (select b.id, b.sort_name from contact b where ${OWN('b')} and b.company_key = a.company_key
      and (b.sort_name, b.id) ${sign} (a.sort_name, a.id)
    order by b.company_key ${direction}, b.sort_name ${direction}, b.id ${direction} limit ${NEIGHBOURS})`;

/** Who may be the same person as contact `a`, by each reason; each by an index, and never more than some. */
const CANDIDATES = `
  (select i.contact_id as id, 'phone' as reason
    from contact_identity own join contact_identity i on i.workspace_id = current_workspace() and i.phone_key = own.phone_key
      and i.released_at is null and i.contact_id > a.id
    where own.workspace_id = current_workspace() and own.contact_id = a.id and own.released_at is null and own.phone_key is not null
    limit ${SHARING})
  union
  (select b.id, 'email' from contact b where ${OWN('b')} and b.email_key = a.email_key and b.id > a.id order by b.id limit ${SHARING})
  union
  select b.id, 'name_and_company' from (${neighbours('>', 'asc')} union all ${neighbours('<', 'desc')}) b where ${alike}
  union
  select b.id, 'name_and_phone_tail' from (
    select b.id, b.sort_name from contact b where ${OWN('b')} and b.phone_tail = a.phone_tail and b.id > a.id order by b.id limit ${SHARING}) b
    where ${alike}`;

/** Pairs with the first among some contacts, in their order. @param after the pair they come behind */
export async function findDuplicates(
  em: EntityManager,
  ids: readonly string[],
  { after, ownerId, limit }: { after: { a: string; b: string }; ownerId: string | null; limit: number },
): Promise<DuplicatePair[]> {
  const mine = isOwned('b', ownerId);
  return em.execute<DuplicatePair[]>(
    `select a.id as a, b.id as b, json_agg(distinct p.reason) as reasons
      from contact a cross join lateral (${CANDIDATES}) p
        join contact b on ${OWN('b')} and b.id = p.id${mine.sql}
      where ${OWN('a')} and a.id = any(?::uuid[]) and b.id > a.id and (a.id, b.id) > (?::uuid, ?::uuid)
      group by a.id, b.id order by a.id, b.id limit ${limit}`,
    [...mine.params, `{${ids.join(',')}}`, after.a, after.b],
  );
}
