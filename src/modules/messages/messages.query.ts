import type { EntityManager } from '@mikro-orm/postgresql';
import type { MessageStatus, MessageView } from '#src/modules/messages/messages.schemas.ts';

/** A message as it is read. */
export interface MessageRow {
  id: string;
  conversation_id: string;
  contact_id: string;
  channel_id: string;
  direction: 'inbound' | 'outbound';
  type: string;
  body: string | null;
  media_ref: string | null;
  status: MessageStatus;
  error_code: string | null;
  client_id: string | null;
  provider_id: string | null;
  sent_at: Date;
  created_at: Date;
}

const COLUMNS = `m.id, m.conversation_id, m.contact_id, m.channel_id, m.direction, m.type, m.body, m.media_ref, m.status, m.error_code,
  m.client_id, m.provider_id, m.sent_at, m.created_at`;

export const toMessageView = (row: MessageRow): MessageView => ({
  id: row.id,
  conversationId: row.conversation_id,
  contactId: row.contact_id,
  channelId: row.channel_id,
  direction: row.direction,
  type: row.type,
  body: row.body,
  mediaRef: row.media_ref,
  status: row.status,
  errorCode: row.error_code,
  clientId: row.client_id,
  providerId: row.provider_id,
  sentAt: new Date(row.sent_at).toISOString(),
  createdAt: new Date(row.created_at).toISOString(),
});

/** A page of a conversation's or a contact's messages. */
export interface MessagesAsked {
  of: 'conversation' | 'contact';
  id: string;
  before: string | null;
  limit: number;
}

/** The newest first: ids are in the order in which messages were sent. */
export async function listMessages(em: EntityManager, { of, id, before, limit }: MessagesAsked): Promise<MessageRow[]> {
  return em.execute<MessageRow[]>(
    `select ${COLUMNS} from message m where m.workspace_id = current_workspace() and m.${of}_id = ?::uuid
      ${before === null ? '' : 'and m.id < ?::uuid'} order by m.id desc limit ${limit}`,
    before === null ? [id] : [id, before],
  );
}

/** @param ownerId whose contacts' messages alone may be seen */
export async function findMessage(
  em: EntityManager,
  id: string,
  ownerId: string | undefined,
): Promise<(MessageRow & { owner_id: string | null }) | undefined> {
  const rows = await em.execute<(MessageRow & { owner_id: string | null })[]>(
    `select ${COLUMNS}, c.owner_id from message m
      join conversation c on c.workspace_id = current_workspace() and c.id = m.conversation_id
      join contact p on p.workspace_id = current_workspace() and p.id = c.contact_id and p.deleted_at is null
      where m.workspace_id = current_workspace() and m.id = ?::uuid ${ownerId === undefined ? '' : 'and c.owner_id = ?::uuid'}`,
    ownerId === undefined ? [id] : [id, ownerId],
  );
  return rows[0];
}

/** @returns the contact's id: of one that was merged, of whom it went into; undefined for one that may not be seen */
export async function findContactId(
  em: EntityManager,
  id: string,
  ownerId: string | undefined,
): Promise<string | undefined> {
  const rows = await em.execute<{ id: string }[]>(
    `with recursive lead as (
        select id, merged_into from contact where workspace_id = current_workspace() and id = ?::uuid
        union select c.id, c.merged_into from lead l join contact c on c.workspace_id = current_workspace() and c.id = l.merged_into)
      select c.id from lead l join contact c on c.workspace_id = current_workspace() and c.id = l.id
      where l.merged_into is null and c.deleted_at is null ${ownerId === undefined ? '' : 'and c.owner_id = ?::uuid'}`,
    ownerId === undefined ? [id] : [id, ownerId],
  );
  return rows[0]?.id;
}

/** What is searched for. Moments are ISO 8601 texts. */
export interface Search {
  words: string[];
  contactId: string | null;
  channelId: string | null;
  ownerId: string | null;
  from: string | null;
  to: string | null;
  before: string | null;
  limit: number;
}

/** Months that are searched one by one; what is older, all at once. */
const MONTHS = 24;

/**
 * Messages that have all the words, or begin so, without accents and case; the newest first. Goes from month to month and stops where enough
 * are found, so that what is common costs no more than what is rare.
 */
export async function searchMessages(em: EntityManager, search: Search): Promise<MessageRow[]> {
  const filters = [
    search.contactId === null ? null : (['and m.contact_id = ?::uuid', search.contactId] as const),
    search.channelId === null ? null : (['and m.channel_id = ?::uuid', search.channelId] as const),
    search.before === null ? null : (['and m.id < ?::uuid', search.before] as const),
    search.from === null ? null : (['and m.id >= first_id_at(?::timestamptz)', search.from] as const),
    search.to === null ? null : (['and m.id < first_id_at(?::timestamptz)', search.to] as const),
    search.ownerId === null ? null : (['and c.owner_id = ?::uuid', search.ownerId] as const),
  ].filter((one) => one !== null);
  return em.execute<MessageRow[]>(
    `with newest as materialized (select least(coalesce(?::timestamptz, 'infinity'), now() + interval '2 days') as at),
      span as materialized (
        select n, first_id_at(date_trunc('month', at, 'UTC') - n * interval '1 month') as since,
          first_id_at(date_trunc('month', at, 'UTC') - (n - 1) * interval '1 month') as until
        from newest, generate_series(0, ${MONTHS - 1}) n
        union all select ${MONTHS}, '00000000-0000-0000-0000-000000000000', first_id_at(date_trunc('month', at, 'UTC') - ${MONTHS - 1} * interval '1 month')
        from newest order by n)
      select found.* from span cross join lateral (
        select ${COLUMNS} from message m
          join conversation c on c.workspace_id = current_workspace() and c.id = m.conversation_id
          join contact p on p.workspace_id = current_workspace() and p.id = m.contact_id and p.deleted_at is null
          where m.workspace_id = current_workspace() and m.id >= span.since and m.id < span.until and m.body is not null
            and message_words(m.body) @@ to_tsquery('simple', fold(?::text)) ${filters.map(([sql]) => sql).join(' ')}
          order by m.id desc limit ${search.limit}) found
      limit ${search.limit}`,
    [search.to, search.words.map((word) => `${word}:*`).join(' & '), ...filters.map(([, value]) => value)],
  );
}

/** The words of a search, without what stands between them. */
export const wordsOf = (text: string): string[] =>
  text
    .split(/[^\p{L}\p{N}\p{M}]+/u)
    .filter((word) => word !== '')
    .slice(0, 10);
