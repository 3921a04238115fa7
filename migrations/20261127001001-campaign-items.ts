import { Migration } from '@mikro-orm/migrations';

// Locks are taken in one order everywhere: channel_flow, channel, campaign, items, counters. Whoever changes an item shares a lock on its
// campaign first, so that a pause or a cancel that has been answered is seen by all that comes after it.
const SHARE = (ids: string) =>
  `perform from campaign c where c.workspace_id = current_workspace() and c.id in (${ids}) order by c.id for share`;
// Items are looked up by their key one after the other, behind a fence (`offset 0`, or the lock): a planner that takes `asked` for a hundred
// rows would rather read a workspace's items whole. Of a limit that it does not know it expects ten.
const ASKED = (fields: string) =>
  `(select * from json_to_recordset(asked) as r ("itemId" uuid${fields}) order by "itemId" limit json_array_length(asked)) a`;
const AN_ATTEMPT = ', "attemptId" uuid, fence int';
const PLACE_OF = (column: string) => `select i.${column} from ${ASKED('')} cross join lateral (
    select i.${column} from campaign_item i where i.workspace_id = current_workspace() and i.id = a."itemId" offset 0) i`;
const LOCKED = (condition: string) => `cross join lateral (
      select i.* from campaign_item i where i.workspace_id = current_workspace() and i.id = a."itemId" and ${condition} for update) i`;
const IS_MINE = `i.attempt_id = a."attemptId" and i.fence = a.fence`;
const BUCKET = `date_bin('5 minutes', now(), 'epoch')`;

// How many a channel may send on its n-th day of sending: 50 on each of the first two days, 100 on the next three, 150 on the next five.
const PER_DAY = `create function channel_per_day(pacing jsonb, day int) returns int language sql immutable as $$
  select least((pacing->>'perDay')::int, case when not coalesce((pacing->>'warmUp')::boolean, false) then null
    when day <= 2 then 50 when day <= 5 then 100 when day <= 10 then 150 end) $$`;

// How many more a channel may send now, by the hour (never more than so many in any sixty minutes), and by its local day.
const ROOM = `create function channel_room(channel channel, flow channel_flow, out room int, out until timestamptz) language plpgsql stable as $$
declare
  midnight timestamptz := date_trunc('day', now(), channel.time_zone);
  day int := (now() at time zone channel.time_zone)::date - coalesce(flow.warm_up_from, (now() at time zone channel.time_zone)::date) + 1;
  held int; hour_sends int; day_sends int; first_bucket timestamptz; per_hour int; per_day int;
begin
  per_hour := (channel.pacing->>'perHour')::int;
  per_day := channel_per_day(channel.pacing, day);
  if per_hour is null and per_day is null then
    return;
  end if;
  select coalesce(sum(n.sends) filter (where n.bucket > now() - interval '65 minutes'), 0), coalesce(sum(n.sends) filter (where n.bucket >= midnight), 0),
      min(n.bucket) filter (where n.bucket > now() - interval '65 minutes')
    into hour_sends, day_sends, first_bucket
    from channel_counter n where n.workspace_id = channel.workspace_id and n.channel_id = channel.id
      and n.bucket >= least(midnight, now() - interval '65 minutes');
  select count(*) into held from campaign_item i where i.workspace_id = channel.workspace_id and i.channel_id = channel.id and i.status = 'claimed';
  room := least(per_hour - hour_sends, per_day - day_sends) - held;
  until := case when day_sends >= per_day then midnight + interval '1 day' when hour_sends >= per_hour then first_bucket + interval '65 minutes' end;
end $$`;

// Moments at which so many may be sent, one after the other: some time apart, and after some of them longer.
const SLOTS = `create function channel_slots(pacing jsonb, wanted int, horizon interval, flow channel_flow, out slots timestamptz[], out next_at timestamptz,
  out since_pause int)
language plpgsql as $$
declare
  every int := (pacing->>'pauseEvery')::int;
  gap float;
begin
  slots := '{}';
  next_at := greatest(flow.not_before, now());
  since_pause := flow.since_pause;
  while cardinality(slots) < wanted and next_at <= now() + horizon loop
    slots := slots || next_at;
    gap := (pacing->>'minDelayMs')::float + random() * ((pacing->>'maxDelayMs')::float - (pacing->>'minDelayMs')::float);
    since_pause := since_pause + 1;
    if every is not null and since_pause >= every * (0.75 + random() / 2) then
      gap := gap + (pacing->>'pauseMinMs')::float + random() * ((pacing->>'pauseMaxMs')::float - (pacing->>'pauseMinMs')::float);
      since_pause := 0;
    end if;
    next_at := next_at + gap * interval '1 millisecond';
  end loop;
end $$`;

// Whether a number is on the list of those who want no marketing. Its hash is HMAC-SHA-256 (RFC 2104) under the workspace's key, whose padded
// forms are given: the key itself the database does not have.
const SUPPRESSED = `create function campaign_is_suppressed(workspace uuid, address text, inner_pad bytea, outer_pad bytea) returns boolean
language sql stable as $$
  select exists (select from suppression s where s.workspace_id = workspace and s.scope = 'marketing'
    and s.address_hash = sha256(outer_pad || sha256(inner_pad || convert_to(address, 'UTF8')))) $$`;

// Why an item cannot be sent now, or null. What was true when the campaign began is looked at again: people leave, and numbers change.
const HINDRANCE = `create function campaign_hindrance(item campaign_item, requires_consent boolean, person contact, address text)
returns text language sql stable as $$
  select case
    when person.id is null or person.deleted_at is not null or person.erased_at is not null or person.merged_into is not null then 'contact_gone'
    when person.consent = 'denied' then 'opted_out'
    when requires_consent and person.consent <> 'granted' then 'no_consent'
    when address is null then 'no_identity'
    when campaign_address_hash(item.workspace_id, address) <> item.address_hash then 'identity_changed' end $$`;

// How often somebody was written to lately, on any channel; what is under way counts.
const CAPPED = `create function campaign_is_capped(workspace uuid, item uuid, contact uuid, pacing jsonb) returns boolean language sql stable as $$
  select case when pacing->>'perContactDay' is null and pacing->>'perContactWeek' is null then false else (
    select coalesce(count(*) filter (where coalesce(i.dispatch_started_at, now()) > now() - interval '1 day') >= (pacing->>'perContactDay')::int, false)
      or coalesce(count(*) >= (pacing->>'perContactWeek')::int, false)
    from campaign_item i where i.workspace_id = workspace and i.contact_id = contact and i.id <> item
      and i.status in ('claimed', 'dispatching', 'sent', 'delivered', 'read', 'unknown')
      and coalesce(i.dispatch_started_at, now()) > now() - interval '7 days') end $$`;

const CLAIM = `create function campaign_claim(wanted_channel uuid, wanted int, claimer text, lease_ms int, horizon_ms int, inner_pad bytea, outer_pad bytea)
returns json language plpgsql as $$
declare
  here channel; flow channel_flow; room int; until timestamptz; slots timestamptz[]; live uuid[]; items json; taken int; passed int; opens timestamptz;
  before channel_flow; free uuid[];
begin
  select * into here from channel where workspace_id = current_workspace() and id = wanted_channel;
  if here.id is null or here.state <> 'active' then
    return json_build_object('items', '[]'::json, 'againAt', null);
  end if;
  insert into channel_flow (workspace_id, channel_id) values (here.workspace_id, here.id) on conflict do nothing;
  select * into flow from channel_flow f where f.workspace_id = here.workspace_id and f.channel_id = here.id for update;
  flow.warm_up_from := coalesce(flow.warm_up_from, (now() at time zone here.time_zone)::date);
  opens := window_opens(here.pacing->'windows', here.time_zone, now());
  select r.room, r.until into room, until from channel_room(here, flow) r;
  if opens is null or opens > now() or room <= 0 then
    flow.blocked_until := case when opens > now() then opens when opens is null then now() + interval '1 hour' else coalesce(until, now() + interval '5 seconds') end;
    update channel_flow f set blocked_until = flow.blocked_until where f.workspace_id = here.workspace_id and f.channel_id = here.id;
    return json_build_object('items', '[]'::json, 'againAt', flow.blocked_until);
  end if;
  before := flow;
  select s.slots, s.next_at, s.since_pause into slots, flow.not_before, flow.since_pause
    from channel_slots(here.pacing, least(wanted, room), horizon_ms * interval '1 millisecond', before) s;
  if cardinality(slots) = 0 then
    return json_build_object('items', '[]'::json, 'againAt', flow.not_before);
  end if;
  live := array(select c.id from (select c.id, c.windows, c.time_zone from campaign c where c.workspace_id = here.workspace_id
    and c.channel_id = here.id and c.status = 'running' order by c.id for share) c where window_opens(c.windows, c.time_zone, now()) <= now());
  -- Two channels that take messages to one person at once would not see each other's. Who is being looked at elsewhere is left for later.
  if here.pacing->>'perContactDay' is not null or here.pacing->>'perContactWeek' is not null then
    with near as materialized (
      select p.contact_id from unnest(live) with ordinality l (id, at) cross join lateral (
        select i.contact_id, row_number() over (order by i.next_attempt_at, i.id) as place from campaign_item i
          where i.workspace_id = here.workspace_id and i.campaign_id = l.id and i.status = 'pending' and not i.awaits_text
            and i.next_attempt_at <= now()
          order by i.next_attempt_at, i.id limit cardinality(slots) + 8) p
      order by p.place, l.at limit cardinality(slots) + 8),
    people as materialized (select distinct n.contact_id from near n where n.contact_id is not null)
    select coalesce(array_agg(p.contact_id), '{}') into free from people p
      where pg_try_advisory_xact_lock(hashtextextended('campaign ' || p.contact_id::text, 0));
  end if;
  with picked as materialized (
    select p.id, p.place, l.at from unnest(live) with ordinality l (id, at) cross join lateral (
      select i.id, row_number() over (order by i.next_attempt_at, i.id) as place from campaign_item i
        where i.workspace_id = here.workspace_id and i.campaign_id = l.id and i.status = 'pending' and not i.awaits_text
          and i.next_attempt_at <= now() and (free is null or i.contact_id is null or i.contact_id = any (free))
        order by i.next_attempt_at, i.id limit cardinality(slots) + 8) p
    order by p.place, l.at limit cardinality(slots) + 8),
  locked as materialized (
    select k.id, k.campaign_id from picked p cross join lateral (
      select i.id, i.campaign_id from campaign_item i where i.workspace_id = here.workspace_id and i.id = p.id
        and i.status || '' = 'pending' for update skip locked) k),
  judged as materialized (
    select i.id, i.contact_id, p.place, p.at, person.name, person.email, person.company, person.position, person.custom_fields, reach.address,
      campaign_hindrance(i, c.requires_consent, person, reach.address) as reason,
      row_number() over (partition by i.contact_id order by p.place, p.at) as of_contact
    from locked k join campaign_item i on i.workspace_id = here.workspace_id and i.id = k.id
      join picked p on p.id = k.id join campaign c on c.workspace_id = here.workspace_id and c.id = k.campaign_id
      left join contact person on person.workspace_id = here.workspace_id and person.id = i.contact_id
      cross join lateral (select campaign_address(person.phone, here.workspace_id, i.contact_id) as address) reach),
  weighed as materialized (
    select j.*, case when j.reason is not null then j.reason when j.of_contact > 1 then 'later'
        when campaign_is_suppressed(here.workspace_id, j.address, inner_pad, outer_pad) then 'suppressed'
      when campaign_is_capped(here.workspace_id, j.id, j.contact_id, here.pacing) then 'frequency_cap' end as verdict from judged j),
  placed as materialized (
    select w.*, row_number() over (partition by w.verdict is null order by w.place, w.at) as turn from weighed w),
  moved as (
    update campaign_item i set status = case when p.verdict is null then 'claimed' else 'skipped' end, skip_reason = p.verdict,
        attempt_id = case when p.verdict is null then uuidv7() else i.attempt_id end, fence = i.fence + 1, outcome = null, error_code = null,
        claimed_by = claimer, updated_at = now(),
        next_attempt_at = case when p.verdict is null then slots[p.turn] else i.next_attempt_at end,
        lease_expires_at = case when p.verdict is null then slots[p.turn] + lease_ms * interval '1 millisecond' end
      from placed p where i.workspace_id = here.workspace_id and i.id = p.id
        and case when p.verdict is null then p.turn <= cardinality(slots) else p.verdict <> 'later' end
      returning i.*)
  select coalesce(json_agg(json_build_object('itemId', m.id, 'campaignId', m.campaign_id, 'contactId', m.contact_id, 'attemptId', m.attempt_id,
      'fence', m.fence, 'to', p.address, 'notBefore', m.next_attempt_at, 'leaseExpiresAt', m.lease_expires_at,
      'template', coalesce(m.text, c.variants->(m.variant::int)->>'text'),
      'contact', json_build_object('name', p.name, 'phone', p.address, 'email', p.email, 'company', p.company, 'position', p.position,
        'customFields', p.custom_fields)) order by m.next_attempt_at, m.id) filter (where m.status = 'claimed'), '[]'),
      count(*) filter (where m.status = 'skipped')
    into items, passed from moved m join placed p on p.id = m.id join campaign c on c.workspace_id = m.workspace_id and c.id = m.campaign_id;
  taken := json_array_length(items);
  -- Only what was taken moves the clock.
  if taken < cardinality(slots) then
    flow.not_before := case when taken = 0 then before.not_before else slots[taken + 1] end;
    flow.since_pause := greatest(0, flow.since_pause - (cardinality(slots) - taken));
  end if;
  update channel_flow f set not_before = flow.not_before, since_pause = flow.since_pause, warm_up_from = flow.warm_up_from
    where f.workspace_id = here.workspace_id and f.channel_id = here.id;
  return json_build_object('items', items, 'againAt', case when taken > 0 then flow.not_before when passed > 0 then now() end);
end $$`;

// What is about to be sent is kept with the attempt: whoever dies behind this, its message can still be written.
const BEGIN = `create function campaign_begin(asked json, lease_ms int) returns setof uuid language plpgsql as $$
declare
  begun uuid[];
begin
  perform from channel h where h.workspace_id = current_workspace() and h.id in (${PLACE_OF('channel_id')})
    order by h.id for share;
  ${SHARE(PLACE_OF('campaign_id'))};
  with mine as materialized (
    select i.id, a.text from ${ASKED(`${AN_ATTEMPT}, text text`)} ${LOCKED(`${IS_MINE} and i.status = 'claimed' and i.lease_expires_at > clock_timestamp()
        and i.next_attempt_at <= clock_timestamp() + interval '1 second'`)}),
  moved as (
    update campaign_item i set status = 'dispatching', attempt_no = i.attempt_no + 1, dispatch_started_at = clock_timestamp(),
        own_message_id = case when m.text is not null then uuidv7() end, rendered = m.text,
        lease_expires_at = clock_timestamp() + lease_ms * interval '1 millisecond', updated_at = now()
      from mine m, campaign c, channel h where i.workspace_id = current_workspace() and i.id = m.id
        and c.workspace_id = i.workspace_id and c.id = i.campaign_id and c.status = 'running'
        and h.workspace_id = i.workspace_id and h.id = i.channel_id and h.state = 'active'
      returning i.id, i.channel_id),
  counted as (
    insert into channel_counter as n (workspace_id, channel_id, bucket, sends)
      select current_workspace(), m.channel_id, ${BUCKET}, count(*) from moved m group by m.channel_id order by m.channel_id
      on conflict (workspace_id, channel_id, bucket) do update set sends = n.sends + excluded.sends)
  select array_agg(id) into begun from moved;
  return query select unnest(begun);
end $$`;

// An ack of an attempt that was begun counts whenever it comes, but takes nothing back: sent stays sent. That an earlier attempt arrived
// after all also ends an item that waits to be sent again.
const ACK = `create function campaign_ack(asked json, max_attempts int, backoff_ms int)
returns table ("itemId" uuid, verdict text, status text) language plpgsql as $$
begin
  ${SHARE(PLACE_OF('campaign_id'))};
  return query with locked as materialized (
    select i.*, a.result, a.retryable, a.is_channels, a.code, a.message_id, a.retry_after_ms, ${IS_MINE} as is_mine,
      exists (select from campaign_item_attempt t where t.workspace_id = i.workspace_id and t.item_id = i.id and t.attempt_id = a."attemptId"
        and t.fence = a.fence and t.to_status = 'dispatching') as was_begun
    from ${ASKED(`${AN_ATTEMPT}, result text, retryable boolean, is_channels boolean, code text, message_id text, retry_after_ms int`)} ${LOCKED('true')}),
  judged as materialized (
    select l.*, case
      when not l.was_begun then null
      when l.result = 'sent' and (l.is_mine or l.status <> 'dispatching') and l.status in ('dispatching', 'unknown', 'pending', 'claimed', 'failed') then 'sent'
      when not l.is_mine or l.status not in ('dispatching', 'unknown') then null
      when l.result = 'unknown' then case when l.status = 'dispatching' then 'unknown' end
      when not l.retryable or l.status = 'unknown' or l.attempt_no >= max_attempts then 'failed'
      when c.status = 'cancelled' then 'cancelled' else 'pending' end as next
    from locked l join campaign c on c.workspace_id = l.workspace_id and c.id = l.campaign_id),
  moved as (
    update campaign_item i set status = j.next, lease_expires_at = null, updated_at = now(),
        outcome = case when j.next in ('sent', 'unknown') then j.next when j.retryable or j.is_channels then 'infra' else 'recipient' end,
        error_code = case when j.next = 'sent' then null else j.code end,
        provider_message_id = coalesce(j.message_id, i.provider_message_id),
        sent_at = case when j.next = 'sent' then coalesce(i.sent_at, now()) else i.sent_at end,
        next_attempt_at = case when j.next = 'pending' then now() + interval '1 millisecond' *
          greatest(coalesce(j.retry_after_ms, 0), backoff_ms * power(4, j.attempt_no - 1) * (0.8 + random() * 0.4)) else i.next_attempt_at end
      from judged j where i.workspace_id = j.workspace_id and i.id = j.id and j.next is not null)
  select j.id, case when j.next is not null then 'accepted' when not j.was_begun then 'refused' when j.is_mine then 'repeated' else 'stale' end,
    coalesce(j.next, j.status) from judged j;
end $$`;

const RELEASE = `create function campaign_release(asked json) returns setof uuid language plpgsql as $$
begin
  ${SHARE(PLACE_OF('campaign_id'))};
  return query update campaign_item i set status = 'pending', lease_expires_at = null, updated_at = now()
    from ${ASKED(AN_ATTEMPT)} where i.workspace_id = current_workspace() and i.id = a."itemId" and ${IS_MINE} and i.status = 'claimed' returning i.id;
end $$`;

// What cannot be sent as it is, found by who claimed it: nothing was begun.
const SKIP = `create function campaign_skip(asked json) returns setof uuid language plpgsql as $$
begin
  ${SHARE(PLACE_OF('campaign_id'))};
  return query update campaign_item i set status = 'skipped', skip_reason = a.reason, lease_expires_at = null, updated_at = now()
    from ${ASKED(`${AN_ATTEMPT}, reason text`)} where i.workspace_id = current_workspace() and i.id = a."itemId" and ${IS_MINE}
      and i.status = 'claimed' returning i.id;
end $$`;

// What a channel says of messages later. It only rises; that a message failed is believed until somebody says it arrived.
const STATUS = `create function campaign_status(wanted_channel uuid, asked json) returns setof uuid language plpgsql as $$
begin
  return query with said as materialized (
    select distinct on (i.id) i.id, a.status as said, a.message_id, array_position(array['sent', 'delivered', 'read'], a.status) as rank
    from json_to_recordset(asked) as a ("itemId" uuid, message_id text, status text) join campaign_item i
      on i.workspace_id = current_workspace() and i.channel_id = wanted_channel
        and (i.id = a."itemId" or (a."itemId" is null and i.provider_message_id = a.message_id))
    order by i.id, array_position(array['sent', 'delivered', 'read'], a.status) desc nulls last),
  locked as materialized (
    select i.id, i.status, i.fence, s.said, s.message_id, s.rank from campaign_item i join said s on s.id = i.id
      where i.workspace_id = current_workspace() order by i.id for update of i)
  update campaign_item i set status = l.said, lease_expires_at = null, updated_at = now(), error_code = case when l.said = 'failed' then 'channel' end,
      outcome = case when l.said = 'failed' then 'recipient' else 'sent' end, provider_message_id = coalesce(i.provider_message_id, l.message_id),
      sent_at = coalesce(i.sent_at, now()),
      delivered_at = case when l.rank >= 2 then coalesce(i.delivered_at, now()) else i.delivered_at end,
      read_at = case when l.rank >= 3 then coalesce(i.read_at, now()) else i.read_at end
    from locked l where i.workspace_id = current_workspace() and i.id = l.id and i.dispatch_started_at is not null and case when l.said = 'failed' then l.status = 'sent'
      else l.status in ('unknown', 'dispatching', 'failed') or (l.status in ('pending', 'claimed') and i.dispatch_started_at is not null)
        or l.rank > array_position(array['sent', 'delivered', 'read'], l.status) end
    returning i.id;
end $$`;

// For the system: what nobody holds any more. A claim goes back; what was begun is never sent again by itself.
const SWEEP = `create function campaign_sweep(most int) returns int language plpgsql as $$
declare
  changed int;
begin
  with lost as materialized (
    select i.workspace_id, i.id from campaign_item i where i.status in ('claimed', 'dispatching') and i.lease_expires_at < now()
      order by i.lease_expires_at limit most for update skip locked)
  update campaign_item i set status = case when i.status = 'dispatching' then 'unknown' when c.status = 'cancelled' then 'cancelled' else 'pending' end,
      outcome = case when i.status = 'dispatching' then 'unknown' end, lease_expires_at = null, updated_at = now()
    from lost o, campaign c where i.workspace_id = o.workspace_id and i.id = o.id and c.workspace_id = i.workspace_id and c.id = i.campaign_id;
  get diagnostics changed = row_count;
  return changed;
end $$`;

// Why a campaign must not go on: the end of its last attempts. A number that is none says nothing of the channel.
const TROUBLE = `create function campaign_trouble(workspace uuid, campaign uuid, since timestamptz) returns text language sql stable as $$
  select case when count(*) filter (where l.place <= 3 and l.outcome = 'unknown') = 3 then 'unknown_in_a_row'
    when count(*) filter (where l.outcome = 'infra') = 5 then 'failures_in_a_row' end
  from (select t.outcome, row_number() over (order by t.id desc) as place from campaign_item_attempt t where t.workspace_id = workspace
    and t.campaign_id = campaign and t.outcome is not null and t.outcome <> 'recipient' and t.at >= since order by t.id desc limit 5) l $$`;

const OPEN = `exists (select from campaign_item i where i.workspace_id = c.workspace_id and i.campaign_id = c.id and i.status in ('pending', 'claimed', 'dispatching'))`;
// The lock, and only then the look: nobody puts an item back in between, since they all share it.
const SETTLE = `create function campaign_settle(workspace uuid, campaign uuid) returns text language plpgsql as $$
declare
  one campaign; trouble text; settled text;
begin
  select * into one from campaign c where c.workspace_id = workspace and c.id = campaign for no key update;
  if one.status = 'completed_with_unknown' then
    update campaign c set status = 'completed', updated_at = now(), version = version + 1 where c.workspace_id = workspace and c.id = campaign
      and not exists (select from campaign_item i where i.workspace_id = c.workspace_id and i.campaign_id = c.id and i.status = 'unknown')
      returning c.status into settled;
    return coalesce(settled, one.status);
  end if;
  if one.status is distinct from 'running' then
    return one.status;
  end if;
  trouble := campaign_trouble(workspace, campaign, coalesce(one.resumed_at, one.started_at));
  update campaign c set status = case when ${OPEN} then 'paused' when exists (select from campaign_item i where i.workspace_id = c.workspace_id
        and i.campaign_id = c.id and i.status = 'unknown') then 'completed_with_unknown' else 'completed' end,
      pause_reason = case when ${OPEN} then trouble end, finished_at = case when not ${OPEN} then now() end, updated_at = now(), version = version + 1
    where c.workspace_id = workspace and c.id = campaign and (trouble is not null or not ${OPEN}) returning c.status into settled;
  return coalesce(settled, 'running');
end $$`;

/** The life of a campaign's item: each step one call, so that a caller who dies between two leaves it at one of them. */
export class CampaignItems extends Migration {
  override up(): void {
    for (const sql of [
      PER_DAY,
      ROOM,
      SLOTS,
      SUPPRESSED,
      HINDRANCE,
      CAPPED,
      CLAIM,
      BEGIN,
      ACK,
      RELEASE,
      SKIP,
      STATUS,
      SWEEP,
      TROUBLE,
      SETTLE,
    ])
      this.addSql(sql);
  }

  override down(): void {
    this
      .addSql(`drop function campaign_settle, campaign_trouble, campaign_sweep, campaign_status, campaign_skip, campaign_release, campaign_ack,
      campaign_begin, campaign_claim, campaign_is_capped, campaign_hindrance, campaign_is_suppressed, channel_slots, channel_room, channel_per_day`);
  }
}
