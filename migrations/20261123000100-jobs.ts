import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

// The three statements a job costs take a whole batch, in key order, so that processes queue up instead of deadlocking. As functions
// their parts are planned once per connection and run without the set-up of one statement with twenty joins, which for a batch of
// one took several times the work itself. Each sets the workspace it works for before it touches a row, as any transaction does.

// The account's lock makes the rest of a workspace's accepts wait, so looking a key up and taking it cannot be raced.
const ACCEPT = `create function job_accept(
  workspace_ids uuid[], ids uuid[], user_ids uuid[], queues text[], engines text[], bands text[], inputs text[], options text[],
  request_ids text[], max_attempts int[], holds bigint[], routes text[], keys text[], body_hashes bytea[])
returns table (i int, outcome text, job_id uuid, balance bigint) language plpgsql as $$
declare
  n record;
  known record;
  account uuid;
  available bigint;
  spent bigint := 0;
begin
  for n in
    select * from unnest(workspace_ids, ids, user_ids, queues, engines, bands, inputs, options, request_ids, max_attempts, holds,
      routes, keys, body_hashes) with ordinality
      as t (workspace_id, id, user_id, queue, engine, band, input, options, request_id, max_attempts, hold, route, key, body_hash, at)
    order by t.workspace_id, t.at
  loop
    if n.workspace_id is distinct from account then
      if spent > 0 then
        update credit_account a set balance = a.balance - spent, held = a.held + spent where a.workspace_id = account;
      end if;
      account := n.workspace_id;
      spent := 0;
      perform set_config('app.workspace_id', account::text, true);
      select a.balance into available from credit_account a where a.workspace_id = account for update;
    end if;
    i := n.at;
    job_id := n.id;
    balance := available - spent;
    if n.key is not null then
      select k.job_id, k.body_hash = n.body_hash as is_same into known
        from idempotency k where k.workspace_id = account and k.route = n.route and k.key = n.key;
      if found then
        job_id := known.job_id;
        outcome := case when known.is_same then 'replayed' else 'mismatch' end;
        return next;
        continue;
      end if;
    end if;
    if available is null then
      outcome := 'gone';
    elsif n.hold > balance then
      outcome := 'too_dear';
    else
      insert into job (workspace_id, id, user_id, queue, engine, band, input, options, request_id, max_attempts, credit_held)
        values (account, n.id, n.user_id, n.queue, n.engine, n.band, n.input::json, n.options::json, n.request_id, n.max_attempts,
          n.hold);
      if n.key is not null then
        insert into idempotency (workspace_id, route, key, body_hash, job_id)
          values (account, n.route, n.key, n.body_hash, n.id);
      end if;
      spent := spent + n.hold;
      outcome := 'accepted';
    end if;
    return next;
  end loop;
  if spent > 0 then
    update credit_account a set balance = a.balance - spent, held = a.held + spent where a.workspace_id = account;
  end if;
end $$`;

const CLAIM = `create function job_claim(workspace_ids uuid[], ids uuid[], tokens uuid[], lease_ms int)
returns table (
  i int, was text, lease_left_ms int, workspace_id uuid, id uuid, user_id uuid, queue text, engine text, input json, options json,
  request_id text, attempt int, failures int, max_attempts int, is_cancel_requested boolean, lease_token uuid, credit_held bigint,
  queue_ms int) language plpgsql as $$
declare
  n record;
  j job;
begin
  for n in
    select * from unnest(workspace_ids, ids, tokens) with ordinality as t (workspace_id, id, token, at)
    order by t.workspace_id, t.id
  loop
    i := n.at;
    perform set_config('app.workspace_id', n.workspace_id::text, true);
    select * into j from job where job.workspace_id = n.workspace_id and job.id = n.id for update;
    was := j.status;
    id := null;
    lease_left_ms := null;
    if was in ('queued', 'retrying') or (was = 'active' and j.lease_until < now()) then
      update job set status = 'active', attempt = job.attempt + 1, lease_token = n.token,
        lease_until = now() + lease_ms * interval '1 millisecond',
        started_at = coalesce(job.started_at, now()), dispatched_at = coalesce(job.dispatched_at, now())
      where job.workspace_id = n.workspace_id and job.id = n.id
      returning * into j;
      workspace_id := j.workspace_id;
      id := j.id;
      user_id := j.user_id;
      queue := j.queue;
      engine := j.engine;
      input := j.input;
      options := j.options;
      request_id := j.request_id;
      attempt := j.attempt;
      failures := j.failures;
      max_attempts := j.max_attempts;
      is_cancel_requested := j.cancel_requested_at is not null;
      lease_token := j.lease_token;
      credit_held := j.credit_held;
      queue_ms := greatest(0, extract(epoch from now() - j.run_at) * 1000);
    elsif was = 'active' then
      lease_left_ms := greatest(1, extract(epoch from j.lease_until - now()) * 1000);
    end if;
    return next;
  end loop;
end $$`;

const RENEW = `create function job_renew(workspace_ids uuid[], ids uuid[], tokens uuid[], lease_ms int)
returns table (token uuid, is_cancel_requested boolean) language plpgsql as $$
declare
  n record;
begin
  for n in
    select * from unnest(workspace_ids, ids, tokens) as t (workspace_id, id, token) order by t.workspace_id, t.id
  loop
    perform set_config('app.workspace_id', n.workspace_id::text, true);
    update job set lease_until = now() + lease_ms * interval '1 millisecond'
    where job.workspace_id = n.workspace_id and job.id = n.id and job.lease_token = n.token and job.status = 'active'
    returning job.lease_token, job.cancel_requested_at is not null into token, is_cancel_requested;
    if found then
      return next;
    end if;
  end loop;
end $$`;

// Job rows are locked before accounts, each in key order. Nothing that holds an account's lock waits for a job row another worker
// holds, so accept, claim, finish and cancel cannot wait for each other in a circle.
const FINISH = `create function job_finish(
  workspace_ids uuid[], ids uuid[], tokens uuid[], statuses text[], results text[], problems text[], streamed_texts text[],
  usages text[], charges bigint[], delays_ms int[], are_failures boolean[])
returns setof job language plpgsql as $$
declare
  n record;
  a record;
  j job;
  accounts uuid[] := '{}';
  held_amounts bigint[] := '{}';
  charged_amounts bigint[] := '{}';
begin
  for n in
    select * from unnest(workspace_ids, ids, tokens, statuses, results, problems, streamed_texts, usages, charges, delays_ms,
      are_failures) as t (workspace_id, id, token, status, result, problem, streamed_text, usage, charge, delay_ms, is_failure)
    order by t.workspace_id, t.id
  loop
    perform set_config('app.workspace_id', n.workspace_id::text, true);
    -- A cancel that the worker has not heard of must not wait for the retry.
    if n.status = 'retrying' then
      perform from job where job.workspace_id = n.workspace_id and job.id = n.id for update;
      if exists (select from job where job.workspace_id = n.workspace_id and job.id = n.id and job.cancel_requested_at is not null)
      then
        n.status := 'cancelled';
      else
        n.problem := null;
        n.streamed_text := null;
      end if;
    end if;
    update job set status = n.status, result = n.result::json, problem = n.problem::json, streamed_text = n.streamed_text,
      usage = n.usage::json, lease_token = null, lease_until = null, failures = job.failures + n.is_failure::int,
      run_at = now() + n.delay_ms * interval '1 millisecond',
      finished_at = case when n.status <> 'retrying' then now() end,
      credit_charged = case when n.status <> 'retrying' then least(n.charge, job.credit_held) else 0 end
    where job.workspace_id = n.workspace_id and job.id = n.id and job.lease_token = n.token and job.status = 'active'
    returning * into j;
    continue when not found;
    if j.finished_at is not null and j.credit_held > 0 then
      accounts := accounts || j.workspace_id;
      held_amounts := held_amounts || j.credit_held;
      charged_amounts := charged_amounts || j.credit_charged;
    end if;
    return next j;
  end loop;
  for a in
    select t.workspace_id, sum(t.held)::bigint as held, sum(t.charged)::bigint as charged
    from unnest(accounts, held_amounts, charged_amounts) as t (workspace_id, held, charged)
    group by t.workspace_id order by t.workspace_id
  loop
    perform set_config('app.workspace_id', a.workspace_id::text, true);
    update credit_account c set held = c.held - a.held, balance = c.balance + a.held - a.charged
    where c.workspace_id = a.workspace_id;
  end loop;
end $$`;

/** Jobs and the keys that make accepting them repeatable. `json`, not `jsonb`: it keeps every string a client can send, and is not searched. */
export class Jobs extends Migration {
  override up(): void {
    this.addSql(`create table job (
      workspace_id uuid not null references workspace (id) on delete cascade,
      id uuid not null,
      user_id uuid not null,
      queue text not null,
      engine text not null,
      band text not null check (band in ('interactive', 'high', 'normal', 'low', 'bulk')),
      status text not null default 'queued'
        check (status in ('queued', 'active', 'retrying', 'completed', 'failed', 'cancelled')),
      input json,
      options json not null,
      request_id text not null,
      attempt integer not null default 0,
      failures integer not null default 0,
      max_attempts integer not null,
      lease_token uuid,
      lease_until timestamptz,
      run_at timestamptz not null default now(),
      dispatched_at timestamptz,
      cancel_requested_at timestamptz,
      created_at timestamptz not null default now(),
      started_at timestamptz,
      finished_at timestamptz,
      credit_held bigint not null check (credit_held >= 0),
      credit_charged bigint not null default 0 check (credit_charged between 0 and credit_held),
      result json,
      problem json,
      streamed_text text,
      usage json,
      primary key (workspace_id, id),
      check ((lease_token is null) = (status <> 'active'))
    )`);
    this.addSql(`create index job_undispatched on job (run_at)
      where dispatched_at is null and status in ('queued', 'retrying')`);
    this.addSql(`create index job_waiting on job (dispatched_at)
      where dispatched_at is not null and status in ('queued', 'retrying')`);
    this.addSql(`create index job_leased on job (lease_until) where status = 'active'`);
    this.addSql(`create index job_kept on job (finished_at) where input is not null and finished_at is not null`);

    this.addSql(`create table idempotency (
      workspace_id uuid not null references workspace (id) on delete cascade,
      route text not null,
      key text not null,
      body_hash bytea not null,
      job_id uuid not null,
      created_at timestamptz not null default now(),
      primary key (workspace_id, route, key)
    )`);
    this.addSql(`create index idempotency_created on idempotency (created_at)`);

    for (const table of ['job', 'idempotency']) for (const statement of tenantTable(table)) this.addSql(statement);
    for (const definition of [ACCEPT, CLAIM, RENEW, FINISH]) this.addSql(definition);

    this.addSql(`create table installation (
      only_row boolean primary key default true check (only_row),
      redis_epoch uuid not null default gen_random_uuid()
    )`);
    this.addSql(`insert into installation default values`);
    this.addSql('revoke insert, update, delete on installation from wh_app');
  }

  override down(): void {
    this.addSql(`drop function job_accept, job_claim, job_renew, job_finish`);
    this.addSql(`drop table installation, idempotency, job`);
  }
}
