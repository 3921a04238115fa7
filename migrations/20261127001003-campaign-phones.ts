import { Migration } from '@mikro-orm/migrations';

// As in the life of an item (20261127001001): channel_flow, channel, campaign, items.

// Gives a phone's session the right to send for its number, or prolongs it; or, where it may not take it, only prolongs what it has. A session is
// its user's alone, whoever knows its id. What is left, in milliseconds, of another's right; 0 where it is this one's, null where the number is no
// phone's.
const HOLD = `create function channel_hold(wanted_channel uuid, session uuid, by_user uuid, connection uuid, ttl_ms int, may_take boolean)
returns int language plpgsql as $$
declare
  left_ms int;
begin
  perform from channel h where h.workspace_id = current_workspace() and h.id = wanted_channel and h.kind = 'extension';
  if not found then
    return null;
  end if;
  if may_take then
    insert into channel_flow (workspace_id, channel_id) values (current_workspace(), wanted_channel) on conflict do nothing;
  end if;
  update channel_flow f set session_id = session, session_user_id = by_user, session_until = clock_timestamp() + ttl_ms * interval '1 millisecond',
      session_connection = coalesce(connection, case when f.session_id = session and f.session_user_id = by_user then f.session_connection end)
    where f.workspace_id = current_workspace() and f.channel_id = wanted_channel
      and ((f.session_id = session and f.session_user_id = by_user)
        or (may_take and (f.session_id is null or f.session_until < clock_timestamp())));
  if found then
    return 0;
  end if;
  select extract(epoch from f.session_until - clock_timestamp()) * 1000 into left_ms from channel_flow f
    where f.workspace_id = current_workspace() and f.channel_id = wanted_channel;
  return greatest(1, left_ms);
end $$`;

// An attempt that is a phone's and the caller's own, by the log that is only added to: also one that is over, of a session that has ended. The
// session's right to its number is prolonged on the way.
const ATTEMPT = `create function phone_attempt(item uuid, attempt uuid, its_fence int, by_user uuid, connection uuid, ttl_ms int, may_take boolean)
returns table (channel_id uuid, session_id uuid, wait_ms int) language plpgsql as $$
#variable_conflict use_column
declare
  its record;
begin
  select i.channel_id, split_part(t.holder, '/', 2)::uuid as session into its from campaign_item_attempt t
    join campaign_item i on i.workspace_id = t.workspace_id and i.id = t.item_id
    join channel h on h.workspace_id = i.workspace_id and h.id = i.channel_id and h.kind = 'extension'
    where t.workspace_id = current_workspace() and t.item_id = item and t.attempt_id = attempt and t.fence = its_fence
      and starts_with(t.holder, by_user::text || '/') limit 1;
  if found then
    return query select its.channel_id, its.session, channel_hold(its.channel_id, its.session, by_user, connection, ttl_ms, may_take);
  end if;
end $$`;

// Only who has the number begins, and only what is theirs to see. What a stopped campaign or channel, or hours that are over, keep from being begun
// goes back; what is only too early stays.
const BEGIN = `create function phone_begin(asked json, by_user uuid, connection uuid, ttl_ms int, only_owner uuid, only_deal_owner uuid, lease_ms int,
  inner_pad bytea, outer_pad bytea)
returns table (channel_id uuid, session_id uuid, wait_ms int, is_begun boolean) language plpgsql as $$
#variable_conflict use_column
declare
  its record; begun boolean;
begin
  select * into its from phone_attempt((asked->>'itemId')::uuid, (asked->>'attemptId')::uuid, (asked->>'fence')::int, by_user, connection, ttl_ms, true);
  if not found or its.wait_ms > 0 or not exists (select from campaign_item i join campaign c on c.workspace_id = i.workspace_id and c.id = i.campaign_id
      where i.workspace_id = current_workspace() and i.id = (asked->>'itemId')::uuid and (only_owner is null or c.owner_id = only_owner)
        and (only_deal_owner is null or c.deal_owner_id = only_deal_owner)) then
    return query select its.channel_id, its.session_id, its.wait_ms, false;
    return;
  end if;
  begun := exists (select from campaign_begin(json_build_array(asked), lease_ms, inner_pad, outer_pad));
  if not begun then
    update campaign_item i set status = 'pending', lease_expires_at = null, updated_at = now() from campaign c, channel h
      where i.workspace_id = current_workspace() and i.id = (asked->>'itemId')::uuid and i.attempt_id = (asked->>'attemptId')::uuid
        and i.fence = (asked->>'fence')::int and i.status = 'claimed' and c.workspace_id = i.workspace_id and c.id = i.campaign_id
        and h.workspace_id = i.workspace_id and h.id = i.channel_id
        and (c.status <> 'running' or h.state <> 'active' or i.next_attempt_at <= clock_timestamp());
  end if;
  return query select its.channel_id, its.session_id, its.wait_ms, begun;
end $$`;

// A phone brings its own messages. The lock has its batches wait, and waits for them: one of the two sees what the other wrote.
const ACK = `create function phone_ack(asked json, max_attempts int, backoff_ms int, by_user uuid, connection uuid, ttl_ms int)
returns table ("itemId" uuid, verdict text, status text) language plpgsql as $$
#variable_conflict use_column
declare
  its record;
begin
  select * into its from phone_attempt((asked->>'itemId')::uuid, (asked->>'attemptId')::uuid, (asked->>'fence')::int, by_user, connection, ttl_ms, false);
  if not found then
    return;
  end if;
  perform from channel h where h.workspace_id = current_workspace() and h.id = its.channel_id for share;
  return query select * from campaign_ack(json_build_array(asked), max_attempts, backoff_ms);
end $$`;

/** Phones: one session sends from a number at a time, and only its own attempts. */
export class CampaignPhones extends Migration {
  override up(): void {
    // The socket that holds the number; what another closes lets nothing go.
    this.addSql('alter table channel_flow add session_connection uuid');
    for (const sql of [HOLD, ATTEMPT, BEGIN, ACK]) this.addSql(sql);
  }

  override down(): void {
    this.addSql('drop function phone_ack, phone_begin, phone_attempt, channel_hold');
    this.addSql('alter table channel_flow drop session_connection');
  }
}
