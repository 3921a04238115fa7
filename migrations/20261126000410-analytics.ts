import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

// Once for a statement, however many calls it writes.
const CALLS_MADE = `create function calls_made() returns trigger language plpgsql as $$
begin
  insert into analytics_mark (workspace_id, hour)
  select distinct f.workspace_id, date_trunc('hour', f.started_at, 'UTC') from fact f;
  return null;
end $$`;

const JOB_COUNTED = `create function job_counted() returns trigger language plpgsql as $$
begin
  insert into analytics_mark (workspace_id, hour) values (new.workspace_id, date_trunc('hour', new.finished_at, 'UTC'));
  return null;
end $$`;

// Any mark will do: the rollup sees that the days it keeps are those of another zone.
const ZONE_CHANGED = `create function zone_changed() returns trigger language plpgsql as $$
begin
  insert into analytics_mark (workspace_id, hour) values (new.id, date_trunc('hour', now(), 'UTC'));
  return null;
end $$`;

/**
 * Figures by hour (UTC) and by day (of the workspace's clock), and the marks that say which hours have new facts. A mark is written in the
 * transaction of its fact and only ever added, so nobody waits for anybody; it names no key of others, for the same reason.
 */
export class Analytics extends Migration {
  override up(): void {
    this.addSql(`create table analytics_mark (
      workspace_id uuid not null,
      hour timestamptz not null,
      hours int not null default 1 constraint analytics_mark_hours_check check (hours > 0),
      marked_at timestamptz not null default now()
    )`);
    this.addSql('create index analytics_mark_hour on analytics_mark (workspace_id, hour)');
    // Meanings of the places in both arrays: src/modules/analytics/sources.
    for (const [table, bucket] of [
      ['analytics_hourly', 'hour timestamptz'],
      ['analytics_daily', 'day date'],
    ] as const) {
      const [column] = bucket.split(' ');
      this.addSql(`create table ${table} (
        workspace_id uuid not null constraint ${table}_workspace_id_foreign references workspace (id) on delete cascade,
        source text not null,
        ${bucket} not null,
        dimensions text[] not null,
        amounts bigint[] not null,
        primary key (workspace_id, source, ${column}, dimensions)
      )`);
    }
    this.addSql(`create table analytics_state (
      workspace_id uuid primary key constraint analytics_state_workspace_id_foreign references workspace (id) on delete cascade,
      time_zone text,
      failures int not null default 0,
      next_rollup_at timestamptz not null default now(),
      rolled_up_at timestamptz
    )`);
    this.addSql(`create table analytics_export (
      workspace_id uuid not null constraint analytics_export_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      user_id uuid not null,
      only_user_id uuid,
      report text not null,
      format text not null constraint analytics_export_format_check check (format in ('csv', 'ndjson')),
      starts_at timestamptz not null,
      ends_at timestamptz not null,
      status text not null default 'queued'
        constraint analytics_export_status_check check (status in ('queued', 'active', 'completed', 'failed')),
      attempt int not null default 0,
      due_at timestamptz default now(),
      row_count bigint,
      size_bytes bigint,
      problem json,
      created_at timestamptz not null default now(),
      finished_at timestamptz,
      expires_at timestamptz not null,
      primary key (workspace_id, id)
    )`);
    this.addSql('create index analytics_export_due on analytics_export (due_at) where due_at is not null');
    this.addSql('create index analytics_export_expired on analytics_export (expires_at)');
    this.addSql(`create table analytics_export_chunk (
      workspace_id uuid not null,
      export_id uuid not null,
      attempt int not null,
      chunk_no int not null,
      content bytea not null,
      primary key (workspace_id, export_id, attempt, chunk_no),
      constraint analytics_export_chunk_export_foreign foreign key (workspace_id, export_id)
        references analytics_export (workspace_id, id) on delete cascade
    )`);
    for (const table of ['mark', 'hourly', 'daily', 'state', 'export', 'export_chunk'])
      for (const sql of tenantTable(`analytics_${table}`)) this.addSql(sql);
    this.addSql('create index job_ended on job (workspace_id, finished_at) where finished_at is not null');
    for (const sql of [CALLS_MADE, JOB_COUNTED, ZONE_CHANGED]) this.addSql(sql);
    this.addSql(`create trigger counted after insert on ai_usage_log referencing new table as fact
      for each statement execute function calls_made()`);
    this.addSql(`create trigger counted after update of finished_at on job for each row
      when (old.finished_at is null and new.finished_at is not null) execute function job_counted()`);
    this.addSql(`create trigger zone_changed after update of time_zone on workspace for each row
      when (old.time_zone is distinct from new.time_zone) execute function zone_changed()`);
    // What happened so far is counted like what comes: the owner is behind the walls too, so they are opened for the statement.
    for (const table of ['workspace', 'analytics_mark'])
      this.addSql(`alter table ${table} no force row level security`);
    this.addSql(`insert into analytics_mark (workspace_id, hour, hours)
      select id, date_trunc('hour', created_at, 'UTC'), 1 + ceil(extract(epoch from now() - created_at) / 3600)::int
      from workspace where deleted_at is null`);
    for (const table of ['workspace', 'analytics_mark']) this.addSql(`alter table ${table} force row level security`);
  }

  override down(): void {
    this.addSql('drop trigger zone_changed on workspace');
    this.addSql('drop trigger counted on job');
    this.addSql('drop trigger counted on ai_usage_log');
    this.addSql('drop function calls_made, job_counted, zone_changed');
    this.addSql('drop index job_ended');
    this
      .addSql(`drop table analytics_export_chunk, analytics_export, analytics_state, analytics_daily, analytics_hourly,
      analytics_mark`);
  }
}
