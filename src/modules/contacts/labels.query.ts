import type { EntityManager } from '@mikro-orm/postgresql';

/** A label as it is stored. */
export interface LabelRow {
  id: string;
  name: string;
  color: string;
  created_at: Date;
  updated_at: Date;
}

/**
 * Makes labels that are not there; those that are, stay as they are.
 * @returns for each, in their order, the label of its name, in any case of letters; none for one that was deleted at the same moment
 */
export async function ensureLabels(
  em: EntityManager,
  labels: readonly { id: string; name: string; color: string }[],
): Promise<LabelRow[]> {
  const wanted = JSON.stringify(labels.map((label, at) => ({ ...label, at })));
  await em.execute(
    `insert into label (workspace_id, id, name, color)
      select current_workspace(), w.id, w.name, w.color from json_to_recordset(?::json) as w (at int, id uuid, name text, color text)
        order by lower(w.name), w.at
      on conflict do nothing`,
    [wanted],
  );
  return em.execute<LabelRow[]>(
    `select l.id, l.name, l.color, l.created_at, l.updated_at from json_to_recordset(?::json) as w (at int, name text)
      join label l on l.workspace_id = current_workspace() and lower(l.name) = lower(w.name) order by w.at`,
    [wanted],
  );
}

/** All labels of the workspace, in their order, locked until the transaction ends. */
export async function lockLabels(em: EntityManager): Promise<string[]> {
  // Locked by id and not by place, which may change while this waits.
  const rows = await em.execute<{ id: string }[]>(
    `with locked as materialized (
        select id, position from label where workspace_id = current_workspace() order by id for no key update)
      select id from locked order by position, id`,
  );
  return rows.map(({ id }) => id);
}

/** Gives labels their places, from 1. @param ids in their order */
export async function placeLabels(em: EntityManager, ids: readonly string[]): Promise<void> {
  await em.execute(
    `update label l set position = p.place from unnest(?::uuid[]) with ordinality as p (id, place)
      where l.workspace_id = current_workspace() and l.id = p.id and l.position <> p.place`,
    [`{${ids.join(',')}}`],
  );
}
