import { Migration } from '@mikro-orm/migrations';

const THIS_MONTH = `date_trunc('month', now() at time zone 'UTC')::date`;
/** Once in a call: each statement would set the expression up anew. */
const MONTHS = `this_month date := ${THIS_MONTH};
  next_month date := this_month + interval '1 month';`;

/** What was spent this month. One that lies ahead is that of a clock which was set back over its beginning: it still counts. */
const spent = (account: string, isKept: boolean): string =>
  `case when ${account}.month ${isKept ? 'in (this_month, next_month)' : `= ${THIS_MONTH}`} then ${account}.month_spent else 0 end`;

const settle = (isKept: boolean): string => `${
  isKept
    ? `if cardinality(held_ids) > 0 then
        insert into credit_reservation (workspace_id, id, user_id, amount)
        select account, t.id, t.user_id, t.amount from unnest(held_ids, held_user_ids, held_amounts) as t (id, user_id, amount);
        held_ids := '{}';
        held_user_ids := '{}';
        held_amounts := '{}';
      end if;
      `
    : ''
}if spent <> taken then
        update credit_account a set balance = a.balance + taken - spent, held = a.held - taken + spent where a.workspace_id = account;
      end if;`;

// One conditional update says whether there is enough for all of a workspace's jobs, takes it and locks the account. Where it finds nothing, or
// a budget of members must be counted, each job is looked at under the lock. What was taken for jobs that turn out to be repeated goes back.
const take = (isKept: boolean): string => `taken := 0;
      available := null;
      acc := null;
      if n.total > 0 then
        update credit_account a set balance = a.balance - n.total, held = a.held + n.total
        where a.workspace_id = account and a.balance >= n.total and a.member_budget is null
          and (a.monthly_budget is null or n.total <= a.monthly_budget - a.held
            - ${spent('a', isKept)})
        returning old.balance into available;
      end if;
      if available is not null then
        taken := n.total;
        in_budget := null;
      else
        select a.* into acc from credit_account a where a.workspace_id = account for update;
        available := acc.balance;
        in_budget := acc.monthly_budget - acc.held - ${spent('acc', isKept)};
      end if;`;

const accept = (isKept: boolean): string => `create function job_accept(
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
  in_budget bigint;
  taken bigint := 0;
  entered text;${
    isKept
      ? `
  held_ids uuid[] := '{}';
  held_user_ids uuid[] := '{}';
  held_amounts bigint[] := '{}';
  ${MONTHS}`
      : ''
  }
begin
  for n in
    select t.*, sum(t.hold) over (partition by t.workspace_id)::bigint as total${
      isKept ? ', count(*) over (partition by t.workspace_id) as jobs' : ''
    } from unnest(workspace_ids, ids, user_ids, queues, engines, bands, inputs, options, request_ids, max_attempts, holds,
      routes, keys, body_hashes) with ordinality
      as t (workspace_id, id, user_id, queue, engine, band, input, options, request_id, max_attempts, hold, route, key, body_hash, at)
    order by t.workspace_id, t.at
  loop
    if n.workspace_id is distinct from account then
      ${settle(isKept)}
      account := n.workspace_id;
      spent := 0;
      entered := set_config('app.workspace_id', account::text, true);
      ${take(isKept)}
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
      ${
        isKept
          ? `if taken > 0 and n.jobs > 1 and n.hold > 0 then
        held_ids := held_ids || n.id;
        held_user_ids := held_user_ids || n.user_id;
        held_amounts := held_amounts || n.hold;
      elsif`
          : 'if'
      } n.hold > 0 then
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
  ${settle(isKept).replaceAll('\n    ', '\n')}
end $$`;

const moved = (
  isKept: boolean,
  [amount, captured, captures]: [string, string, string],
): string => `held = a.held - ${amount},
        balance = a.balance + ${amount} - ${captured}, last_entry = a.last_entry + ${captures}, month = ${isKept ? 'case when a.month = next_month then next_month else this_month end' : THIS_MONTH},
        month_spent = ${captured} + ${spent('a', isKept)}`;
const MOVED = `returning old.balance + old.held as was, new.balance + new.held as total, new.last_entry, new.low_at, new.member_budget`;

// Ends reservations, each once: what was captured is spent, the rest is free again. Those that are resolved already are passed over. Who ends
// a reservation has it by deleting it, and then takes the account: in this order everybody does, and never the other way round. One job is
// what mostly ends of a workspace in one moment, and costs plain statements; many cost no more of them than one.
const resolve = (
  isKept: boolean,
): string => `create function credit_resolve(workspace uuid, ids uuid[], captures bigint[], why text) returns int language plpgsql as $$
  declare
    gone record;
    acc record;
    one credit_reservation;
    captured bigint;
    ended int := 1;
    paid int := 1;${
      isKept
        ? `
    ${MONTHS}`
        : ''
    }
  begin
    if cardinality(ids) = 1 then
      delete from credit_reservation r where r.workspace_id = workspace and r.id = ids[1] returning r.* into one;
      if not found then
        return 0;
      end if;
      captured := least(captures[1], one.amount);
      update credit_account a set ${moved(isKept, ['one.amount', 'captured', '(captured > 0)::int'])}
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
      update credit_account a set ${moved(isKept, ['gone.amount', 'captured', 'paid'])}
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
      select workspace, e.user_id, ${isKept ? 'this_month' : THIS_MONTH}, sum(e.amount)::bigint from credit_entry e
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

/** A clock that is set back over the end of a month forgets nothing of what a budget allows. */
export class MonthsBehind extends Migration {
  override up(): void {
    this.replace(true);
  }

  override down(): void {
    this.replace(false);
  }

  private replace(isKept: boolean): void {
    for (const name of ['job_accept', 'credit_resolve']) this.addSql(`drop function ${name}`);
    for (const define of [accept, resolve]) this.addSql(define(isKept));
  }
}
