import { Migration } from '@mikro-orm/migrations';

const THIS_MONTH = `date_trunc('month', now() at time zone 'UTC')::date`;

const ACCEPT_ARGUMENTS = `
  workspace_ids uuid[], ids uuid[], user_ids uuid[], queues text[], engines text[], bands text[], inputs text[], options text[],
  request_ids text[], max_attempts int[], holds bigint[], routes text[], keys text[], body_hashes bytea[]`;

// What a job costs here is one row of credit_reservation, written under the account's lock that was there before. Lots are not touched:
// a hold is of the account as a whole, and which credits pay is decided when they are spent.
const HOLD = `
      elsif n.hold > 0 and n.hold > in_budget - spent then
        outcome := 'over_budget';
        balance := greatest(0, in_budget - spent);
      elsif n.hold > 0 and acc.member_budget is not null
        and n.hold > credit_member_left(account, n.user_id, acc.member_budget) then
        outcome := 'over_member_budget';
        balance := greatest(0, credit_member_left(account, n.user_id, acc.member_budget));`;

/** `job_accept` with reservations and budgets, or as 20261123000100-jobs.ts made it. */
const accept = (isLedger: boolean): string => `create function job_accept(${ACCEPT_ARGUMENTS})
returns table (i int, outcome text, job_id uuid, balance bigint) language plpgsql as $$
declare
  n record;
  known record;
  account uuid;
  available bigint;
  spent bigint := 0;${isLedger ? '\n  acc credit_account;\n  in_budget bigint;' : ''}
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
      ${
        isLedger
          ? `select a.* into acc from credit_account a where a.workspace_id = account for update;
      available := acc.balance;
      in_budget := acc.monthly_budget - acc.held - case when acc.month = ${THIS_MONTH} then acc.month_spent else 0 end;`
          : 'select a.balance into available from credit_account a where a.workspace_id = account for update;'
      }
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
      outcome := 'too_dear';${
        isLedger
          ? `
      if acc.exhausted_at is null and acc.balance + acc.held < acc.low_at then
        acc.exhausted_at := now();
        perform credit_exhausted(account, acc.balance + acc.held);
      end if;${HOLD}`
          : ''
      }
    else
      insert into job (workspace_id, id, user_id, queue, engine, band, input, options, request_id, max_attempts, credit_held)
        values (account, n.id, n.user_id, n.queue, n.engine, n.band, n.input::json, n.options::json, n.request_id, n.max_attempts,
          n.hold);${
            isLedger
              ? `
      if n.hold > 0 then
        insert into credit_reservation (workspace_id, id, user_id, amount) values (account, n.id, n.user_id, n.hold);
      end if;`
              : ''
          }
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

/** `batch_accept` where the parent holds for all and hands it on to its items, or as 20261125000210-batches.ts made it. */
const acceptBatch = (isLedger: boolean): string => `create function batch_accept(
  workspace uuid, parent uuid, by_user uuid, in_queue text, of_engine text, summary text, options text, request text, attempts int,
  route text, key text, body_hash bytea, item_ids uuid[], item_inputs text[], item_holds bigint[])
returns table (outcome text, job_id uuid, balance bigint) language plpgsql as $$
declare
  total bigint := (select coalesce(sum(h), 0) from unnest(item_holds) h);
begin
  select a.outcome, a.job_id, a.balance into outcome, job_id, balance
    from job_accept(array[workspace], array[parent], array[by_user], array[in_queue], array['batch'], array['bulk'], array[summary],
      array[options], array[request], array[1], array[${isLedger ? 'total' : '0::bigint'}], array[route], array[key], array[body_hash]) a;${
        isLedger
          ? ''
          : `
  if outcome = 'accepted' and total > balance then
    delete from idempotency i where i.workspace_id = workspace and i.job_id = parent;
    delete from job j where j.workspace_id = workspace and j.id = parent;
    outcome := 'too_dear';
  end if;`
      }
  if outcome = 'accepted' then
    update job j set status = 'active', lease_token = gen_random_uuid(), lease_until = 'infinity', started_at = now(),
      dispatched_at = now(), attempt = 1${isLedger ? ', credit_held = 0' : ''}
    where j.workspace_id = workspace and j.id = parent;
    insert into job (workspace_id, id, user_id, queue, engine, band, input, options, request_id, max_attempts, credit_held, parent_id, item)
      select workspace, t.id, by_user, in_queue, of_engine, 'bulk', t.input::json, batch_accept.options::json, request, attempts, t.hold,
        parent, t.at - 1
      from unnest(item_ids, item_inputs, item_holds) with ordinality as t (id, input, hold, at);
    ${
      isLedger
        ? `delete from credit_reservation r where r.workspace_id = workspace and r.id = parent;
    insert into credit_reservation (workspace_id, id, user_id, amount)
      select workspace, t.id, by_user, t.hold from unnest(item_ids, item_holds) as t (id, hold) where t.hold > 0;`
        : 'update credit_account a set balance = a.balance - total, held = a.held + total where a.workspace_id = workspace;'
    }
  end if;
  return next;
end $$`;

const FINISH_ARGUMENTS = `workspace_ids uuid[], ids uuid[], tokens uuid[], statuses text[], results text[], problems text[],
  streamed_texts text[], usages text[], charges bigint[], delays_ms int[], are_failures boolean[], calls text[]`;

/** `job_finish` that resolves reservations, or as 20261125000100-ai-usage-log.ts made it. */
const finish = (isLedger: boolean): string => `create function job_finish(${FINISH_ARGUMENTS})
returns setof job language plpgsql as $$
declare
  n record;
  a record;
  j job;
  accounts uuid[] := '{}';
  ${isLedger ? 'job_ids uuid' : 'held_amounts bigint'}[] := '{}';
  charged_amounts bigint[] := '{}';
begin
  for n in
    select * from unnest(workspace_ids, ids, tokens, statuses, results, problems, streamed_texts, usages, charges, delays_ms,
      are_failures, calls) as t (workspace_id, id, token, status, result, problem, streamed_text, usage, charge,
      delay_ms, is_failure, calls)
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
      ${isLedger ? 'job_ids := job_ids || j.id' : 'held_amounts := held_amounts || j.credit_held'};
      charged_amounts := charged_amounts || j.credit_charged;
    end if;
    return next j;
  end loop;
  for a in
    select t.workspace_id, ${
      isLedger
        ? `array_agg(t.id) as ids, array_agg(t.charged) as charged
    from unnest(accounts, job_ids, charged_amounts) as t (workspace_id, id, charged)`
        : `sum(t.held)::bigint as held, sum(t.charged)::bigint as charged
    from unnest(accounts, held_amounts, charged_amounts) as t (workspace_id, held, charged)`
    }
    group by t.workspace_id order by t.workspace_id
  loop
    perform set_config('app.workspace_id', a.workspace_id::text, true);
    ${
      isLedger
        ? `perform credit_resolve(a.workspace_id, a.ids, a.charged, 'release');`
        : `update credit_account c set held = c.held - a.held, balance = c.balance + a.held - a.charged
    where c.workspace_id = a.workspace_id;`
    }
  end loop;
end $$`;

// What there was becomes the first entry and lot, and what open jobs hold their reservations.
const OPENING = [
  `update credit_account a set held = o.held, balance = a.balance + a.held - o.held, last_entry = (a.balance + a.held > 0)::int
  from (select a.workspace_id, coalesce(sum(j.credit_held), 0)::bigint as held from credit_account a
    left join job j on j.workspace_id = a.workspace_id and j.finished_at is null group by a.workspace_id) o
  where o.workspace_id = a.workspace_id`,
  `insert into credit_entry (workspace_id, seq, kind, amount, from_account, to_account, balance_after, ref_id)
  select workspace_id, 1, 'opening', balance + held, 'issued', 'credits', balance + held, workspace_id from credit_account
  where balance + held > 0`,
  `insert into credit_lot (workspace_id, entry, amount, remaining) select workspace_id, 1, balance + held, balance + held
  from credit_account where balance + held > 0`,
  `insert into credit_reservation (workspace_id, id, user_id, amount)
  select workspace_id, id, user_id, credit_held from job where finished_at is null and credit_held > 0`,
];
const OPENED = ['credit_account', 'credit_entry', 'credit_lot', 'credit_reservation', 'job'];

const REPLACED = ['batch_accept', 'job_accept', 'job_finish'];

/** Jobs hold and pay by the ledger; what there was is carried over in the same transaction. */
export class LedgerOfJobs extends Migration {
  override up(): void {
    // The wall is forced for the owner too, who sees every workspace for these statements alone.
    for (const table of OPENED) this.addSql(`alter table ${table} no force row level security`);
    for (const sql of OPENING) this.addSql(sql);
    for (const table of OPENED) this.addSql(`alter table ${table} force row level security`);
    for (const name of REPLACED) this.addSql(`drop function ${name}`);
    for (const define of [accept, acceptBatch, finish]) this.addSql(define(true));
  }

  override down(): void {
    for (const name of REPLACED) this.addSql(`drop function ${name}`);
    for (const define of [accept, acceptBatch, finish]) this.addSql(define(false));
  }
}
