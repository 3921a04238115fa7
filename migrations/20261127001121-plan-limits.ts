import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

const SHARDS = 32;

// Adds what changed to one of a few rows, so that those who make contacts do not wait for one another. A workspace that goes takes its
// contacts with it, and has no row to count in any more.
const ADD = (
  workspace: string,
  change: string,
  from = '',
) => `insert into contact_counter as n (workspace_id, shard, contacts)
  select w.id, pg_backend_pid() % ${SHARDS}, c.change from (select ${workspace} as workspace_id, ${change} as change ${from}) c
    join workspace w on w.id = c.workspace_id where c.change <> 0 order by w.id
  on conflict (workspace_id, shard) do update set contacts = n.contacts + excluded.contacts`;

const MANY = (name: string, sign: string) => `create function ${name}() returns trigger language plpgsql as $$
begin
  ${ADD('f.workspace_id', `${sign}count(*) filter (where f.deleted_at is null)`, 'from fact f group by f.workspace_id')};
  return null;
end $$`;

const MOVED = `create function contact_moved() returns trigger language plpgsql as $$
begin
  ${ADD('new.workspace_id', 'case when new.deleted_at is null then 1 else -1 end')};
  return null;
end $$`;

// What a limit's name allows in the transaction's workspace: of its licence, else of its plan. Null: as many as they like.
const LIMIT = `create function plan_limit(wanted text, by_plan jsonb) returns bigint language sql stable as $$
  select case when jsonb_exists(w.plan_override->'limits', wanted) then (w.plan_override->'limits'->>wanted)::bigint else (by_plan->>w.plan)::bigint end
  from workspace w where w.id = current_workspace() $$`;

// Whoever is far from the limit shares a lock with all others who are, and whoever is near it waits until they have ended and then is alone:
// so what is counted is all there is, and far from the limit nobody waits. Far is farther than all who can be at it at once add.
const ALONE = (
  what: string,
  left: string,
  wanted: string,
) => `key := hashtextextended('${what} ' || current_workspace()::text, 0);
  if ${left} >= 1000 + 10 * ${wanted}::bigint then
    perform pg_advisory_xact_lock_shared(key);
  else
    perform pg_advisory_xact_lock(key);
    ${left}`;

// How many contacts more there is room for. Each statement looks anew, so what is counted once the lock is there counts all who had it.
const CONTACT_ROOM = `create function contact_room(by_plan jsonb, wanted int) returns bigint language plpgsql as $$
declare
  most bigint := plan_limit('contacts', by_plan);
  room bigint;
  key bigint;
begin
  if most is null then
    return null;
  end if;
  select most - coalesce(sum(n.contacts), 0) into room from contact_counter n where n.workspace_id = current_workspace();
  ${ALONE('contacts', 'room', 'wanted')} := most - (select coalesce(sum(n.contacts), 0) from contact_counter n where n.workspace_id = current_workspace());
  end if;
  return greatest(room, 0);
end $$`;

const SENT_TODAY = `create function sent_today() returns bigint language sql stable as $$
  select coalesce(sum(n.sends), 0) from workspace w join channel_counter n on n.workspace_id = w.id
    and n.bucket >= date_trunc('day', now(), w.time_zone)
  where w.id = current_workspace() $$`;

// How many messages more may be sent on the workspace's own day; who has asked may send so many.
const SEND_ROOM = `create function send_room(by_plan jsonb, wanted int) returns bigint language plpgsql as $$
declare
  most bigint := plan_limit('messagesPerDay', by_plan);
  room bigint;
  key bigint;
begin
  if most is null then
    return null;
  end if;
  room := most - sent_today();
  ${ALONE('sends', 'room', 'wanted')} := most - sent_today();
  end if;
  return greatest(room, 0);
end $$`;

// As campaign_claim, while the workspace may send; then the channel waits for its midnight and says why.
const CLAIM = `create function campaign_claim(by_plan jsonb, wanted_channel uuid, wanted int, claimer text, lease_ms int, horizon_ms int,
  inner_pad bytea, outer_pad bytea) returns json language plpgsql as $$
declare
  most bigint := plan_limit('messagesPerDay', by_plan);
  room bigint;
  midnight timestamptz;
begin
  if most is not null then
    room := most - sent_today();
  end if;
  if room <= 0 then
    select date_trunc('day', now(), w.time_zone) + interval '1 day' into midnight from workspace w where w.id = current_workspace();
    insert into channel_flow as f (workspace_id, channel_id, blocked_until, block_reason)
      select h.workspace_id, h.id, midnight, 'plan_limit' from channel h where h.workspace_id = current_workspace() and h.id = wanted_channel
      on conflict (workspace_id, channel_id) do update set blocked_until = excluded.blocked_until, block_reason = excluded.block_reason;
    return json_build_object('items', '[]'::json, 'againAt', midnight);
  end if;
  update channel_flow f set block_reason = null
    where f.workspace_id = current_workspace() and f.channel_id = wanted_channel and f.block_reason is not null;
  return campaign_claim(wanted_channel, least(wanted, room)::int, claimer, lease_ms, horizon_ms, inner_pad, outer_pad);
end $$`;

// As campaign_begin, of as many as the workspace may still send today; the others are not begun.
const BEGIN = `create function campaign_begin(by_plan jsonb, asked json, lease_ms int) returns setof uuid language plpgsql as $$
declare
  room bigint := send_room(by_plan, json_array_length(asked));
begin
  if room < json_array_length(asked) then
    select coalesce(json_agg(a.one), '[]') into asked from (select one from json_array_elements(asked) as e (one) limit room) a;
  end if;
  return query select campaign_begin(asked, lease_ms);
end $$`;

const COUNTED = ['contact', 'workspace'];

/** What limits of plans are checked by: contacts are counted as they come and go, messages by what channels have sent. */
export class PlanLimits extends Migration {
  override up(): void {
    this.addSql(`create table contact_counter (
      workspace_id uuid not null constraint contact_counter_workspace_id_foreign references workspace (id) on delete cascade,
      shard smallint not null,
      contacts bigint not null default 0,
      primary key (workspace_id, shard)
    ) with (fillfactor = 50)`);
    // The wall is forced for the owner too, who sees every workspace for this statement alone.
    for (const table of COUNTED) this.addSql(`alter table ${table} no force row level security`);
    this.addSql(`insert into contact_counter (workspace_id, shard, contacts)
      select workspace_id, 0, count(*) from contact where deleted_at is null group by workspace_id`);
    for (const table of COUNTED) this.addSql(`alter table ${table} force row level security`);
    for (const sql of tenantTable('contact_counter')) this.addSql(sql);
    for (const sql of [MANY('contacts_added', ''), MANY('contacts_gone', '-'), MOVED]) this.addSql(sql);
    this.addSql(`create trigger added after insert on contact referencing new table as fact
      for each statement execute function contacts_added()`);
    this.addSql(`create trigger gone after delete on contact referencing old table as fact
      for each statement execute function contacts_gone()`);
    // Most changes of a contact are none of these; a trigger of a statement could not be asked to pass them over.
    this.addSql(`create trigger moved after update of deleted_at on contact for each row
      when ((old.deleted_at is null) <> (new.deleted_at is null)) execute function contact_moved()`);
    this.addSql('alter table channel_flow add column block_reason text');
    for (const sql of [LIMIT, CONTACT_ROOM, SENT_TODAY, SEND_ROOM, CLAIM, BEGIN]) this.addSql(sql);
  }

  override down(): void {
    this.addSql('drop function campaign_begin(jsonb, json, int)');
    this.addSql('drop function campaign_claim(jsonb, uuid, int, text, int, int, bytea, bytea)');
    this.addSql('drop function send_room, sent_today, contact_room, plan_limit');
    this.addSql('alter table channel_flow drop column block_reason');
    for (const name of ['moved', 'gone', 'added']) this.addSql(`drop trigger ${name} on contact`);
    this.addSql('drop function contact_moved, contacts_gone, contacts_added');
    this.addSql('drop table contact_counter');
  }
}
