import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { ContactImage, MERGED_COLUMNS, type MergedValues } from '#src/modules/contacts/merge-fields.ts';
import type { Move } from '#src/modules/contacts/merge-moves.query.ts';

/** How long a merge can be undone. */
export const UNDO_DAYS = 30;

/** A merge as it is kept. */
export interface MergeRow {
  id: string;
  winner_id: string;
  loser_ids: string[];
  /** The contacts as they were. */
  before: unknown;
  /** What the winner became. */
  after: MergedValues;
  moves: Move[];
  undone_at: Date | null;
}

/** Contacts as they are, by id, locked until the transaction ends; also those in the bin. */
export async function lockContacts(em: EntityManager, ids: readonly string[]): Promise<Map<string, ContactImage>> {
  const rows = await em.execute<{ image: unknown }[]>(
    `select to_jsonb(c) - 'search' as image from contact c where c.workspace_id = current_workspace() and c.id = any(?::uuid[])
      order by c.id for update`,
    [`{${ids.join(',')}}`],
  );
  return new Map(rows.map(({ image }) => ContactImage.parse(image)).map((image) => [image.id, image]));
}

/** Puts contacts away under the one they became, whose later ones lead there too. */
export async function closeLosers(em: EntityManager, winnerId: string, loserIds: readonly string[]): Promise<void> {
  await em.execute(
    `update contact set merged_into = ?::uuid, deleted_at = now(), version = version + 1, updated_at = now()
      where workspace_id = current_workspace() and id = any(?::uuid[])`,
    [winnerId, `{${loserIds.join(',')}}`],
  );
}

/** Brings back contacts that `closeLosers` put away. @returns those that are still where it put them */
export async function reopenLosers(
  em: EntityManager,
  winnerId: string,
  loserIds: readonly string[],
): Promise<string[]> {
  const rows = await em.execute<{ id: string }[]>(
    `update contact set merged_into = null, deleted_at = null, version = version + 1, updated_at = now()
      where workspace_id = current_workspace() and id = any(?::uuid[]) and merged_into = ?::uuid and erased_at is null returning id`,
    [`{${loserIds.join(',')}}`, winnerId],
  );
  return rows.map(({ id }) => id);
}

export async function saveWinner(em: EntityManager, id: string, values: MergedValues): Promise<void> {
  const columns = MERGED_COLUMNS.join(', ');
  await em.execute(
    `update contact c set (${columns}) = (select ${columns} from json_populate_record(null::contact, ?::json)),
        version = c.version + 1, updated_at = now()
      where c.workspace_id = current_workspace() and c.id = ?::uuid`,
    [JSON.stringify(values), id],
  );
}

export async function insertMerge(
  em: EntityManager,
  merge: {
    id: string;
    winnerId: string;
    loserIds: readonly string[];
    userId: string;
    before: object;
    after: object;
    moves: object;
  },
): Promise<void> {
  await em.execute(
    `insert into contact_merge (workspace_id, id, winner_id, loser_ids, user_id, before, after, moves)
      values (current_workspace(), ?::uuid, ?::uuid, ?::uuid[], ?::uuid, ?::json, ?::json, ?::json)`,
    [
      merge.id,
      merge.winnerId,
      `{${merge.loserIds.join(',')}}`,
      merge.userId,
      ...[merge.before, merge.after, merge.moves].map((part) => JSON.stringify(part)),
    ],
  );
}

/** A merge that can still be undone, locked until the transaction ends. */
export async function lockMerge(em: EntityManager, id: string): Promise<MergeRow | undefined> {
  const [row] = await em.execute<MergeRow[]>(
    `select id, winner_id, to_json(loser_ids) as loser_ids, before, after, moves, undone_at from contact_merge
      where workspace_id = current_workspace() and id = ?::uuid and created_at > now() - interval '${UNDO_DAYS} days' for update`,
    [id],
  );
  return row;
}

export async function markUndone(em: EntityManager, id: string): Promise<void> {
  await em.execute(
    'update contact_merge set undone_at = now() where workspace_id = current_workspace() and id = ?::uuid',
    [id],
  );
}

/** Forgets how a contact was before its merges, whichever side it was on: for those who ask to be forgotten. */
export async function deleteMergesOf(em: EntityManager, contactId: string): Promise<number> {
  const rows = await em.execute<unknown[]>(
    `delete from contact_merge where workspace_id = current_workspace() and (winner_id = ?::uuid or ?::uuid = any(loser_ids)) returning id`,
    [contactId, contactId],
  );
  return rows.length;
}

/** Drops merges that can no longer be undone, as the system. @returns how many; call again while > 0 */
export async function purgeMerges(systemPool: Pool): Promise<number> {
  const { rowCount } = await systemPool.query(
    `delete from contact_merge where (workspace_id, id) in
      (select workspace_id, id from contact_merge where created_at < now() - interval '${UNDO_DAYS} days' order by created_at limit 100)`,
  );
  return rowCount ?? 0;
}
