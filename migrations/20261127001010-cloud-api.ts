import { Migration } from '@mikro-orm/migrations';

// As in the life of an item (20261127001001): whoever changes items shares a lock on their campaigns first, then takes items by id.
const ASKED = (fields: string) =>
  `(select * from json_to_recordset(asked) as r ("itemId" uuid${fields}) order by "itemId" limit json_array_length(asked)) a`;
const SHARE = `perform from campaign c where c.workspace_id = current_workspace() and c.id in (select i.campaign_id from ${ASKED('')}
    cross join lateral (select i.campaign_id from campaign_item i where i.workspace_id = current_workspace() and i.id = a."itemId" offset 0) i)
    order by c.id for share`;
const LOCKED = (condition: string) => `cross join lateral (
      select i.* from campaign_item i where i.workspace_id = current_workspace() and i.id = a."itemId" and ${condition} for update) i`;

// Gives items back for later that certainly reached nobody: not begun, or refused by the other side for now. It uses none of their tries.
const DEFER = `create function campaign_defer(asked json) returns setof uuid language plpgsql as $$
begin
  ${SHARE};
  return query with mine as materialized (
    select i.id, a.wait_ms, a.code from ${ASKED(', "attemptId" uuid, fence int, wait_ms int, code text')}
      ${LOCKED(`i.attempt_id = a."attemptId" and i.fence = a.fence and i.status in ('claimed', 'dispatching')`)})
  update campaign_item i set status = case when c.status = 'cancelled' then 'cancelled' else 'pending' end, lease_expires_at = null, updated_at = now(),
      attempt_no = i.attempt_no - case when i.status = 'dispatching' then 1 else 0 end,
      outcome = case when i.status = 'dispatching' then 'deferred' end, error_code = m.code,
      next_attempt_at = now() + m.wait_ms * interval '1 millisecond'
    from mine m, campaign c where i.workspace_id = current_workspace() and i.id = m.id and c.workspace_id = i.workspace_id and c.id = i.campaign_id
    returning i.id;
end $$`;

// What was accepted may be refused later, and the word of that may overtake the acceptance: then it stays refused.
const ACK = `create function cloud_ack(asked json, max_attempts int, backoff_ms int)
returns table ("itemId" uuid, verdict text, status text) language plpgsql as $$
#variable_conflict use_column
declare
  refused uuid[];
begin
  ${SHARE};
  with locked as materialized (
    select i.id, i.status, i.outcome from ${ASKED('')} ${LOCKED('true')})
  select coalesce(array_agg(l.id), '{}') into refused from locked l where l.status = 'failed' and l.outcome = 'refused';
  return query select k."itemId", k.verdict, k.status from campaign_ack(
      (select coalesce(json_agg(e.one), '[]') from json_array_elements(asked) e (one) where (e.one->>'itemId')::uuid <> all (refused)),
      max_attempts, backoff_ms) k
    union all select r.id, 'repeated', 'failed' from unnest(refused) r (id);
end $$`;

// What the Cloud API says of messages, in any order and any number of times: sent, then refused, then delivered, then read; it never falls.
// A refusal is believed of the attempt it is about, and of no later one.
const STATUS = `create function cloud_status(wanted_channel uuid, asked json)
returns table (item_id uuid, campaign_id uuid, contact_id uuid, message_id text, status text) language plpgsql as $$
#variable_conflict use_column
begin
  return query with told as materialized (
    select a.*, array_position(array['sent', 'failed', 'delivered', 'read'], a.status) as rank
      from json_to_recordset(asked) as a (item_id uuid, attempt_id uuid, message_id text, status text, code text, at timestamptz)),
  found as materialized (
    select i.id, t.* from told t cross join lateral (select i.id from campaign_item i
      where i.workspace_id = current_workspace() and i.channel_id = wanted_channel and i.id = t.item_id offset 0) i
    union all
    select i.id, t.* from told t join campaign_item i on i.workspace_id = current_workspace() and i.channel_id = wanted_channel
      and i.provider_message_id = t.message_id where t.item_id is null),
  said as materialized (
    select distinct on (f.id) f.id, f.status as said, f.attempt_id, f.message_id, f.code, f.at, f.rank from found f order by f.id, f.rank desc),
  locked as materialized (
    select i.id, i.status as was, i.outcome as how, i.attempt_id as current_attempt, s.said, s.attempt_id, s.message_id, s.code, s.at, s.rank
      from campaign_item i join said s on s.id = i.id where i.workspace_id = current_workspace() order by i.id for update of i)
  update campaign_item i set status = l.said, lease_expires_at = null, updated_at = now(), skip_reason = null,
      error_code = case when l.said = 'failed' then l.code end, outcome = case when l.said = 'failed' then 'refused' else 'sent' end,
      provider_message_id = coalesce(i.provider_message_id, l.message_id),
      sent_at = case when l.said = 'failed' then i.sent_at else coalesce(i.sent_at, l.at, now()) end,
      delivered_at = case when l.rank >= 3 then coalesce(i.delivered_at, l.at, now()) else i.delivered_at end,
      read_at = case when l.rank >= 4 then coalesce(i.read_at, l.at, now()) else i.read_at end
    from locked l where i.workspace_id = current_workspace() and i.id = l.id and i.dispatch_started_at is not null and case l.said
      when 'failed' then l.was in ('dispatching', 'unknown', 'sent') and coalesce(l.attempt_id, l.current_attempt) = l.current_attempt
      when 'sent' then l.was in ('dispatching', 'unknown', 'pending', 'claimed', 'skipped', 'cancelled') or (l.was = 'failed' and l.how is distinct from 'refused')
      else l.was in ('dispatching', 'unknown', 'pending', 'claimed', 'skipped', 'cancelled', 'sent', 'failed') or (l.said = 'read' and l.was = 'delivered') end
    returning i.id, i.campaign_id, i.contact_id, l.message_id, i.status;
end $$`;

// Has a number that was too fast keep still: as long as it was told to, or for 5 s, then each further time twice as long, up to 5 minutes. Of many
// answers that ask for it at once, one counts.
const SLOW = `create function channel_slow(wanted_channel uuid, wait_ms int) returns void language sql as $$
  with wait as (
    select f.slowed_until <= now() as is_new, greatest(wait_ms, case when f.slowed_until > now() - interval '2 minutes' and f.slowed_until <= now()
        then least(f.slow_ms * 2, 300000) when f.slowed_until <= now() then 5000 end) as ms
      from channel_flow f where f.workspace_id = current_workspace() and f.channel_id = wanted_channel)
  update channel_flow f set slow_ms = case when w.is_new then least(w.ms, 300000) else f.slow_ms end,
      slowed_until = now() + w.ms * interval '1 millisecond', not_before = greatest(f.not_before, now() + w.ms * interval '1 millisecond'),
      blocked_until = greatest(f.blocked_until, now() + w.ms * interval '1 millisecond')
    from wait w where f.workspace_id = current_workspace() and f.channel_id = wanted_channel
      and (f.slowed_until <= now() or f.slowed_until < now() + w.ms * interval '1 millisecond') $$`;

/** The WhatsApp Cloud API as a channel: what it says of its number, and how long a number that was too fast keeps still. */
export class CloudApi extends Migration {
  override up(): void {
    this.addSql(`alter table channel add health jsonb not null default '{}', add cloud_number_id text,
      add constraint channel_cloud_number unique (workspace_id, cloud_number_id)`);
    this.addSql(
      `alter table channel_flow add slowed_until timestamptz not null default '-infinity', add slow_ms int not null default 0`,
    );
    for (const sql of [DEFER, ACK, STATUS, SLOW]) this.addSql(sql);
  }

  override down(): void {
    this.addSql('drop function channel_slow, cloud_status, cloud_ack, campaign_defer');
    this.addSql('alter table channel_flow drop slowed_until, drop slow_ms');
    this.addSql('alter table channel drop health, drop cloud_number_id');
  }
}
