import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

// The canonical text of an entry: a JSON array in a fixed order, its times in UTC to the microsecond, bytes in hex, documents as the text
// they were given in. docs/audit.md describes it, and src/modules/audit/chain.ts builds it a second time to check it.
const CANONICAL = `create function audit_canonical(entry audit_log) returns text language sql stable as $$
  select json_build_array(
    entry.workspace_id, entry.seq, entry.id, to_char(entry.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    entry.actor_kind, entry.actor_id, entry.action, entry.target_type, entry.target_id, entry.before::text, entry.after::text,
    entry.ip, entry.user_agent, entry.request_id, encode(entry.prev_hash, 'hex'))::text $$`;

// Runs with the rights of the owner, whom row-level security may not bind (a superuser), so the workspace is never a parameter.
// The head is locked until the transaction ends: entries of one workspace are written one after the other, without gaps.
const APPEND = `create function audit_append(
  p_id uuid, p_actor_kind text, p_actor_id uuid, p_action text, p_target_type text, p_target_id text,
  p_before json, p_after json, p_ip text, p_user_agent text, p_request_id text
) returns bigint language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
  ws constant uuid := current_workspace();
  head audit_head;
  entry audit_log;
begin
  if ws is null then
    raise exception 'audit_append: no workspace is set' using errcode = 'insufficient_privilege';
  end if;
  insert into audit_head (workspace_id, seq, hash) values (ws, 0, '') on conflict do nothing;
  select * into strict head from audit_head where workspace_id = ws for update;
  entry := row(ws, head.seq + 1, p_id, clock_timestamp(), p_actor_kind, p_actor_id, p_action, p_target_type, p_target_id,
    p_before, p_after, p_ip, p_user_agent, p_request_id, head.hash, '')::audit_log;
  entry.hash := sha256(convert_to(audit_canonical(entry), 'UTF8'));
  insert into audit_log select entry.*;
  update audit_head set seq = entry.seq, hash = entry.hash where workspace_id = ws;
  return entry.seq;
end $$`;

const REFUSE = `create function audit_refuse() returns trigger language plpgsql as $$
begin
  raise exception 'Entries of the audit log are never changed or removed' using errcode = 'insufficient_privilege';
end $$`;

/**
 * Who did what in a workspace: a chain of entries, each with the hash of the one before it. Entries outlive what they speak of, so nothing
 * here refers to another table.
 */
export class Audit extends Migration {
  override up(): void {
    this.addSql(`create table audit_log (
      workspace_id uuid not null,
      seq bigint not null,
      id uuid not null,
      at timestamptz not null,
      actor_kind text not null constraint audit_log_actor_kind_check check (actor_kind in ('session', 'api_key', 'system')),
      actor_id uuid,
      action text not null,
      target_type text,
      target_id text,
      before json,
      after json,
      ip text,
      user_agent text,
      request_id text,
      prev_hash bytea not null,
      hash bytea not null,
      primary key (workspace_id, seq)
    )`);
    this.addSql('create index audit_log_target_index on audit_log (workspace_id, target_type, target_id, seq)');
    this.addSql('create index audit_log_actor_index on audit_log (workspace_id, actor_id, seq)');
    this.addSql('create index audit_log_at_index on audit_log (workspace_id, at)');
    this.addSql(`create table audit_head (
      workspace_id uuid primary key,
      seq bigint not null,
      hash bytea not null
    )`);
    for (const table of ['audit_log', 'audit_head']) for (const sql of tenantTable(table)) this.addSql(sql);
    for (const sql of [CANONICAL, APPEND, REFUSE]) this.addSql(sql);
    this.addSql(`create trigger audit_log_append_only before update or delete or truncate on audit_log
      for each statement execute function audit_refuse()`);
    this.addSql('revoke insert, update, delete, truncate on audit_log, audit_head from wh_app, wh_system');
    this.addSql(`revoke execute on function audit_append from public`);
    this.addSql(`grant execute on function audit_append to wh_app, wh_system`);
  }

  override down(): void {
    this.addSql('drop function audit_append, audit_canonical');
    this.addSql('drop table audit_log, audit_head');
    this.addSql('drop function audit_refuse');
  }
}
