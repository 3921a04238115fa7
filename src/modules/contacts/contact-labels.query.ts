import type { EntityManager } from '@mikro-orm/postgresql';
import { newId } from '#src/lib/ids.ts';

/** A label that was made because somebody named it. */
const NEW_COLOR = '#8696a0';

/** How a contact came by a label. */
export type LabelSource = 'manual' | 'import' | 'ai' | 'rule';

/**
 * The ids of labels, which are made where they are not there, and are there until the transaction ends.
 * @param names in any case of letters
 * @returns an id for each name, in their order
 */
export async function labelIds(em: EntityManager, names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return [];
  const wanted = JSON.stringify(names.map((name, at) => ({ at, id: newId(), name })));
  await em.execute(
    `insert into label (workspace_id, id, name, color)
      select current_workspace(), w.id, w.name, ? from json_to_recordset(?::json) as w (id uuid, name text) order by lower(w.name)
      on conflict do nothing`,
    [NEW_COLOR, wanted],
  );
  const rows = await em.execute<{ id: string }[]>(
    `select l.id from json_to_recordset(?::json) as w (at int, name text)
      join label l on l.workspace_id = current_workspace() and lower(l.name) = lower(w.name) order by w.at for key share of l`,
    [wanted],
  );
  // One of them was deleted while it was looked for: the next look makes it.
  return rows.length < names.length ? labelIds(em, names) : rows.map(({ id }) => id);
}

/** Gives contacts labels; those they have stay as they are. @returns the pairs that are new */
export async function addLabels(
  em: EntityManager,
  pairs: readonly { contactId: string; labelId: string }[],
  source: LabelSource,
): Promise<{ contactId: string; labelId: string }[]> {
  if (pairs.length === 0) return [];
  return em.execute<{ contactId: string; labelId: string }[]>(
    `insert into contact_label (workspace_id, contact_id, label_id, source)
      select distinct on (p."contactId", p."labelId") current_workspace(), p."contactId", p."labelId", ?
        from json_to_recordset(?::json) as p ("contactId" uuid, "labelId" uuid) order by p."contactId", p."labelId"
      on conflict do nothing returning contact_id as "contactId", label_id as "labelId"`,
    [source, JSON.stringify(pairs)],
  );
}

/** Takes labels from a contact: all but some, or one. @returns the labels it had */
export async function removeLabels(
  em: EntityManager,
  contactId: string,
  which: { butIds: readonly string[] } | { id: string },
): Promise<string[]> {
  const ids = 'id' in which ? [which.id] : which.butIds;
  const rows = await em.execute<{ label_id: string }[]>(
    `delete from contact_label cl where cl.workspace_id = current_workspace() and cl.contact_id = ?::uuid
      and (cl.label_id in (select k.id from json_to_recordset(?::json) as k (id uuid))) = ?::boolean returning label_id`,
    [contactId, JSON.stringify(ids.map((id) => ({ id }))), 'id' in which],
  );
  return rows.map(({ label_id: id }) => id);
}
