import { Migration } from '@mikro-orm/migrations';

const CLAIM = `create function campaign_claim(wanted_channel uuid, wanted int, claimer text, lease_ms int, horizon_ms int, inner_pad bytea, outer_pad bytea)
returns json language plpgsql as $$
declare
  here channel; flow channel_flow; room int; until timestamptz; slots timestamptz[]; live uuid[]; items json; taken int; opens timestamptz;
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
          order by i.next_attempt_at, i.id limit cardinality(slots) * 2 + 20) p
      order by p.place, l.at limit cardinality(slots) * 2 + 20),
    people as materialized (select distinct n.contact_id from near n where n.contact_id is not null)
    select coalesce(array_agg(p.contact_id), '{}') into free from people p
      where pg_try_advisory_xact_lock(hashtextextended('campaign ' || p.contact_id::text, 0));
  end if;
  with picked as materialized (
    select p.id, p.place, l.at from unnest(live) with ordinality l (id, at) cross join lateral (
      select i.id, row_number() over (order by i.next_attempt_at, i.id) as place from campaign_item i
        where i.workspace_id = here.workspace_id and i.campaign_id = l.id and i.status = 'pending' and not i.awaits_text
          and i.next_attempt_at <= now() and (free is null or i.contact_id is null or i.contact_id = any (free))
        order by i.next_attempt_at, i.id limit cardinality(slots) * 2 + 20) p
    order by p.place, l.at limit cardinality(slots) * 2 + 20),
  locked as materialized (
    select i.id, i.campaign_id from campaign_item i where i.workspace_id = here.workspace_id and i.id in (select id from picked)
      and i.status = 'pending' for update skip locked),
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
        'customFields', p.custom_fields)) order by m.next_attempt_at, m.id), '[]')
    into items from moved m join placed p on p.id = m.id join campaign c on c.workspace_id = m.workspace_id and c.id = m.campaign_id
    where m.status = 'claimed';
  taken := json_array_length(items);
  -- Only what was taken moves the clock.
  if taken < cardinality(slots) then
    flow.not_before := case when taken = 0 then before.not_before else slots[taken + 1] end;
    flow.since_pause := greatest(0, flow.since_pause - (cardinality(slots) - taken));
  end if;
  update channel_flow f set not_before = flow.not_before, since_pause = flow.since_pause, warm_up_from = flow.warm_up_from
    where f.workspace_id = here.workspace_id and f.channel_id = here.id;
  return json_build_object('items', items, 'againAt', case when taken > 0 then flow.not_before end);
end $$`;
const CLAIM_OF = 'campaign_claim(uuid, int, text, int, int, bytea, bytea)';

// What a person who said no is still to be sent is not sent, on whatever way they said it; what is begun can only end.
const OPTED_OUT = `create function campaign_opted_out() returns trigger language plpgsql as $$
begin
  with theirs as materialized (
    select i.id from campaign_item i where i.workspace_id = new.workspace_id and i.contact_id = new.id and i.status in ('pending', 'claimed')
      order by i.id for update of i)
  update campaign_item i set status = 'skipped', skip_reason = 'opted_out', lease_expires_at = null, updated_at = now()
    from theirs t where i.workspace_id = new.workspace_id and i.id = t.id;
  return null;
end $$`;

// What a holder has claimed from a channel and not begun goes back.
const GIVE_BACK = `create function channel_give_back(wanted_channel uuid, holder text) returns int language plpgsql as $$
declare
  changed int;
begin
  perform from campaign c where c.workspace_id = current_workspace() and c.id in (select i.campaign_id from campaign_item i
    where i.workspace_id = current_workspace() and i.channel_id = wanted_channel and i.status = 'claimed' and i.claimed_by = holder) order by c.id for share;
  with theirs as materialized (
    select i.id from campaign_item i where i.workspace_id = current_workspace() and i.channel_id = wanted_channel and i.status = 'claimed'
      and i.claimed_by = holder order by i.id for update of i)
  update campaign_item i set status = 'pending', lease_expires_at = null, updated_at = now()
    from theirs t where i.workspace_id = current_workspace() and i.id = t.id;
  get diagnostics changed = row_count;
  return changed;
end $$`;

// For the system: what campaigns that chose so do with items nobody knows the end of, once no late word is to be expected. Sent again is each
// once at most, also when nobody knows of the second time either.
const POLICIES = `create function campaign_settle_unknown(grace interval) returns int language plpgsql as $$
declare
  one campaign; changed int; total int := 0;
begin
  for one in select c.* from campaign c where c.on_unknown <> 'hold' and c.status in ('running', 'paused', 'completed_with_unknown')
      and exists (select from campaign_item i where i.workspace_id = c.workspace_id and i.campaign_id = c.id and i.status = 'unknown'
        and i.updated_at < now() - grace and (c.on_unknown = 'assume_sent' or not i.is_resent))
      order by c.workspace_id, c.id for no key update skip locked loop
    with due as materialized (
      select i.id from campaign_item i where i.workspace_id = one.workspace_id and i.campaign_id = one.id and i.status = 'unknown'
        and i.updated_at < now() - grace and (one.on_unknown = 'assume_sent' or not i.is_resent) order by i.id for update of i)
    update campaign_item i set updated_at = now(), outcome = 'resolved',
        status = case one.on_unknown when 'assume_sent' then 'sent' else 'pending' end,
        sent_at = case one.on_unknown when 'assume_sent' then coalesce(i.sent_at, i.dispatch_started_at) else i.sent_at end,
        is_resent = one.on_unknown = 'resend_once', attempt_no = case one.on_unknown when 'resend_once' then 0 else i.attempt_no end,
        next_attempt_at = now()
      from due d where i.workspace_id = one.workspace_id and i.id = d.id;
    get diagnostics changed = row_count;
    total := total + changed;
    if one.status = 'completed_with_unknown' then
      update campaign c set version = version + 1, updated_at = now(), resumed_at = clock_timestamp(),
          status = case one.on_unknown when 'resend_once' then 'running' else 'completed' end,
          finished_at = case one.on_unknown when 'resend_once' then null else c.finished_at end
        where c.workspace_id = one.workspace_id and c.id = one.id
          and (one.on_unknown = 'resend_once' or not exists (select from campaign_item i where i.workspace_id = c.workspace_id
            and i.campaign_id = c.id and i.status = 'unknown'));
    end if;
  end loop;
  return total;
end $$`;

const STATE = `create function channel_told() returns trigger language plpgsql as $$
begin
  insert into outbox_event (id, workspace_id, type, subject_id, actor_id, data)
    values (uuidv7(), new.workspace_id, 'channel.state_changed', null, null,
      json_build_object('channelId', new.id, 'state', new.state, 'reason', new.pause_reason));
  return null;
end $$`;

/**
 * What campaigns do with ends that stay unknown, with people who say no and people who answer; texts of single recipients; and one person's
 * cap, held also when two channels take messages to them at once.
 */
export class CampaignReplies extends Migration {
  override up(): void {
    this.addSql(`alter table campaign
      add on_unknown text not null default 'hold' constraint campaign_on_unknown_check check (on_unknown in ('hold', 'assume_sent', 'resend_once')),
      add ai jsonb,
      add ai_spent_nano bigint not null default 0`);
    this.addSql(`create index campaign_unknown on campaign (workspace_id, id) where on_unknown <> 'hold'`);
    this.addSql(`alter table campaign_item
      add is_resent boolean not null default false,
      add opted_out_at timestamptz,
      add text text,
      add awaits_text boolean not null default false,
      add text_job_id uuid,
      add text_asked_at timestamptz`);
    this.addSql(
      `create index campaign_item_awaits on campaign_item (workspace_id, campaign_id, id) where awaits_text and status = 'pending'`,
    );
    this.addSql(
      'create index campaign_item_text_job on campaign_item (workspace_id, text_job_id) where text_job_id is not null',
    );
    this.addSql(`alter function ${CLAIM_OF} rename to campaign_claim_before`);
    for (const sql of [CLAIM, OPTED_OUT, GIVE_BACK, POLICIES, STATE]) this.addSql(sql);
    this.addSql(`create trigger opted_out after update of consent on contact for each row
      when (new.consent = 'denied' and old.consent <> 'denied') execute function campaign_opted_out()`);
    this.addSql(`create trigger told after update of state on channel for each row
      when (old.state <> new.state) execute function channel_told()`);
  }

  override down(): void {
    this.addSql('drop trigger told on channel');
    this.addSql('drop trigger opted_out on contact');
    this.addSql('drop function channel_told, campaign_settle_unknown, channel_give_back, campaign_opted_out');
    this.addSql(`drop function ${CLAIM_OF}`);
    this.addSql(
      `alter function ${CLAIM_OF.replace('campaign_claim', 'campaign_claim_before')} rename to campaign_claim`,
    );
    this.addSql('drop index campaign_item_text_job, campaign_item_awaits, campaign_unknown');
    this.addSql(
      'alter table campaign_item drop is_resent, drop opted_out_at, drop text, drop awaits_text, drop text_job_id, drop text_asked_at',
    );
    this.addSql('alter table campaign drop on_unknown, drop ai, drop ai_spent_nano');
  }
}
