import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

// Begins a transaction of a request that has an Idempotency-Key: in place of the statement that sets the transaction's scope, so it costs no
// round trip. The lock is held until the transaction ends, which is after all others see what it wrote; who finds it taken is told so and
// keeps no connection waiting. Functions that may write see what was committed before each of their statements, so a row of the one who
// had the lock is found. Of what is still without an answer a minute after it was done, the process has died.
const ENTER = `create function idempotency_enter(
  own_workspace uuid, own_user uuid, own_route text, own_key text, own_hash bytea, own_id uuid, scope_workspace text, scope_user text)
returns table (outcome text, id uuid, answer text) language plpgsql as $$
declare
  known idempotent_request;
begin
  perform set_config('app.workspace_id', own_workspace::text, true);
  if not pg_try_advisory_xact_lock(hashtextextended(concat_ws(' ', own_workspace, own_user, own_route, own_key), 0)) then
    outcome := 'in_progress';
  else
    select * into known from idempotent_request r
      where r.workspace_id = own_workspace and r.user_id = own_user and r.route = own_route and r.key = own_key;
    id := known.id;
    answer := encode(known.answer, 'hex');
    outcome := case
      when known.id is null or known.id = own_id then 'entered'
      when known.request_hash <> own_hash then 'mismatch'
      when known.answer is not null then 'answered'
      when known.is_over or known.created_at < now() - interval '1 minute' then 'unknown'
      else 'in_progress' end;
  end if;
  perform set_config('app.workspace_id', scope_workspace, true), set_config('app.user_id', scope_user, true);
  return next;
end $$`;

// Ends it. What wrote nothing (and so has no transaction id) leaves nothing behind: it may be done again. Whatever came between two
// transactions of one request, the key has room for one of those who used it.
const NOTE = `create function idempotency_note(
  own_workspace uuid, own_user uuid, own_route text, own_key text, own_hash bytea, own_id uuid)
returns text language plpgsql as $$
declare
  scope_workspace text := current_setting('app.workspace_id', true);
  outcome text := 'noted';
begin
  if pg_current_xact_id_if_assigned() is null then
    return 'unchanged';
  end if;
  perform set_config('app.workspace_id', own_workspace::text, true);
  insert into idempotent_request (workspace_id, user_id, route, key, request_hash, id)
    values (own_workspace, own_user, own_route, own_key, own_hash, own_id) on conflict do nothing;
  if not found and not exists (select from idempotent_request r where r.workspace_id = own_workspace and r.user_id = own_user
    and r.route = own_route and r.key = own_key and r.id = own_id) then
    outcome := 'taken';
  end if;
  perform set_config('app.workspace_id', scope_workspace, true);
  return outcome;
end $$`;

/** Requests that changed something under an Idempotency-Key, with what they were answered. */
export class IdempotentRequests extends Migration {
  override up(): void {
    this.addSql(`create table idempotent_request (
      workspace_id uuid not null references workspace (id) on delete cascade,
      user_id uuid not null,
      route text not null,
      key text not null,
      id uuid not null,
      request_hash bytea not null,
      answer bytea,
      is_over boolean not null default false,
      created_at timestamptz not null default now(),
      primary key (workspace_id, user_id, route, key)
    )`);
    this.addSql('create index idempotent_request_created on idempotent_request (created_at)');
    for (const statement of tenantTable('idempotent_request')) this.addSql(statement);
    this.addSql(ENTER);
    this.addSql(NOTE);
  }

  override down(): void {
    this.addSql('drop function idempotency_enter, idempotency_note');
    this.addSql('drop table idempotent_request');
  }
}
