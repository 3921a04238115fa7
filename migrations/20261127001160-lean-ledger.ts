import { Migration } from '@mikro-orm/migrations';

const THIS_MONTH = `date_trunc('month', now() at time zone 'UTC')::date`;

/** An assignment is an expression; `perform` is a query, whose set-up is most of what it costs. */
const enter = (isLean: boolean, workspace: string): string =>
  isLean
    ? `entered := set_config('app.workspace_id', ${workspace}::text, true)`
    : `perform set_config('app.workspace_id', ${workspace}::text, true)`;

const SETTLE = `if spent <> taken then
        update credit_account a set balance = a.balance + taken - spent, held = a.held - taken + spent where a.workspace_id = account;
      end if;`;

// One conditional update says whether there is enough for all of a workspace's jobs, takes it and locks the account. Where it finds nothing, or
// a budget of members must be counted, each job is looked at under the lock. What was taken for jobs that turn out to be repeated goes back.
const TAKE = `taken := 0;
      available := null;
      acc := null;
      if n.total > 0 then
        update credit_account a set balance = a.balance - n.total, held = a.held + n.total
        where a.workspace_id = account and a.balance >= n.total and a.member_budget is null
          and (a.monthly_budget is null or n.total <= a.monthly_budget - a.held
            - case when a.month = ${THIS_MONTH} then a.month_spent else 0 end)
        returning old.balance into available;
      end if;
      if available is not null then
        taken := n.total;
        in_budget := null;
      else
        select a.* into acc from credit_account a where a.workspace_id = account for update;
        available := acc.balance;
        in_budget := acc.monthly_budget - acc.held - case when acc.month = ${THIS_MONTH} then acc.month_spent else 0 end;
      end if;`;

const accept = (isLean: boolean): string => `create function job_accept(
  workspace_ids uuid[], ids uuid[], user_ids uuid[], queues text[], engines text[], bands text[], inputs text[], options text[],
  request_ids text[], max_attempts int[], holds bigint[], routes text[], keys text[], body_hashes bytea[])
returns table (i int, outcome text, job_id uuid, balance bigint) language plpgsql as $$
declare
  n record;
  known record;
  account uuid;
  available bigint;
  spent bigint := 0;
  acc credit_account;
  in_budget bigint;${isLean ? '\n  taken bigint := 0;\n  entered text;' : ''}
begin
  for n in
    select ${isLean ? 't.*, sum(t.hold) over (partition by t.workspace_id)::bigint as total' : '*'} from unnest(workspace_ids, ids, user_ids, queues, engines, bands, inputs, options, request_ids, max_attempts, holds,
      routes, keys, body_hashes) with ordinality
      as t (workspace_id, id, user_id, queue, engine, band, input, options, request_id, max_attempts, hold, route, key, body_hash, at)
    order by t.workspace_id, t.at
  loop
    if n.workspace_id is distinct from account then
      ${
        isLean
          ? SETTLE
          : `if spent > 0 then
        update credit_account a set balance = a.balance - spent, held = a.held + spent where a.workspace_id = account;
      end if;`
      }
      account := n.workspace_id;
      spent := 0;
      ${enter(isLean, 'account')};
      ${
        isLean
          ? TAKE
          : `select a.* into acc from credit_account a where a.workspace_id = account for update;
      available := acc.balance;
      in_budget := acc.monthly_budget - acc.held - case when acc.month = ${THIS_MONTH} then acc.month_spent else 0 end;`
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
      outcome := 'too_dear';
      if acc.exhausted_at is null and acc.balance + acc.held < acc.low_at then
        acc.exhausted_at := now();
        perform credit_exhausted(account, acc.balance + acc.held);
      end if;
      elsif n.hold > 0 and n.hold > in_budget - spent then
        outcome := 'over_budget';
        balance := greatest(0, in_budget - spent);
      elsif n.hold > 0 and acc.member_budget is not null
        and n.hold > credit_member_left(account, n.user_id, acc.member_budget) then
        outcome := 'over_member_budget';
        balance := greatest(0, credit_member_left(account, n.user_id, acc.member_budget));
    else
      insert into job (workspace_id, id, user_id, queue, engine, band, input, options, request_id, max_attempts, credit_held)
        values (account, n.id, n.user_id, n.queue, n.engine, n.band, n.input::json, n.options::json, n.request_id, n.max_attempts,
          n.hold);
      if n.hold > 0 then
        insert into credit_reservation (workspace_id, id, user_id, amount) values (account, n.id, n.user_id, n.hold);
      end if;
      if n.key is not null then
        insert into idempotency (workspace_id, route, key, body_hash, job_id)
          values (account, n.route, n.key, n.body_hash, n.id);
      end if;
      spent := spent + n.hold;
      outcome := 'accepted';
    end if;
    return next;
  end loop;
  ${
    isLean
      ? SETTLE.replaceAll('\n    ', '\n')
      : `if spent > 0 then
    update credit_account a set balance = a.balance - spent, held = a.held + spent where a.workspace_id = account;
  end if;`
  }
end $$`;

const finish = (isLean: boolean): string => `create function job_finish(
  workspace_ids uuid[], ids uuid[], tokens uuid[], statuses text[], results text[], problems text[],
  streamed_texts text[], usages text[], charges bigint[], delays_ms int[], are_failures boolean[], calls text[])
returns setof job language plpgsql as $$
declare
  n record;
  a record;
  j job;
  accounts uuid[] := '{}';
  job_ids uuid[] := '{}';
  charged_amounts bigint[] := '{}';${isLean ? '\n  entered text;\n  resolved int;' : ''}
begin
  for n in
    select * from unnest(workspace_ids, ids, tokens, statuses, results, problems, streamed_texts, usages, charges, delays_ms,
      are_failures, calls) as t (workspace_id, id, token, status, result, problem, streamed_text, usage, charge,
      delay_ms, is_failure, calls)
    order by t.workspace_id, t.id
  loop
    ${enter(isLean, 'n.workspace_id')};
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
  for a in
    select t.workspace_id, array_agg(t.id) as ids, array_agg(t.charged) as charged
    from unnest(accounts, job_ids, charged_amounts) as t (workspace_id, id, charged)
    group by t.workspace_id order by t.workspace_id
  loop
    ${enter(isLean, 'a.workspace_id')};
    ${isLean ? 'resolved :=' : 'perform'} credit_resolve(a.workspace_id, a.ids, a.charged, 'release');
  end loop;
end $$`;

const moved = (amount: string, captured: string, captures: string): string => `held = a.held - ${amount},
        balance = a.balance + ${amount} - ${captured}, last_entry = a.last_entry + ${captures}, month = ${THIS_MONTH},
        month_spent = ${captured} + case when a.month = ${THIS_MONTH} then a.month_spent else 0 end`;
const MOVED = `returning old.balance + old.held as was, new.balance + new.held as total, new.last_entry, new.low_at, new.member_budget`;

// Ends reservations, each once: what was captured is spent, the rest is free again. Those that are resolved already are passed over. Who ends
// a reservation has it by deleting it, and then takes the account: in this order everybody does, and never the other way round. One job is
// what mostly ends of a workspace in one moment, and costs plain statements; many cost no more of them than one.
const RESOLVE = `create function credit_resolve(workspace uuid, ids uuid[], captures bigint[], why text) returns int language plpgsql as $$
  declare
    gone record;
    acc record;
    one credit_reservation;
    captured bigint;
    ended int := 1;
    paid int := 1;
  begin
    if cardinality(ids) = 1 then
      delete from credit_reservation r where r.workspace_id = workspace and r.id = ids[1] returning r.* into one;
      if not found then
        return 0;
      end if;
      captured := least(captures[1], one.amount);
      update credit_account a set ${moved('one.amount', 'captured', '(captured > 0)::int')}
      where a.workspace_id = workspace ${MOVED} into acc;
      insert into credit_resolution (workspace_id, reservation_id, kind, amount, captured)
      values (workspace, one.id, case when captured > 0 then 'capture' else why end, one.amount, captured);
      if captured = 0 then
        return 1;
      end if;
      insert into credit_entry (workspace_id, seq, kind, amount, from_account, to_account, balance_after, ref_id, user_id)
      values (workspace, acc.last_entry, 'capture', captured, 'credits', 'spent', acc.total, one.id, one.user_id);
    else
      with deleted as (
        delete from credit_reservation r using unnest(ids, captures) as t (id, captured)
        where r.workspace_id = workspace and r.id = t.id
        returning r.id, r.user_id, r.amount, least(t.captured, r.amount) as captured
      )
      select count(*)::int as count, coalesce(sum(d.amount), 0)::bigint as amount, coalesce(sum(d.captured), 0)::bigint as captured,
        count(*) filter (where d.captured > 0)::int as paid, array_agg(d.id order by d.id) as ids,
        array_agg(d.user_id order by d.id) as user_ids, array_agg(d.amount order by d.id) as amounts,
        array_agg(d.captured order by d.id) as all_captured into gone from deleted d;
      if gone.count = 0 then
        return 0;
      end if;
      captured := gone.captured;
      ended := gone.count;
      paid := gone.paid;
      update credit_account a set ${moved('gone.amount', 'captured', 'paid')}
      where a.workspace_id = workspace ${MOVED} into acc;
      insert into credit_resolution (workspace_id, reservation_id, kind, amount, captured)
      select workspace, t.id, case when t.captured > 0 then 'capture' else why end, t.amount, t.captured
      from unnest(gone.ids, gone.amounts, gone.all_captured) as t (id, amount, captured);
      if captured = 0 then
        return ended;
      end if;
      insert into credit_entry (workspace_id, seq, kind, amount, from_account, to_account, balance_after, ref_id, user_id)
      select workspace, acc.last_entry - paid + row_number() over w, 'capture', t.captured, 'credits', 'spent',
        acc.was - (sum(t.captured) over w)::bigint, t.id, t.user_id
      from unnest(gone.ids, gone.user_ids, gone.all_captured) as t (id, user_id, captured)
      where t.captured > 0 window w as (order by t.id rows unbounded preceding);
    end if;
    if acc.member_budget is not null then
      insert into credit_month as m (workspace_id, user_id, month, spent)
      select workspace, e.user_id, ${THIS_MONTH}, sum(e.amount)::bigint from credit_entry e
      where e.workspace_id = workspace and e.seq > acc.last_entry - paid and e.user_id is not null group by e.user_id
      on conflict (workspace_id, user_id, month) do update set spent = m.spent + excluded.spent;
    end if;
    -- Mostly the first lot pays for all.
    update credit_lot l set remaining = l.remaining - captured
    where l.workspace_id = workspace and l.remaining > captured and l.id = (
      select o.id from credit_lot o where o.workspace_id = workspace and o.emptied_at is null
      order by o.priority, o.expires_at nulls last, o.id limit 1);
    if not found then
      perform credit_spend_lots(workspace, captured);
    end if;
    if acc.total = 0 or (acc.was >= acc.low_at and acc.total < acc.low_at) then
      perform credit_tell(a, acc.was, acc.total) from credit_account a where a.workspace_id = workspace;
    end if;
    return ended;
  end $$`;

const RESOLVE_BEFORE = `create function credit_resolve(workspace uuid, ids uuid[], captures bigint[], why text) returns int language plpgsql as $$
  declare
    acc credit_account;
    sums record;
  begin
    select a.* into acc from credit_account a where a.workspace_id = workspace for update;
    with gone as (
      delete from credit_reservation r using unnest(ids, captures) as t (id, captured)
      where r.workspace_id = workspace and r.id = t.id
      returning r.id, r.user_id, r.amount, least(t.captured, r.amount) as captured
    ), resolved as (
      insert into credit_resolution (workspace_id, reservation_id, kind, amount, captured)
      select workspace, g.id, case when g.captured > 0 then 'capture' else why end, g.amount, g.captured from gone g
    ), booked as (
      insert into credit_entry (workspace_id, seq, kind, amount, from_account, to_account, balance_after, ref_id, user_id)
      select workspace, acc.last_entry + row_number() over w, 'capture', g.captured, 'credits', 'spent',
        acc.balance + acc.held - (sum(g.captured) over w)::bigint, g.id, g.user_id
      from gone g where g.captured > 0 window w as (order by g.id rows unbounded preceding)
    )
    select count(*)::int as count, coalesce(sum(g.amount), 0)::bigint as amount, coalesce(sum(g.captured), 0)::bigint as captured,
      count(*) filter (where g.captured > 0) as captures into sums from gone g;
    if sums.count = 0 then
      return 0;
    end if;
    update credit_account a set held = a.held - sums.amount, balance = a.balance + sums.amount - sums.captured,
      last_entry = a.last_entry + sums.captures, month = ${THIS_MONTH},
      month_spent = sums.captured + case when a.month = ${THIS_MONTH} then a.month_spent else 0 end
    where a.workspace_id = workspace;
    if sums.captured > 0 and acc.member_budget is not null then
      insert into credit_month as m (workspace_id, user_id, month, spent)
      select workspace, e.user_id, ${THIS_MONTH}, sum(e.amount)::bigint from credit_entry e
      where e.workspace_id = workspace and e.seq > acc.last_entry and e.user_id is not null group by e.user_id
      on conflict (workspace_id, user_id, month) do update set spent = m.spent + excluded.spent;
    end if;
    if sums.captured > 0 then
      perform credit_spend_lots(workspace, sums.captured);
      perform credit_tell(acc, acc.balance + acc.held, acc.balance + acc.held - sums.captured);
    end if;
    return sums.count;
  end $$`;

const REPLACED = ['job_accept', 'job_finish', 'credit_resolve'];

/** The same ledger by fewer statements: a hold is one conditional update, and an end needs no lock of the account before it writes it. */
export class LeanLedger extends Migration {
  override up(): void {
    for (const name of REPLACED) this.addSql(`drop function ${name}`);
    for (const sql of [accept(true), finish(true), RESOLVE]) this.addSql(sql);
    // Every job writes the row twice: its versions stay on one page, and no index is written.
    this.addSql('alter table credit_account set (fillfactor = 50)');
  }

  override down(): void {
    this.addSql('alter table credit_account reset (fillfactor)');
    for (const name of REPLACED) this.addSql(`drop function ${name}`);
    for (const sql of [accept(false), finish(false), RESOLVE_BEFORE]) this.addSql(sql);
  }
}
