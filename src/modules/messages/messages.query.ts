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
  campaign_item_id: string | null;
  campaign_id: string | null;
  sent_at: Date;
  created_at: Date;
}

const COLUMNS = `m.id, m.conversation_id, m.contact_id, m.channel_id, m.direction, m.type, m.body, m.media_ref, m.status, m.error_code,
  m.client_id, m.provider_id, m.campaign_item_id, m.sent_at, m.created_at`;
/** With the campaign it was sent for. */
const WITH_CAMPAIGN = `${COLUMNS}, (select i.campaign_id from campaign_item i where i.workspace_id = current_workspace()
  and i.id = m.campaign_item_id) as campaign_id`;

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
  campaignId: row.campaign_id,
  campaignItemId: row.campaign_item_id,
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
    `select ${WITH_CAMPAIGN} from message m where m.workspace_id = current_workspace() and m.${of}_id = ?::uuid
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
    `select ${WITH_CAMPAIGN}, c.owner_id from message m
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

const DAY_MS = 86_400_000;
/** How many days are searched at once, going back; then all that is older. */
const SPANS_DAYS = [31, 62, 124, 248];

/**
 * Messages that have all the words, or begin so, without accents and case; the newest first. Goes back in ever longer spans and stops where
 * enough are found, so that what is common costs no more than what is rare. At most five statements.
 */
export async function searchMessages(em: EntityManager, search: Search): Promise<MessageRow[]> {
  const found: MessageRow[] = [];
  let until = search.to === null ? Date.now() + 2 * DAY_MS : Date.parse(search.to);
  for (const days of [...SPANS_DAYS, Infinity]) {
    const since = Math.max(search.from === null ? 0 : Date.parse(search.from), until - days * DAY_MS, 0);
    if (since < until) found.push(...(await searchSpan(em, search, since, until, search.limit - found.length)));
    if (found.length >= search.limit) break;
    until = since;
  }
  return found;
}

async function searchSpan(
  em: EntityManager,
  search: Search,
  since: number,
  until: number,
  limit: number,
): Promise<MessageRow[]> {
  const filters = [
    search.contactId === null ? null : (['and m.contact_id = ?::uuid', search.contactId] as const),
    search.channelId === null ? null : (['and m.channel_id = ?::uuid', search.channelId] as const),
    search.before === null ? null : (['and m.id < ?::uuid', search.before] as const),
  ].filter((one) => one !== null);
  // Without `offset 0` the newest messages would be read one by one until enough have the words, which for rare ones is all of them.
  return em.execute<MessageRow[]>(
    `select ${WITH_CAMPAIGN} from (select * from (
        select ${COLUMNS} from message m where m.workspace_id = current_workspace()
          and m.id >= first_id_at(?::timestamptz) and m.id < first_id_at(?::timestamptz)
          and m.words @@ (select to_tsquery('simple', string_agg(w[1] || ':*', ' & '))
            from regexp_matches(fold(?::text), '[[:alnum:]]+', 'g') w) ${filters.map(([sql]) => sql).join(' ')} offset 0) m
        order by m.id desc offset 0) m
      join conversation c on c.workspace_id = current_workspace() and c.id = m.conversation_id
        ${search.ownerId === null ? '' : 'and c.owner_id = ?::uuid'}
      join contact p on p.workspace_id = current_workspace() and p.id = m.contact_id and p.deleted_at is null
      order by m.id desc limit ${limit}`,
    [
      new Date(since).toISOString(),
      new Date(until).toISOString(),
      search.words.join(' '),
      ...filters.map(([, value]) => value),
      ...(search.ownerId === null ? [] : [search.ownerId]),
    ],
  );
}

/** The words of a search, without what stands between them. */
export const wordsOf = (text: string): string[] =>
  text
    .split(/[^\p{L}\p{N}\p{M}]+/u)
    .filter((word) => word !== '')
    .slice(0, 10);
