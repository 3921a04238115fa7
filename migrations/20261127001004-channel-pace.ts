import { Migration } from '@mikro-orm/migrations';

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

// Counts messages that no item stands for towards a channel's hour and day, where there is room for them; whether there was.
const RESERVE = `create function channel_reserve(wanted_channel uuid, wanted int) returns boolean language plpgsql as $$
declare
  here channel; flow channel_flow; room int;
begin
  insert into channel_flow (workspace_id, channel_id) values (current_workspace(), wanted_channel) on conflict do nothing;
  select * into flow from channel_flow f where f.workspace_id = current_workspace() and f.channel_id = wanted_channel for update;
  select * into here from channel h where h.workspace_id = current_workspace() and h.id = wanted_channel;
  select r.room into room from channel_room(here, flow) r;
  if room < wanted then
    return false;
  end if;
  insert into channel_counter as n (workspace_id, channel_id, bucket, sends) values (here.workspace_id, here.id, ${BUCKET}, wanted)
    on conflict (workspace_id, channel_id, bucket) do update set sends = n.sends + excluded.sends;
  return true;
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

/** How fast a channel may send: its hour, its day, and the time between two messages. */
export class ChannelPace extends Migration {
  override up(): void {
    for (const sql of [PER_DAY, ROOM, RESERVE, SLOTS]) this.addSql(sql);
  }

  override down(): void {
    this.addSql('drop function channel_slots, channel_reserve, channel_room, channel_per_day');
  }
}
