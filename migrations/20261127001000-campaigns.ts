import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

const OWN = 'workspace_id uuid not null';
const DATES = 'created_at timestamptz not null default now(), updated_at timestamptz not null default now()';
const ofParent = (table: string, parent: string) =>
  `constraint ${table}_${parent}_foreign foreign key (workspace_id, ${parent}_id) references ${parent} (workspace_id, id) on delete cascade`;

const STATUSES = [
  'pending',
  'claimed',
  'dispatching',
  'sent',
  'delivered',
  'read',
  'failed',
  'skipped',
  'cancelled',
  'unknown',
];
const quoted = (names: readonly string[]) => names.map((name) => `'${name}'`).join(', ');

/** What people's own numbers can bear; channels to which that does not apply are made with their own. */
const PACING = {
  minDelayMs: 8000,
  maxDelayMs: 25_000,
  pauseEvery: 20,
  pauseMinMs: 60_000,
  pauseMaxMs: 180_000,
  perHour: 60,
  perDay: 200,
  perContactDay: 1,
  perContactWeek: 3,
  warmUp: true,
  windows: [{ days: [1, 2, 3, 4, 5, 6, 7], from: '08:00', to: '20:00' }],
};

// When one of the windows, in local time, is open at or next after a moment; null for never, the moment itself where there are no windows.
const OPENS = `create function window_opens(windows jsonb, zone text, at timestamptz) returns timestamptz language sql stable as $$
  select case when jsonb_array_length(windows) = 0 then at else (
    select min(greatest(at, (d.day::date + (w.one->>'from')::time) at time zone zone))
    from generate_series((at at time zone zone)::date::timestamp, (at at time zone zone)::date + interval '7 days', interval '1 day') d (day),
      jsonb_array_elements(windows) w (one)
    where w.one->'days' @> to_jsonb(extract(isodow from d.day)::int) and (d.day::date + (w.one->>'to')::time) at time zone zone > at) end $$`;

// What a campaign reaches somebody at, and the key by which two spellings of it are one: canonical phone numbers have Brazil's ninth digit.
const ADDRESS = `create function campaign_address(phone text, workspace uuid, contact uuid) returns text language sql stable as $$
  select coalesce(phone, (select regexp_replace('+' || substring(i.value from '^[0-9]{7,15}'), '^(\\+55[1-9][0-9])([6-9][0-9]{7})$', '\\19\\2')
    from contact_identity i where i.workspace_id = workspace and i.contact_id = contact and i.kind = 'wa_id' and i.released_at is null
      and i.value ~ '^[0-9]{7,15}(@|$)' order by i.value limit 1)) $$`;
const ADDRESS_HASH = `create function campaign_address_hash(workspace uuid, address text) returns bytea language sql immutable parallel safe
  return sha256(convert_to(workspace::text || ' ' || address, 'UTF8'))`;

const sums = (from: string) =>
  STATUSES.map((name) => `coalesce(sum(n) filter (where status = '${name}'), 0)`).join(', ') + from;
/** Adds what a statement changed to one of a few rows of the campaign, so that those who end items do not wait for one another. */
const count = (
  changes: string,
) => `insert into campaign_counter as c (workspace_id, campaign_id, shard, ${STATUSES.join(', ')})
  select workspace_id, campaign_id, pg_backend_pid() % 8, ${sums(` from (${changes}) x`)}
    group by workspace_id, campaign_id order by workspace_id, campaign_id
  on conflict (workspace_id, campaign_id, shard) do update set ${STATUSES.map((name) => `${name} = c.${name} + excluded.${name}`).join(', ')}`;

const ADDED = `create function campaign_items_added() returns trigger language plpgsql as $$
begin
  ${count('select workspace_id, campaign_id, status, 1 as n from now_rows')};
  return null;
end $$`;

// Counters, the log of attempts and the event of an item nobody knows the end of: all by the change itself, whoever makes it.
const CHANGED = `create function campaign_items_changed() returns trigger language plpgsql as $$
begin
  if not exists (select from now_rows n join old_rows o on o.workspace_id = n.workspace_id and o.id = n.id where o.status <> n.status) then
    return null;
  end if;
  ${count(`select n.workspace_id, n.campaign_id, s.status, s.n from now_rows n
      join old_rows o on o.workspace_id = n.workspace_id and o.id = n.id
      cross join lateral (values (n.status, 1), (o.status, -1)) s (status, n) where o.status <> n.status`)};
  insert into campaign_item_attempt (workspace_id, campaign_id, item_id, attempt_id, fence, from_status, to_status, outcome, error_code, holder)
    select n.workspace_id, n.campaign_id, n.id, n.attempt_id, n.fence, o.status, n.status,
      case when o.status = 'dispatching' then n.outcome end, n.error_code, n.claimed_by
    from now_rows n join old_rows o on o.workspace_id = n.workspace_id and o.id = n.id
    where o.status <> n.status and n.attempt_id is not null;
  insert into outbox_event (id, workspace_id, type, subject_id, actor_id, data)
    select uuidv7(), n.workspace_id, 'campaign.item.unknown', n.contact_id, null,
      json_build_object('campaignId', n.campaign_id, 'itemId', n.id, 'contactId', n.contact_id)
    from now_rows n join old_rows o on o.workspace_id = n.workspace_id and o.id = n.id
    where o.status <> n.status and n.status = 'unknown';
  return null;
end $$`;

const TOLD = `create function campaign_told() returns trigger language plpgsql as $$
begin
  insert into outbox_event (id, workspace_id, type, subject_id, actor_id, data)
  values (uuidv7(), new.workspace_id,
    case when new.status = 'running' then 'campaign.started' when new.status = 'paused' then 'campaign.paused' else 'campaign.completed' end,
    null, null, case when new.status = 'running' then json_build_object('campaignId', new.id, 'total', new.total)
      when new.status = 'paused' then json_build_object('campaignId', new.id, 'reason', new.pause_reason)
      else json_build_object('campaignId', new.id, 'status', new.status) end);
  return null;
end $$`;

/**
 * Campaigns. Where each recipient stands is one row, whose life is in the functions of the migration behind this one. Counters are kept by
 * triggers, so that they are exact whoever changes an item, in `shard`s, so that this is not one hot row. The log of attempts is only added to.
 */
export class Campaigns extends Migration {
  override up(): void {
    this.addSql(`alter table channel
      add phone text, add url text, add secrets bytea,
      add state text not null default 'active' constraint channel_state_check check (state in ('active', 'paused')),
      add pause_reason text,
      add time_zone text not null default 'America/Sao_Paulo',
      add pacing jsonb not null default '${JSON.stringify(PACING)}'`);
    this.addSql('create index channel_id on channel (id)');
    this.addSql(`create table channel_flow (
      ${OWN}, channel_id uuid not null,
      not_before timestamptz not null default '-infinity',
      blocked_until timestamptz not null default '-infinity',
      since_pause int not null default 0,
      warm_up_from date,
      session_id uuid, session_user_id uuid, session_until timestamptz,
      primary key (workspace_id, channel_id),
      ${ofParent('channel_flow', 'channel')}
    )`);
    this.addSql(`create table channel_counter (
      ${OWN}, channel_id uuid not null,
      bucket timestamptz not null,
      sends int not null,
      primary key (workspace_id, channel_id, bucket),
      ${ofParent('channel_counter', 'channel')}
    )`);
    this.addSql('create index channel_counter_bucket on channel_counter (bucket)');
    this.addSql(`create table campaign (
      ${OWN} constraint campaign_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null, ${DATES},
      version int not null default 1,
      name text not null,
      channel_id uuid not null,
      variants jsonb not null,
      holdout_percent int not null default 0 constraint campaign_holdout_check check (holdout_percent between 0 and 50),
      audience jsonb not null,
      requires_consent boolean not null generated always as (coalesce((audience->>'requireConsent')::boolean, false)) stored,
      owner_id uuid, deal_owner_id uuid,
      status text not null default 'draft' constraint campaign_status_check check (status in ('draft', 'scheduled', 'preparing', 'running',
        'paused', 'completed', 'completed_with_unknown', 'cancelled', 'missed', 'failed')),
      pause_reason text,
      scheduled_at timestamptz,
      max_lateness_minutes int not null default 60,
      time_zone text not null,
      windows jsonb not null default '[]',
      start_key text,
      total int not null default 0,
      excluded jsonb not null default '{}',
      started_at timestamptz, resumed_at timestamptz, finished_at timestamptz,
      created_by uuid, started_by uuid,
      told bigint not null default 0,
      primary key (workspace_id, id),
      constraint campaign_channel_foreign foreign key (workspace_id, channel_id) references channel (workspace_id, id)
    )`);
    this.addSql('create index campaign_newest on campaign (workspace_id, id desc)');
    this.addSql('create index campaign_of_channel on campaign (workspace_id, channel_id, status)');
    this.addSql(
      'create unique index campaign_start_key on campaign (workspace_id, start_key) where start_key is not null',
    );
    this.addSql(`create index campaign_scheduled on campaign (scheduled_at) where status = 'scheduled'`);
    this.addSql(
      `create index campaign_open on campaign (workspace_id, channel_id, id) where status in ('preparing', 'running')`,
    );
    this.addSql(`create index campaign_unsure on campaign (workspace_id, id) where status = 'completed_with_unknown'`);
    this.addSql(`create table campaign_counter (
      ${OWN}, campaign_id uuid not null, shard smallint not null,
      ${STATUSES.map((name) => `${name} int not null default 0`).join(', ')},
      primary key (workspace_id, campaign_id, shard),
      ${ofParent('campaign_counter', 'campaign')}
    )`);
    this.addSql(`create table campaign_item (
      ${OWN}, id uuid not null,
      campaign_id uuid not null, channel_id uuid not null, contact_id uuid,
      address_hash bytea not null,
      variant smallint not null,
      status text not null default 'pending' constraint campaign_item_status_check check (status in (${quoted(STATUSES)})),
      outcome text,
      attempt_no int not null default 0,
      attempt_id uuid,
      fence int not null default 0,
      claimed_by text,
      lease_expires_at timestamptz,
      next_attempt_at timestamptz not null default now(),
      dispatch_started_at timestamptz,
      provider_message_id text,
      error_code text,
      skip_reason text,
      sent_at timestamptz, delivered_at timestamptz, read_at timestamptz, replied_at timestamptz,
      ${DATES},
      primary key (workspace_id, id),
      constraint campaign_item_contact unique (workspace_id, campaign_id, contact_id),
      constraint campaign_item_address unique (workspace_id, campaign_id, address_hash),
      constraint campaign_item_lease_check check ((lease_expires_at is not null) = (status in ('claimed', 'dispatching'))),
      ${ofParent('campaign_item', 'campaign')},
      constraint campaign_item_contact_foreign foreign key (workspace_id, contact_id) references contact (workspace_id, id)
        on delete set null (contact_id)
    )`);
    this.addSql(
      `create index campaign_item_pending on campaign_item (workspace_id, campaign_id, next_attempt_at, id) where status = 'pending'`,
    );
    this.addSql('create index campaign_item_status on campaign_item (workspace_id, campaign_id, status, id)');
    this.addSql('create index campaign_item_newest on campaign_item (workspace_id, campaign_id, id)');
    this.addSql(
      `create index campaign_item_lease on campaign_item (lease_expires_at) where status in ('claimed', 'dispatching')`,
    );
    this.addSql(
      `create index campaign_item_claimed on campaign_item (workspace_id, channel_id) where status = 'claimed'`,
    );
    this.addSql('create index campaign_item_of_contact on campaign_item (workspace_id, contact_id)');
    // Not unique: what a gateway calls a message is not ours to trust.
    this.addSql(`create index campaign_item_message on campaign_item (workspace_id, channel_id, provider_message_id)
      where provider_message_id is not null`);
    this.addSql(`create table campaign_item_attempt (
      ${OWN}, id uuid not null default uuidv7(),
      campaign_id uuid not null, item_id uuid not null, attempt_id uuid not null, fence int not null,
      from_status text not null, to_status text not null,
      outcome text, error_code text, holder text,
      at timestamptz not null default clock_timestamp(),
      primary key (workspace_id, id),
      ${ofParent('campaign_item_attempt', 'campaign')}
    )`);
    this.addSql('create index campaign_item_attempt_item on campaign_item_attempt (workspace_id, item_id, id)');
    this.addSql(
      'create index campaign_item_attempt_ended on campaign_item_attempt (workspace_id, campaign_id, id desc) where outcome is not null',
    );
    const tables = [
      'channel_flow',
      'channel_counter',
      'campaign',
      'campaign_counter',
      'campaign_item',
      'campaign_item_attempt',
    ];
    for (const table of tables) for (const sql of tenantTable(table)) this.addSql(sql);
    this.addSql('revoke update, delete on campaign_item_attempt from wh_app, wh_system');
    for (const sql of [OPENS, ADDRESS, ADDRESS_HASH, ADDED, CHANGED, TOLD]) this.addSql(sql);
    this.addSql(`create trigger added after insert on campaign_item referencing new table as now_rows
      for each statement execute function campaign_items_added()`);
    this
      .addSql(`create trigger changed after update on campaign_item referencing old table as old_rows new table as now_rows
      for each statement execute function campaign_items_changed()`);
    this.addSql(`create trigger told after update of status on campaign for each row
      when (old.status <> new.status and (new.status in ('paused', 'completed', 'completed_with_unknown')
        or (new.status = 'running' and old.status = 'preparing'))) execute function campaign_told()`);
  }

  override down(): void {
    this.addSql(
      `drop table campaign_item_attempt, campaign_item, campaign_counter, campaign, channel_counter, channel_flow`,
    );
    this.addSql(
      'drop function campaign_told, campaign_items_changed, campaign_items_added, campaign_address_hash, campaign_address, window_opens',
    );
    this.addSql('drop index channel_id');
    this
      .addSql(`alter table channel drop phone, drop url, drop secrets, drop constraint channel_state_check, drop state, drop pause_reason,
      drop time_zone, drop pacing`);
  }
}
