import type { EntityManager } from '@mikro-orm/postgresql';
import { newId } from '#src/lib/ids.ts';
import type { MessageStatus } from '#src/modules/messages/messages.schemas.ts';
import type { MessageKey } from '#src/modules/messages/settle.ts';

/** Finds a channel of the extension and locks it: batches of one channel follow each other. @returns its id */
export async function lockChannel(
  em: EntityManager,
  externalId: string,
  name: string | undefined,
): Promise<string | undefined> {
  const [row] = await em.execute<{ id: string }[]>(
    `update channel c set updated_at = now(), name = coalesce(?::text, c.name)
      where c.workspace_id = current_workspace() and c.kind = 'extension' and c.external_id = ? returning id`,
    [name ?? null, externalId],
  );
  return row?.id;
}

/** As `lockChannel`, of one that was made by hand for a number, and is known as the extension knows it from now on. */
export async function adoptChannel(em: EntityManager, externalId: string, phone: string): Promise<string | undefined> {
  const [row] = await em.execute<{ id: string }[]>(
    `update channel c set updated_at = now(), external_id = ?
      where c.workspace_id = current_workspace() and c.kind = 'extension' and c.phone = ? and c.external_id in (c.phone, c.id::text)
      returning id`,
    [externalId, phone],
  );
  return row?.id;
}

/** Makes a channel of the extension. @returns its id */
export async function addChannel(em: EntityManager, externalId: string, name: string | undefined): Promise<string> {
  const id = newId();
  await em.execute(
    `insert into channel (workspace_id, id, kind, external_id, name) values (current_workspace(), ?, 'extension', ?, ?)`,
    [id, externalId, name ?? externalId],
  );
  return id;
}

/** A message that is stored, by one of its keys. */
export interface StoredKey extends MessageKey {
  id: string;
  direction: 'inbound' | 'outbound';
  status: MessageStatus;
  conversation_id: string;
  contact_id: string;
  owner_id: string | null;
}

export async function findKeys(
  em: EntityManager,
  channelId: string,
  keys: readonly MessageKey[],
): Promise<StoredKey[]> {
  return em.execute<StoredKey[]>(
    `select k.kind, k.value, m.id, m.direction, m.status, m.conversation_id, m.contact_id, c.owner_id
      from json_to_recordset(?::json) as a (kind text, value text)
      join message_key k on k.workspace_id = current_workspace() and k.channel_id = ?::uuid and k.kind = a.kind and k.value = a.value
      join message m on m.workspace_id = current_workspace() and m.id = k.message_id
      join conversation c on c.workspace_id = current_workspace() and c.id = m.conversation_id`,
    [JSON.stringify(keys), channelId],
  );
}

/** A conversation of a batch. */
export interface StoredConversation {
  id: string;
  contact_id: string;
  owner_id: string | null;
  is_new: boolean;
}

/** Finds or makes the conversations of a channel with contacts; `messageId` and `sentAt` are those of a message in it. */
export async function openConversations(
  em: EntityManager,
  channelId: string,
  wanted: readonly { contactId: string; messageId: string; sentAt: Date }[],
): Promise<StoredConversation[]> {
  return em.execute<StoredConversation[]>(
    `insert into conversation as c (workspace_id, id, channel_id, contact_id, owner_id, last_message_id, last_message_at)
      select current_workspace(), w.id, ?::uuid, w.contact_id, p.owner_id, w.message_id, w.sent_at
      from json_to_recordset(?::json) as w (id uuid, contact_id uuid, message_id uuid, sent_at timestamptz)
      join contact p on p.workspace_id = current_workspace() and p.id = w.contact_id order by w.contact_id
      on conflict (workspace_id, channel_id, contact_id) do update set updated_at = now()
      returning c.id, c.contact_id, c.owner_id, c.created_at = c.updated_at as is_new`,
    [
      channelId,
      JSON.stringify(
        wanted.map(({ contactId, messageId, sentAt }) => ({
          id: newId(),
          contact_id: contactId,
          message_id: messageId,
          sent_at: sentAt,
        })),
      ),
    ],
  );
}

/** A row of `message`, by its columns' names. */
export interface NewMessage {
  id: string;
  conversation_id: string;
  contact_id: string;
  direction: 'inbound' | 'outbound';
  type: string;
  body: string | null;
  media_ref: string | null;
  status: MessageStatus;
  error_code: string | null;
  client_id: string | null;
  provider_id: string | null;
  actor_id: string | null;
  sent_at: Date;
}

/** Writes messages; one that a phone sent for a campaign is that item's, if its end was noted before. */
export async function insertMessages(em: EntityManager, channelId: string, rows: readonly NewMessage[]): Promise<void> {
  await em.execute(
    `insert into message (workspace_id, id, conversation_id, contact_id, channel_id, direction, type, body, media_ref, status,
        error_code, client_id, provider_id, actor_id, sent_at, campaign_item_id)
      select current_workspace(), r.id, r.conversation_id, r.contact_id, a.channel_id, r.direction, r.type, r.body, r.media_ref, r.status,
        r.error_code, r.client_id, r.provider_id, r.actor_id, r.sent_at,
        (select i.id from campaign_item i where i.workspace_id = current_workspace() and i.channel_id = a.channel_id
          and i.provider_message_id = r.provider_id and r.direction = 'outbound' order by i.id limit 1)
      from json_to_recordset(?::json) as r (id uuid, conversation_id uuid, contact_id uuid, direction text, type text, body text,
        media_ref text, status text, error_code text, client_id text, provider_id text, actor_id uuid, sent_at timestamptz)
        cross join (select ?::uuid as channel_id) a`,
    [JSON.stringify(rows), channelId],
  );
}

/** Makes messages known by keys. One that led to a message which is gone leads on to the new one. */
export async function insertKeys(
  em: EntityManager,
  channelId: string,
  keys: readonly (MessageKey & { messageId: string })[],
): Promise<void> {
  await em.execute(
    `insert into message_key (workspace_id, channel_id, kind, value, message_id)
      select current_workspace(), ?::uuid, k.kind, k.value, k."messageId"
      from json_to_recordset(?::json) as k (kind text, value text, "messageId" uuid)
      on conflict (workspace_id, channel_id, kind, value) do update set message_id = excluded.message_id`,
    [channelId, JSON.stringify(keys)],
  );
}

/** What more is known of a stored message. */
export interface Rise {
  id: string;
  status: MessageStatus;
  error_code: string | null;
  client_id: string | null;
  provider_id: string | null;
}

/** A message whose status rose. */
export interface Risen {
  id: string;
  status: MessageStatus;
}

/**
 * Raises the statuses of messages, never lowers one, and fills in ids that were not known. An inbound message that was read is no longer
 * counted as unread.
 * @returns those whose status rose
 */
export async function raiseMessages(em: EntityManager, rises: readonly Rise[]): Promise<Risen[]> {
  return em.execute<Risen[]>(
    `with r as materialized (select * from json_to_recordset(?::json) as r (id uuid, status text, error_code text, client_id text, provider_id text)),
      before as materialized (
        select m.id, m.status, m.conversation_id, m.direction, m.sent_at, m.created_at from message m
          where m.workspace_id = current_workspace() and m.id = any (array(select id from r)) order by m.id for no key update),
      risen as (
        update message m set updated_at = now(), client_id = coalesce(m.client_id, r.client_id), provider_id = coalesce(m.provider_id, r.provider_id),
          campaign_item_id = coalesce(m.campaign_item_id, case when m.provider_id is null and m.direction = 'outbound' then (
            select i.id from campaign_item i where i.workspace_id = current_workspace() and i.channel_id = m.channel_id
              and i.provider_message_id = r.provider_id order by i.id limit 1) end),
          status = case when message_rank(r.status) > message_rank(b.status) then r.status else m.status end,
          error_code = case when message_rank(r.status) > message_rank(b.status) then case when r.status = 'failed' then r.error_code end
            else m.error_code end
        from r join before b on b.id = r.id
        where m.workspace_id = current_workspace() and m.id = r.id and (message_rank(r.status) > message_rank(b.status)
          or (m.client_id is null and r.client_id is not null) or (m.provider_id is null and r.provider_id is not null))
        returning m.id, m.status),
      seen as (
        select b.conversation_id, count(*)::int as n from risen m join before b on b.id = m.id
          join conversation c on c.workspace_id = current_workspace() and c.id = b.conversation_id
          where b.direction = 'inbound' and m.status = 'read' and b.status <> 'read' and b.sent_at > c.read_at
            and b.sent_at > b.created_at - interval '1 day' group by 1),
      counted as (
        update conversation c set unread_count = greatest(0, c.unread_count - s.n) from seen s
          where c.workspace_id = current_workspace() and c.id = s.conversation_id)
      select m.id, m.status from risen m join before b on b.id = m.id where m.status <> b.status`,
    [JSON.stringify(rises)],
  );
}

/** What new messages change of a conversation. */
export interface Touch {
  id: string;
  last_message_id: string;
  last_message_at: Date;
  last_inbound_at: Date | null;
  last_outbound_at: Date | null;
  /** When each new inbound message of the last day was sent that nobody has read. */
  unread: Date[];
}

/** Brings conversations and their contacts up to their newest messages; greatest() passes over null. */
export async function touchConversations(em: EntityManager, touches: readonly Touch[]): Promise<void> {
  await em.execute(
    `with t as materialized (select * from json_to_recordset(?::json) as t (id uuid, last_message_id uuid, last_message_at timestamptz,
        last_inbound_at timestamptz, last_outbound_at timestamptz, unread json)),
      touched as (
        update conversation c set
          last_message_id = case when t.last_message_id > c.last_message_id then t.last_message_id else c.last_message_id end,
          last_message_at = greatest(c.last_message_at, t.last_message_at),
          last_inbound_at = greatest(c.last_inbound_at, t.last_inbound_at),
          last_outbound_at = greatest(c.last_outbound_at, t.last_outbound_at),
          status = case when json_array_length(t.unread) > 0 then 'open' else c.status end,
          unread_count = c.unread_count
            + (select count(*) from json_array_elements_text(t.unread) u where u::timestamptz > c.read_at)::int
        from t where c.workspace_id = current_workspace() and c.id = t.id returning c.contact_id, t.last_inbound_at, t.last_outbound_at),
      newest as materialized (
        select contact_id, max(last_inbound_at) as inbound, max(last_outbound_at) as outbound from touched group by 1 order by 1)
      update contact p set last_inbound_at = greatest(p.last_inbound_at, n.inbound),
        last_outbound_at = greatest(p.last_outbound_at, n.outbound)
      from newest n where p.workspace_id = current_workspace() and p.id = n.contact_id
        and (n.inbound > coalesce(p.last_inbound_at, '-infinity') or n.outbound > coalesce(p.last_outbound_at, '-infinity'))`,
    [JSON.stringify(touches)],
  );
}
