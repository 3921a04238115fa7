import type { EntityManager } from '@mikro-orm/postgresql';
import type { Condition } from '#src/modules/segments/compile-filter.query.ts';

const OWN = 'c.workspace_id = current_workspace() and c.deleted_at is null';
const array = (ids: readonly string[]): string => `{${ids.join(',')}}`;

/** The last contact there is: those who come while an operation runs are not of it. */
export async function lastContactId(em: EntityManager): Promise<string | undefined> {
  const [row] = await em.execute<{ id: string }[]>(
    'select c.id from contact c where c.workspace_id = current_workspace() order by c.id desc limit 1',
  );
  return row?.id;
}

/** The next contacts of a list, by id, locked until the transaction ends. @param ownerId only who that member looks after */
export async function takeContacts(
  em: EntityManager,
  where: Condition,
  { after, upTo, ownerId, limit }: { after: string | null; upTo: string; ownerId: string | null; limit: number },
): Promise<string[]> {
  const mine = ownerId === null ? { sql: 'true', params: [] } : { sql: 'c.owner_id = ?::uuid', params: [ownerId] };
  const rows = await em.execute<{ id: string }[]>(
    `select c.id from contact c where ${OWN} and ${mine.sql} and (?::uuid is null or c.id > ?::uuid) and c.id <= ?::uuid and ${where.sql}
      order by c.id limit ${limit} for no key update`,
    [...mine.params, after, after, upTo, ...where.params],
  );
  return rows.map(({ id }) => id);
}

/** The contacts with some ids. */
export const idsCondition = (ids: readonly string[]): Condition => ({
  sql: 'c.id = any(?::uuid[])',
  params: [array(ids)],
});

/** A contact that was changed. */
export interface ChangedContact {
  id: string;
  owner_id: string | null;
}

const TOUCHED = 'version = c.version + 1, updated_at = now()';
const update = (em: EntityManager, set: string, where: string, params: (string | null)[]): Promise<ChangedContact[]> =>
  em.execute<ChangedContact[]>(
    `update contact c set ${set}, ${TOUCHED} where ${OWN} and ${where} returning c.id, c.owner_id`,
    params,
  );

const touch = (em: EntityManager, contactIds: readonly string[]) =>
  contactIds.length === 0
    ? []
    : update(em, 'name = c.name', 'c.id = any(?::uuid[])', [array([...new Set(contactIds)])]);

/** Of some contacts, those that would have more labels than a contact can have if they got some labels that they have not. */
export async function findFullContacts(
  em: EntityManager,
  ids: readonly string[],
  labelIds: readonly string[],
  maxLabels: number,
): Promise<string[]> {
  const rows = await em.execute<{ id: string }[]>(
    `select h.id from (select c as id, count(cl.label_id)::int as has, count(cl.label_id) filter (where cl.label_id = any(?::uuid[]))::int as given
        from unnest(?::uuid[]) c join contact_label cl on cl.workspace_id = current_workspace() and cl.contact_id = c group by c) h,
      (select count(*)::int as asked from label where workspace_id = current_workspace() and id = any(?::uuid[])) l
      where l.asked > h.given and h.has + l.asked - h.given > ?`,
    [array(labelIds), array(ids), array(labelIds), maxLabels],
  );
  return rows.map(({ id }) => id);
}

/** Gives contacts labels, as far as these are still there. @returns those that had not all of them */
export async function labelContacts(
  em: EntityManager,
  ids: readonly string[],
  labelIds: readonly string[],
): Promise<ChangedContact[]> {
  const rows = await em.execute<{ contact_id: string }[]>(
    `insert into contact_label (workspace_id, contact_id, label_id)
      select l.workspace_id, c, l.id from unnest(?::uuid[]) c
        cross join (select workspace_id, id from label where workspace_id = current_workspace() and id = any(?::uuid[]) for key share) l
      on conflict do nothing returning contact_id`,
    [array(ids), array(labelIds)],
  );
  return touch(
    em,
    rows.map((row) => row.contact_id),
  );
}

/** Takes labels from contacts. @returns those that had any of them */
export async function unlabelContacts(
  em: EntityManager,
  ids: readonly string[],
  labelIds: readonly string[],
): Promise<ChangedContact[]> {
  const rows = await em.execute<{ contact_id: string }[]>(
    `delete from contact_label where workspace_id = current_workspace() and contact_id = any(?::uuid[]) and label_id = any(?::uuid[])
      returning contact_id`,
    [array(ids), array(labelIds)],
  );
  return touch(
    em,
    rows.map((row) => row.contact_id),
  );
}

export const assignContacts = (em: EntityManager, ids: readonly string[], ownerId: string | null) =>
  update(em, 'owner_id = ?::uuid', 'c.id = any(?::uuid[]) and c.owner_id is distinct from ?::uuid', [
    ownerId,
    array(ids),
    ownerId,
  ]);

export const archiveContacts = (em: EntityManager, ids: readonly string[]) =>
  update(em, 'archived_at = now()', 'c.id = any(?::uuid[]) and c.archived_at is null', [array(ids)]);

export const unarchiveContacts = (em: EntityManager, ids: readonly string[]) =>
  update(em, 'archived_at = null', 'c.id = any(?::uuid[]) and c.archived_at is not null', [array(ids)]);

/** Puts contacts into the bin; what they were known by is free for others (the trigger `released`). */
export const binContacts = (em: EntityManager, ids: readonly string[]) =>
  update(em, 'deleted_at = now()', 'c.id = any(?::uuid[])', [array(ids)]);

/** Of some labels, those that are there. */
export async function findLabelIds(em: EntityManager, ids: readonly string[]): Promise<string[]> {
  const rows = await em.execute<{ id: string }[]>(
    'select id from label where workspace_id = current_workspace() and id = any(?::uuid[])',
    [array(ids)],
  );
  return rows.map(({ id }) => id);
}

export async function isMemberHere(em: EntityManager, userId: string): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    'select user_id from member where workspace_id = current_workspace() and user_id = ?::uuid',
    [userId],
  );
  return rows.length > 0;
}
