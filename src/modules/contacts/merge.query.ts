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

/** A conversation as it was before a merge, as JSON. */
export type ConversationImage = { id: string } & Record<string, unknown>;

/**
 * The winner's conversation of a channel says what the loser's said of it: how much is unread, and who wrote last. Before its messages come over.
 * @returns those that changed, as they were
 */
export async function joinConversations(
  em: EntityManager,
  winnerId: string,
  loserId: string,
): Promise<ConversationImage[]> {
  const rows = await em.execute<{ image: ConversationImage }[]>(
    `update conversation w set unread_count = w.unread_count + l.unread_count,
        last_message_id = greatest(w.last_message_id, l.last_message_id), last_message_at = greatest(w.last_message_at, l.last_message_at),
        last_inbound_at = greatest(w.last_inbound_at, l.last_inbound_at), last_outbound_at = greatest(w.last_outbound_at, l.last_outbound_at),
        status = case when 'open' in (w.status, l.status) then 'open' else w.status end, updated_at = now()
      from conversation l where w.workspace_id = current_workspace() and l.workspace_id = w.workspace_id
        and l.channel_id = w.channel_id and w.contact_id = ?::uuid and l.contact_id = ?::uuid
      returning to_jsonb(old) as image`,
    [winnerId, loserId],
  );
  return rows.map(({ image }) => image);
}

/**
 * Conversations say again what is theirs alone, after the messages that `joinConversations` counted went back: as they were, or as messages
 * that came since have it. What was opened by the merge is closed again where nobody has done anything with it.
 * @param images as they were before the merge, each once
 */
export async function partConversations(
  em: EntityManager,
  mergeId: string,
  images: readonly ConversationImage[],
): Promise<void> {
  if (images.length === 0) return;
  await em.execute(
    `update conversation c set last_message_id = greatest(b.last_message_id, m.last_id), last_message_at = greatest(b.last_message_at, m.last_at),
        last_inbound_at = greatest(b.last_inbound_at, m.inbound_at), last_outbound_at = greatest(b.last_outbound_at, m.outbound_at),
        unread_count = m.unread, status = case when c.updated_at = g.created_at then b.status else c.status end
      from contact_merge g, json_populate_recordset(null::conversation, ?::json) b cross join lateral (
        select (array_agg(x.id order by x.id desc))[1] as last_id, max(x.sent_at) as last_at,
          max(x.sent_at) filter (where x.direction = 'inbound') as inbound_at, max(x.sent_at) filter (where x.direction = 'outbound') as outbound_at,
          (count(*) filter (where x.direction = 'inbound' and x.status <> 'read' and x.sent_at > w.read_at
            and x.sent_at > x.created_at - interval '1 day'))::int as unread
        from conversation w left join message x on x.workspace_id = w.workspace_id and x.conversation_id = w.id
        where w.workspace_id = current_workspace() and w.id = b.id) m
      where c.workspace_id = current_workspace() and c.id = b.id and g.workspace_id = c.workspace_id and g.id = ?::uuid`,
    [JSON.stringify(images), mergeId],
  );
}

/** Messages that came into conversations since these were another contact's go with them. */
export async function followConversations(em: EntityManager, conversationIds: readonly unknown[]): Promise<void> {
  if (conversationIds.length === 0) return;
  await em.execute(
    `update message m set contact_id = c.contact_id from conversation c
      where c.workspace_id = current_workspace() and c.id in (select i::uuid from json_array_elements_text(?::json) i)
        and m.workspace_id = c.workspace_id and m.conversation_id = c.id and m.contact_id <> c.contact_id`,
    [JSON.stringify(conversationIds)],
  );
}

/** Whether what a contact agreed to was written down after a merge; by the ids, which are made while the contact is locked. */
export async function hasDecidedSince(em: EntityManager, contactId: string, mergeId: string): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    'select id from consent_event where workspace_id = current_workspace() and contact_id = ?::uuid and id > ?::uuid limit 1',
    [contactId, mergeId],
  );
  return rows.length > 0;
}

/** Contacts that want no marketing. */
export async function denyConsent(em: EntityManager, ids: readonly string[]): Promise<void> {
  await em.execute(
    `update contact set consent = 'denied' where workspace_id = current_workspace() and id = any(?::uuid[])`,
    [`{${ids.join(',')}}`],
  );
}
