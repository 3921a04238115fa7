import { Migration } from '@mikro-orm/migrations';
import { functionsBefore } from '#src/db/functions-before.ts';
import { JobsTogether } from './20261127001164-jobs-together.ts';

/** What was spent this month. One that lies ahead is that of a clock which was set back over its beginning: it still counts. */
const spent = (account: string): string =>
  `case when ${account}.month in (this_month, next_month) then ${account}.month_spent else 0 end`;

// What a job costs here is one row of credit_reservation. Lots are not touched: a hold is of the account as a whole, and which credits pay is
// decided when they are spent. Setting a statement up (Postgres reads each check of the table anew for it) costs several times what a row
// does, so after each job was looked at, within the wall of its workspace, the rows of all that were accepted are written together, as the
// role that sees all workspaces. The role is taken on when it runs: an owner of the schema need not be able to.
const ACCEPT = `create or replace function job_accept(
  workspace_ids uuid[], ids uuid[], user_ids uuid[], queues text[], engines text[], bands text[], inputs text[], options text[],
  request_ids text[], max_attempts int[], holds bigint[], routes text[], keys text[], body_hashes bytea[])
returns table (i int, outcome text, job_id uuid, balance bigint) language plpgsql as $$
declare
  places int[] := '{1}';
  place int := 1;
  beyond int;
  account uuid;
  total bigint;
  known record;
  available bigint;
  taken bigint;
  spent bigint;
  accepted int[] := '{}';
  reserved int[] := '{}';
  acc credit_account;
  in_budget bigint;
  entered text;
  caller text := current_setting('role');
  -- Once in a call: each statement would set the expression up anew.
  this_month date := date_trunc('month', now() at time zone 'UTC')::date;
  next_month date := this_month + interval '1 month';
begin
  -- In the order of the workspaces' keys. One job is what mostly comes in one moment, and needs no query for it.
  if cardinality(ids) > 1 then
    select array_agg(k order by workspace_ids[k], k) into places from generate_series(1, cardinality(ids)) k;
  end if;
  while place <= cardinality(ids) loop
    account := workspace_ids[places[place]];
    total := 0;
    beyond := place;
    while beyond <= cardinality(ids) and workspace_ids[places[beyond]] is not distinct from account loop
      total := total + holds[places[beyond]];
      beyond := beyond + 1;
    end loop;
    -- One conditional update says whether there is enough for all of a workspace's jobs, takes it and locks the account. Where it finds
    -- nothing, or a budget of members must be counted, each job is looked at under the lock.
    entered := set_config('app.workspace_id', account::text, true);
    taken := 0;
    spent := 0;
    available := null;
    acc := null;
    in_budget := null;
    if total > 0 then
      update credit_account a set balance = a.balance - total, held = a.held + total
      where a.workspace_id = account and a.balance >= total and a.member_budget is null
        and (a.monthly_budget is null or total <= a.monthly_budget - a.held
          - ${spent('a')})
      returning old.balance into available;
    end if;
    if available is not null then
      taken := total;
    else
      select a.* into acc from credit_account a where a.workspace_id = account for update;
      available := acc.balance;
      in_budget := acc.monthly_budget - acc.held - ${spent('acc')};
    end if;
    foreach i in array places[place:beyond - 1] loop
      job_id := ids[i];
      balance := available - spent;
      outcome := 'accepted';
      if keys[i] is not null then
        select k.job_id, k.body_hash = body_hashes[i] as is_same into known
          from idempotency k where k.workspace_id = account and k.route = routes[i] and k.key = keys[i];
        if found then
          job_id := known.job_id;
          outcome := case when known.is_same then 'replayed' else 'mismatch' end;
        end if;
      end if;
      if outcome <> 'accepted' then
        null;
      elsif available is null then
        outcome := 'gone';
      elsif holds[i] > balance then
        outcome := 'too_dear';
        if acc.exhausted_at is null and acc.balance + acc.held < acc.low_at then
          acc.exhausted_at := now();
          perform credit_exhausted(account, acc.balance + acc.held);
        end if;
      elsif holds[i] > 0 and holds[i] > in_budget - spent then
        outcome := 'over_budget';
        balance := greatest(0, in_budget - spent);
      elsif holds[i] > 0 and acc.member_budget is not null
        and holds[i] > credit_member_left(account, user_ids[i], acc.member_budget) then
        outcome := 'over_member_budget';
        balance := greatest(0, credit_member_left(account, user_ids[i], acc.member_budget));
      else
        if holds[i] > 0 then
          -- What members have left is counted from what is written.
          if acc.member_budget is not null then
            insert into credit_reservation (workspace_id, id, user_id, amount) values (account, ids[i], user_ids[i], holds[i]);
          else
            reserved := reserved || i;
          end if;
        end if;
        if keys[i] is not null then
          insert into idempotency (workspace_id, route, key, body_hash, job_id)
            values (account, routes[i], keys[i], body_hashes[i], ids[i]);
        end if;
        accepted := accepted || i;
        spent := spent + holds[i];
      end if;
      return next;
    end loop;
    -- What was taken for jobs that turned out to be repeated goes back.
    if spent <> taken then
      update credit_account a set balance = a.balance + taken - spent, held = a.held - taken + spent where a.workspace_id = account;
    end if;
    place := beyond;
  end loop;
  entered := set_config('role', 'wh_system', true);
  if cardinality(accepted) > 0 then
    insert into job (workspace_id, id, user_id, queue, engine, band, input, options, request_id, max_attempts, credit_held)
    select workspace_ids[k], ids[k], user_ids[k], queues[k], engines[k], bands[k], inputs[k]::json, options[k]::json, request_ids[k],
      max_attempts[k], holds[k]
    from unnest(accepted) k;
  end if;
  if cardinality(reserved) > 0 then
    insert into credit_reservation (workspace_id, id, user_id, amount)
    select workspace_ids[k], ids[k], user_ids[k], holds[k] from unnest(reserved) k;
  end if;
  entered := set_config('role', caller, true);
end $$`;

// Mostly the job waits, and needs no look before it is taken.
const CLAIM = `create or replace function job_claim(workspace_ids uuid[], ids uuid[], tokens uuid[], lease_ms int)
returns table (
  i int, was text, lease_left_ms int, workspace_id uuid, id uuid, user_id uuid, queue text, engine text, input json, options json,
  request_id text, attempt int, failures int, max_attempts int, is_cancel_requested boolean, lease_token uuid, credit_held bigint,
  queue_ms int, since_start_ms int) language plpgsql as $$
declare
  n record;
  entered text;
begin
  for n in
    select * from unnest(workspace_ids, ids, tokens) with ordinality as t (workspace_id, id, token, at)
    order by t.workspace_id, t.id
  loop
    i := n.at;
    lease_left_ms := null;
    entered := set_config('app.workspace_id', n.workspace_id::text, true);
    update job j set status = 'active', attempt = j.attempt + 1, lease_token = n.token,
      lease_until = now() + lease_ms * interval '1 millisecond',
      started_at = coalesce(j.started_at, now()), dispatched_at = coalesce(j.dispatched_at, now())
    where j.workspace_id = n.workspace_id and j.id = n.id
      and (j.status in ('queued', 'retrying') or (j.status = 'active' and j.lease_until < now()))
    returning old.status, new.workspace_id, new.id, new.user_id, new.queue, new.engine, new.input, new.options, new.request_id, new.attempt,
      new.failures, new.max_attempts, new.cancel_requested_at is not null, new.lease_token, new.credit_held,
      greatest(0, extract(epoch from now() - new.run_at) * 1000),
      least(2147483647, greatest(0, extract(epoch from now() - new.started_at) * 1000))
    into was, workspace_id, id, user_id, queue, engine, input, options, request_id, attempt, failures, max_attempts, is_cancel_requested,
      lease_token, credit_held, queue_ms, since_start_ms;
    if not found then
      -- Given back since, it is asked for again at once.
      select j.status, case when j.finished_at is null then greatest(1, extract(epoch from j.lease_until - now()) * 1000) end
      into was, lease_left_ms from job j where j.workspace_id = n.workspace_id and j.id = n.id;
    end if;
    return next;
  end loop;
end $$`;

// As the role that sees all workspaces, for jobs of several to be settled together: each is found by its key and the token of its lease, and
// what is written beside it has its workspace. The role is taken on when it runs: an owner of the schema need not be able to.
const FINISH = `create or replace function job_finish(
  workspace_ids uuid[], ids uuid[], tokens uuid[], statuses text[], results text[], problems text[],
  streamed_texts text[], usages text[], charges bigint[], delays_ms int[], are_failures boolean[], calls text[])
returns setof job language plpgsql as $$
declare
  n record;
  j job;
  accounts uuid[] := '{}';
  job_ids uuid[] := '{}';
  charged_amounts bigint[] := '{}';
  resolved int;
  caller text := current_setting('role');
  entered text := set_config('role', 'wh_system', true);
begin
  for n in
    select * from unnest(workspace_ids, ids, tokens, statuses, results, problems, streamed_texts, usages, charges, delays_ms,
      are_failures, calls) as t (workspace_id, id, token, status, result, problem, streamed_text, usage, charge,
      delay_ms, is_failure, calls)
    order by t.workspace_id, t.id
  loop
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
    if n.calls is not null then
      insert into ai_usage_log (workspace_id, job_id, attempt_no, call_no, user_id, engine, strategy, provider, model, key_owner, outcome,
        failure, fallback_from, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, is_estimated,
        cost_nano, credits, price_version, latency_ms, ttft_ms, started_at)
      select j.workspace_id, j.id, j.attempt, c.call_no, j.user_id, j.engine, c.strategy, c.provider, c.model, c.key_owner, c.outcome,
        c.failure, c.fallback_from, c.input_tokens, c.cached_input_tokens, c.cache_write_tokens, c.output_tokens, c.reasoning_tokens,
        c.is_estimated, c.cost_nano, case when c.is_paid then j.credit_charged else 0 end, c.price_version, c.latency_ms, c.ttft_ms,
        to_timestamp(c.started_at_ms / 1000.0)
      from jsonb_to_recordset(n.calls::jsonb) as c (call_no int, strategy text, provider text, model text, key_owner text, outcome text,
        failure text, fallback_from text, input_tokens bigint, cached_input_tokens bigint, cache_write_tokens bigint,
        output_tokens bigint, reasoning_tokens bigint, is_estimated boolean, is_paid boolean, cost_nano bigint, price_version text,
        latency_ms int, ttft_ms int, started_at_ms bigint);
    end if;
    if j.finished_at is not null and j.credit_held > 0 then
      accounts := accounts || j.workspace_id;
      job_ids := job_ids || j.id;
      charged_amounts := charged_amounts || j.credit_charged;
    end if;
    return next j;
  end loop;
  if cardinality(accounts) > 0 then
    resolved := credit_settle(accounts, job_ids, charged_amounts, 'release');
  end if;
  entered := set_config('role', caller, true);
end $$`;

/** The rows of accepted jobs of several workspaces are written together too. Nothing of a table changes, and nobody waits for it. */
export class AcceptsTogether extends Migration {
  override up(): void {
    for (const sql of [ACCEPT, CLAIM, FINISH]) this.addSql(sql);
  }

  override down(): void {
    const earlier = [new JobsTogether(this.driver, this.config)];
    for (const sql of functionsBefore(earlier, ['job_accept', 'job_claim', 'job_finish'])) this.addSql(sql);
  }
}
