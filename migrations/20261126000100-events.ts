import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

const FIRST_ID = `create function first_id_of(month date) returns uuid language sql immutable parallel safe
  return rpad(lpad(to_hex((extract(epoch from month::timestamp at time zone 'UTC') * 1000)::bigint), 12, '0'), 32, '0')::uuid`;

// With the owner's rights, since processes own nothing. Asked by its own name, a partition would not be behind its parent's wall.
const MAKE = `create function partition_make(parent regclass, month date) returns boolean language plpgsql
security definer set search_path = public, pg_temp as $$
declare
  part text := format('%s_%s', parent, to_char(month, 'YYYYMM'));
  statement text;
begin
  if month <> date_trunc('month', month)::date then
    raise exception 'A partition begins on the first of a month, not on %', month;
  end if;
  if not exists (select from pg_partitioned_table p where p.partrelid = parent) then
    raise exception '% has no partitions', parent;
  end if;
  if to_regclass(part) is not null then
    return false;
  end if;
  execute format('create table %I partition of %s for values from (%L) to (%L)', part, parent, first_id_of(month),
    first_id_of((month + interval '1 month')::date));
  execute format('revoke all on %I from wh_app, wh_system', part);
  return true;
end $$`;

const DROP = `create function partition_drop(parent regclass, month date) returns boolean language plpgsql
security definer set search_path = public, pg_temp as $$
declare
  part regclass := to_regclass(format('%s_%s', parent, to_char(month, 'YYYYMM')));
begin
  if month > (now() at time zone 'UTC')::date - 28 then
    raise exception 'The month of % is not over for long enough', month;
  end if;
  if part is null or not exists (select from pg_inherits i where i.inhrelid = part and i.inhparent = parent) then
    return false;
  end if;
  execute format('drop table %s', part);
  return true;
end $$`;

// Whoever ends a job, by whichever statement, says so; items of a batch are told of by their batch.
const JOB_ENDED = `create function job_ended() returns trigger language plpgsql as $$
begin
  insert into outbox_event (id, workspace_id, type, subject_id, actor_id, data)
  values (uuidv7(), new.workspace_id, 'ai.job.' || new.status, new.id, new.user_id, json_build_object(
    'jobId', new.id, 'engine', new.engine, 'status', new.status, 'attempts', new.attempt,
    'problemCode', new.problem->>'code',
    'usage', case when new.usage is null then null else json_build_object(
      'provider', new.usage->'provider', 'model', new.usage->'model', 'inputTokens', new.usage->'inputTokens',
      'outputTokens', new.usage->'outputTokens', 'costUsd', new.usage->'costUsd', 'credits', new.usage->'credits',
      'latencyMs', new.usage->'latencyMs', 'degraded', new.usage->'degraded') end));
  return null;
end $$`;

const WAKE = `create function outbox_wake() returns trigger language plpgsql as $$
begin
  notify outbox_event;
  return null;
end $$`;

/**
 * The outbox: what happened, written with the change itself. Parted by month of the id (UUID version 7), so that the old goes away at once.
 * `position` is given after the commit, by the relay alone and without gaps: numbers taken at the insert would be seen out of order, and a
 * reader that remembers the last one would miss those that came later with a lower one.
 */
export class Events extends Migration {
  override up(): void {
    for (const sql of [FIRST_ID, MAKE, DROP]) this.addSql(sql);
    this.addSql('revoke execute on function partition_make, partition_drop from public');
    this.addSql('grant execute on function partition_make, partition_drop to wh_system');
    this.addSql(`create table outbox_event (
      workspace_id uuid not null constraint outbox_event_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      position bigint,
      type text not null,
      subject_id uuid,
      actor_id uuid,
      data json not null,
      occurred_at timestamptz not null default now(),
      primary key (workspace_id, id)
    ) partition by range (id)`);
    this.addSql('create index outbox_event_unplaced on outbox_event (id) where position is null');
    this.addSql('create index outbox_event_position on outbox_event (position) where position is not null');
    this.addSql(
      'create index outbox_event_of_workspace on outbox_event (workspace_id, position) where position is not null',
    );
    this.addSql('create index outbox_event_subject on outbox_event (workspace_id, subject_id)');
    for (const sql of tenantTable('outbox_event')) this.addSql(sql);
    this.addSql('create table outbox_event_other partition of outbox_event default');
    this.addSql('revoke all on outbox_event_other from wh_app, wh_system');
    this
      .addSql(`select partition_make('outbox_event', (date_trunc('month', now() at time zone 'UTC') + n * interval '1 month')::date)
      from generate_series(0, 2) n`);
    this.addSql(
      `create table outbox_head (only_row boolean primary key default true check (only_row), last bigint not null)`,
    );
    this.addSql('insert into outbox_head (last) values (0)');
    this.addSql('create table event_consumer (name text primary key, position bigint not null)');
    this.addSql(`create table event_set_aside (
      consumer text not null constraint event_set_aside_consumer_foreign references event_consumer (name) on delete cascade,
      position bigint not null,
      failures int not null,
      next_attempt_at timestamptz not null,
      primary key (consumer, position)
    )`);
    this.addSql(WAKE);
    this.addSql('create trigger wake after insert on outbox_event for each statement execute function outbox_wake()');
    this.addSql(JOB_ENDED);
    this.addSql(`create trigger ended after update of finished_at on job for each row
      when (old.finished_at is null and new.finished_at is not null and new.parent_id is null) execute function job_ended()`);
  }

  override down(): void {
    this.addSql('drop trigger ended on job');
    this.addSql('drop table event_set_aside, event_consumer, outbox_head, outbox_event');
    this.addSql('drop function job_ended, outbox_wake, partition_make, partition_drop, first_id_of');
  }
}
