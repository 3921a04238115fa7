import { Migration } from '@mikro-orm/migrations';

// A phone brings its own messages. The lock has its batches wait, and waits for them: one of the two sees what the other wrote.
const PHONE_ACK = `create function phone_ack(asked json, max_attempts int, backoff_ms int)
returns table ("itemId" uuid, verdict text, status text) language plpgsql as $$
begin
  perform from channel h where h.workspace_id = current_workspace() and h.id in (
    select i.channel_id from json_to_recordset(asked) as a ("itemId" uuid) cross join lateral (
      select i.channel_id from campaign_item i where i.workspace_id = current_workspace() and i.id = a."itemId" offset 0) i) order by h.id for share;
  return query select * from campaign_ack(asked, max_attempts, backoff_ms);
end $$`;

// Whom a contact went into, kept as they are until the transaction ends: nobody merges or forgets them. Null for one who is forgotten.
const KEPT = `create function contact_kept(workspace uuid, contact uuid) returns uuid language plpgsql as $$
declare
  one record;
begin
  loop
    select c.id, c.merged_into, c.erased_at into one from contact c where c.workspace_id = workspace and c.id = contact for key share;
    if one.merged_into is null then
      return case when one.erased_at is null then one.id end;
    end if;
    contact := one.merged_into;
  end loop;
end $$`;

// What was sent stands in a message from then on, and nowhere else.
const CLEARED = `create function campaign_item_cleared() returns trigger language plpgsql as $$
begin
  new.rendered := null;
  return new;
end $$`;

// The change that makes an item sent writes its message, whoever makes the change; what is told of the item later raises it. A conversation
// that a campaign begins is closed until somebody answers. Locks in the order of a batch of messages: contact, conversation, contact. Rows are
// looked up by their keys, whatever was believed of their tables when this was planned.
const MESSAGES = `create function campaign_messages() returns trigger language plpgsql set enable_seqscan = off as $$
begin
  if not exists (select from now_rows n where n.status in ('sent', 'delivered', 'read', 'failed')) then
    return null;
  end if;
  if exists (select from now_rows n join old_rows o on o.workspace_id = n.workspace_id and o.id = n.id
      where (n.status in ('sent', 'delivered', 'read') or n.outcome = 'refused') and n.rendered is null and o.rendered is not null) then
    with sent as materialized (
      select n.workspace_id, n.id as item_id, n.campaign_id, n.channel_id, n.contact_id, n.own_message_id, o.rendered, n.status, n.provider_message_id,
          case when n.status = 'failed' then n.error_code end as error_code,
          uuid_extract_timestamp(n.own_message_id) as sent_at
        from now_rows n join old_rows o on o.workspace_id = n.workspace_id and o.id = n.id
        where (n.status in ('sent', 'delivered', 'read') or n.outcome = 'refused') and n.rendered is null and o.rendered is not null and n.own_message_id is not null
          and n.contact_id is not null
        order by n.contact_id offset 0),
    kept as materialized (select s.*, contact_kept(s.workspace_id, s.contact_id) as kept_id from sent s),
    newest as materialized (
      select distinct on (k.workspace_id, k.channel_id, k.kept_id) k.* from kept k where k.kept_id is not null
        order by k.workspace_id, k.channel_id, k.kept_id, k.own_message_id desc),
    opened as (
      insert into conversation as c (workspace_id, id, channel_id, contact_id, owner_id, status, last_message_id, last_message_at, last_outbound_at)
        select n.workspace_id, uuidv7(), n.channel_id, n.kept_id, p.owner_id, 'closed', n.own_message_id, n.sent_at, n.sent_at
          from newest n cross join lateral (
            select p.owner_id from contact p where p.workspace_id = n.workspace_id and p.id = n.kept_id offset 0) p order by n.workspace_id, n.kept_id
        on conflict (workspace_id, channel_id, contact_id) do update set updated_at = now(),
          last_message_id = greatest(c.last_message_id, excluded.last_message_id),
          last_message_at = greatest(c.last_message_at, excluded.last_message_at),
          last_outbound_at = greatest(c.last_outbound_at, excluded.last_outbound_at)
        returning with (old as before) c.workspace_id, c.id, c.channel_id, c.contact_id, before.id is null as is_new),
    written as (
      insert into message (workspace_id, id, conversation_id, contact_id, channel_id, direction, type, body, status, error_code, provider_id,
          campaign_item_id, sent_at)
        select k.workspace_id, k.own_message_id, c.id, k.kept_id, k.channel_id, 'outbound', 'text', k.rendered, k.status, k.error_code, k.provider_message_id,
            k.item_id, k.sent_at
          from kept k join opened c on c.workspace_id = k.workspace_id and c.channel_id = k.channel_id and c.contact_id = k.kept_id),
    begun as (
      insert into activity (workspace_id, id, type, contact_id, payload)
        select n.workspace_id, uuidv7(), 'conversation.started', n.kept_id, json_build_object('conversationId', c.id, 'channelId', n.channel_id,
            'direction', 'outbound', 'campaignId', n.campaign_id)
          from newest n join opened c on c.workspace_id = n.workspace_id and c.channel_id = n.channel_id and c.contact_id = n.kept_id
          where c.is_new),
    latest as materialized (
      select n.workspace_id, n.kept_id, max(n.sent_at) as at from newest n join opened c on c.workspace_id = n.workspace_id
        and c.channel_id = n.channel_id and c.contact_id = n.kept_id group by 1, 2 order by 1, 2)
    update contact p set last_outbound_at = l.at from latest l
      where p.workspace_id = l.workspace_id and p.id = l.kept_id and p.id = any (array(select kept_id from latest)) and l.at > coalesce(p.last_outbound_at, '-infinity');
  end if;
  if exists (select from now_rows n join old_rows o on o.workspace_id = n.workspace_id and o.id = n.id
      where n.status in ('sent', 'delivered', 'read', 'failed') and n.own_message_id is not null and o.rendered is null and n.status <> o.status) then
    update message m set status = r.status, error_code = r.error_code, provider_id = coalesce(m.provider_id, r.provider_id), updated_at = now()
      from (select n.workspace_id, n.own_message_id, n.status, case when n.status = 'failed' then n.error_code end as error_code,
          n.provider_message_id as provider_id from now_rows n join old_rows o on o.workspace_id = n.workspace_id and o.id = n.id
        where n.status in ('sent', 'delivered', 'read', 'failed') and n.own_message_id is not null and o.rendered is null and n.status <> o.status
        order by n.own_message_id offset 0) r
      where m.workspace_id = r.workspace_id and m.id = r.own_message_id and m.id = any (array(select n.own_message_id from now_rows n))
        and message_rank(r.status) > message_rank(m.status);
  end if;
  -- What a phone brought before it said under which id it went out.
  perform campaign_link(n.workspace_id, n.channel_id, n.provider_message_id, n.id)
    from now_rows n join old_rows o on o.workspace_id = n.workspace_id and o.id = n.id
    where n.own_message_id is null and n.provider_message_id is not null and n.provider_message_id is distinct from o.provider_message_id;
  return null;
end $$`;

// The answer behind it took longer than it seemed, since what a campaign sends is none: its hour is counted anew.
const LINK = `create function campaign_link(workspace uuid, channel uuid, sent_as text, item uuid) returns void language sql as $$
  with linked as (
    update message m set campaign_item_id = item from message_key k
      where k.workspace_id = workspace and k.channel_id = channel and k.kind = 'provider' and k.value = sent_as
        and m.workspace_id = k.workspace_id and m.id = k.message_id and m.direction = 'outbound' and m.campaign_item_id is null
      returning m.workspace_id, m.id, m.conversation_id)
  insert into analytics_mark (workspace_id, hour)
    select l.workspace_id, date_trunc('hour', a.sent_at, 'UTC') from linked l cross join lateral (
      select m.sent_at from message m where m.workspace_id = l.workspace_id and m.conversation_id = l.conversation_id and m.id > l.id
        and m.direction = 'outbound' and m.campaign_item_id is null order by m.id limit 1) a
$$`;

const inserted = (of: {
  fact: string;
  answer: string;
}) => `create or replace function messages_inserted() returns trigger language plpgsql as $$
begin
  insert into analytics_mark (workspace_id, hour)
  select f.workspace_id, date_trunc('hour', f.sent_at, 'UTC') from fact f
  union
  select f.workspace_id, date_trunc('hour', answer.sent_at, 'UTC') from fact f
    join conversation c on c.workspace_id = f.workspace_id and c.id = f.conversation_id and c.last_message_id > f.id
    cross join lateral (
      select m.sent_at from message m where m.workspace_id = f.workspace_id and m.conversation_id = f.conversation_id and m.id > f.id
        and m.direction = 'outbound'${of.answer} order by m.id limit 1) answer${of.fact};
  return null;
end $$`;

/** What a campaign sends stands in the conversation of whom it was sent to. */
export class CampaignMessages extends Migration {
  override up(): void {
    this.addSql('alter table campaign_item add own_message_id uuid, add rendered text');
    this.addSql(
      `create index campaign_item_rendered on campaign_item (dispatch_started_at) where rendered is not null and status in ('failed', 'unknown')`,
    );
    for (const sql of [PHONE_ACK, KEPT, CLEARED, LINK, MESSAGES]) this.addSql(sql);
    this.addSql(`create trigger cleared before update on campaign_item for each row
      when (old.rendered is not null and (new.status in ('sent', 'delivered', 'read', 'skipped', 'cancelled') or new.outcome = 'refused')) execute function campaign_item_cleared()`);
    this
      .addSql(`create trigger written after update on campaign_item referencing old table as old_rows new table as now_rows
      for each statement execute function campaign_messages()`);
    this.addSql(inserted({ fact: ' where f.campaign_item_id is null', answer: ' and m.campaign_item_id is null' }));
  }

  override down(): void {
    this.addSql(inserted({ fact: '', answer: '' }));
    this.addSql('drop trigger written on campaign_item');
    this.addSql('drop trigger cleared on campaign_item');
    this.addSql(`drop function campaign_messages, campaign_link, campaign_item_cleared, contact_kept, phone_ack`);
    this.addSql('drop index campaign_item_rendered');
    this.addSql('alter table campaign_item drop own_message_id, drop rendered');
  }
}
