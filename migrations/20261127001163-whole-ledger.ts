import { Migration } from '@mikro-orm/migrations';
import { functionsBefore } from '#src/db/functions-before.ts';
import { CreditLedger } from './20261127001100-credit-ledger.ts';
import { Subscriptions } from './20261127001130-subscriptions.ts';
import { Disputes } from './20261127001140-disputes.ts';
import { CodesRevoked } from './20261127001152-codes-revoked.ts';
import { LeanLedger } from './20261127001160-lean-ledger.ts';
import { GrantBound } from './20261127001161-grant-bound.ts';
import { MonthsBehind } from './20261127001162-months-behind.ts';

const THIS_MONTH = `date_trunc('month', now() at time zone 'UTC')::date`;
/** What an account may have, in micro-credits: as much as a double tells exactly (2^53 - 1), about nine million dollars. */
const MOST = '9007199254740991';
const CROSSED = 'm.total = 0 or (m.was >= m.low_at and m.total < m.low_at)';

/** What an account is after an end. A month that lies ahead is that of a clock which was set back over its beginning: it still counts. */
const moved = (amount: string, captured: string, captures: string): string => `held = a.held - ${amount},
    balance = a.balance + ${amount} - ${captured}, last_entry = a.last_entry + ${captures},
    month = case when a.month = next_month then next_month else this_month end,
    month_spent = ${captured} + case when a.month in (this_month, next_month) then a.month_spent else 0 end`;

const FUNCTIONS = [
  `create or replace function credit_member_left(workspace uuid, member uuid, budget bigint) returns bigint language sql
  return budget
    - coalesce((select m.spent from credit_month m
        where m.workspace_id = workspace and m.user_id = member and m.month = ${THIS_MONTH}), 0)
    - (select coalesce(sum(r.amount), 0)::bigint from credit_reservation r where r.workspace_id = workspace and r.user_id = member)`,

  `create or replace function credit_exhausted(workspace uuid, total bigint) returns void language plpgsql as $$
begin
  update credit_account a set exhausted_at = now() where a.workspace_id = workspace and a.exhausted_at is null;
  insert into outbox_event (id, workspace_id, type, subject_id, actor_id, data)
  values (uuidv7(), workspace, 'credits.exhausted', null, null, json_build_object('remaining', trim_scale(total / 1e6)));
end $$`,

  // Told at the crossing, which a level below the mark at the start is not.
  `create or replace function credit_tell(acc credit_account, was bigint, total bigint) returns void language plpgsql as $$
begin
  if total = 0 then
    if acc.exhausted_at is null then perform credit_exhausted(acc.workspace_id, total); end if;
  elsif was >= acc.low_at and total < acc.low_at then
    insert into outbox_event (id, workspace_id, type, subject_id, actor_id, data)
    values (uuidv7(), acc.workspace_id, 'credits.low', null, null,
      json_build_object('remaining', trim_scale(total / 1e6), 'lowAt', trim_scale(acc.low_at / 1e6)));
  end if;
end $$`,

  // What was spent of several workspaces, whose accounts are locked.
  `create function credit_spend_lots(workspaces uuid[], spents bigint[]) returns void language sql as $$
  update credit_lot l set remaining = l.remaining - least(l.remaining, o.spent - o.before),
    emptied_at = case when l.remaining <= o.spent - o.before then now() end
  from (
    select c.workspace_id, c.id, t.spent, (sum(c.remaining) over
      (partition by c.workspace_id order by c.priority, c.expires_at nulls last, c.id))::bigint - c.remaining as before
    from unnest(workspaces, spents) as t (workspace_id, spent)
    join credit_lot c on c.workspace_id = t.workspace_id and c.emptied_at is null) o
  where l.workspace_id = o.workspace_id and l.id = o.id and o.before < o.spent
$$`,

  // Ends reservations, of any workspaces the caller may see, each once: what was captured is spent, the rest is free again. Those that are
  // resolved already are passed over. Who ends a reservation has it by deleting it, and then takes the accounts, in the order of their keys: so
  // everybody does, and never the other way round. One job is what mostly ends in one moment, and costs plain statements; many, of however many
  // workspaces, cost a statement of each kind together.
  `create function credit_settle(workspaces uuid[], ids uuid[], captures bigint[], why text) returns int language plpgsql as $$
declare
  gone record;
  acc record;
  one credit_reservation;
  captured bigint;
  -- Once in a call: each statement would set the expression up anew.
  this_month date := ${THIS_MONTH};
  next_month date := this_month + interval '1 month';
begin
  if cardinality(ids) = 1 then
    delete from credit_reservation r where r.workspace_id = workspaces[1] and r.id = ids[1] returning r.* into one;
    if not found then
      return 0;
    end if;
    captured := least(captures[1], one.amount);
    update credit_account a set ${moved('one.amount', 'captured', '(captured > 0)::int')}
    where a.workspace_id = one.workspace_id
    returning old.balance + old.held as was, new.balance + new.held as total, new.last_entry, new.low_at, new.member_budget into acc;
    insert into credit_resolution (workspace_id, reservation_id, kind, amount, captured)
    values (one.workspace_id, one.id, case when captured > 0 then 'capture' else why end, one.amount, captured);
    if captured = 0 then
      return 1;
    end if;
    insert into credit_entry (workspace_id, seq, kind, amount, from_account, to_account, balance_after, ref_id, user_id)
    values (one.workspace_id, acc.last_entry, 'capture', captured, 'credits', 'spent', acc.total, one.id, one.user_id);
    if acc.member_budget is not null then
      insert into credit_month as m (workspace_id, user_id, month, spent) values (one.workspace_id, one.user_id, this_month, captured)
      on conflict (workspace_id, user_id, month) do update set spent = m.spent + excluded.spent;
    end if;
    -- Mostly the first lot pays for all.
    update credit_lot l set remaining = l.remaining - captured
    where l.workspace_id = one.workspace_id and l.remaining > captured and l.id = (
      select o.id from credit_lot o where o.workspace_id = one.workspace_id and o.emptied_at is null
      order by o.priority, o.expires_at nulls last, o.id limit 1);
    if not found then
      perform credit_spend_lots(array[one.workspace_id], array[captured]);
    end if;
    if acc.total = 0 or (acc.was >= acc.low_at and acc.total < acc.low_at) then
      perform credit_tell(a, acc.was, acc.total) from credit_account a where a.workspace_id = one.workspace_id;
    end if;
    return 1;
  end if;

  with deleted as (
    delete from credit_reservation r using unnest(workspaces, ids, captures) as t (workspace_id, id, captured)
    where r.workspace_id = t.workspace_id and r.id = t.id
    returning r.workspace_id, r.id, r.user_id, r.amount, least(t.captured, r.amount) as captured
  )
  select count(*)::int as count, array_agg(d.workspace_id order by d.id) as workspaces, array_agg(d.id order by d.id) as ids,
    array_agg(d.user_id order by d.id) as user_ids, array_agg(d.amount order by d.id) as amounts,
    array_agg(d.captured order by d.id) as captures into gone from deleted d;
  if gone.count = 0 then
    return 0;
  end if;
  perform from credit_account a where a.workspace_id = any(gone.workspaces) order by a.workspace_id for update;
  with moved as (
    update credit_account a set ${moved('t.amount', 't.captured', 't.paid')}
    from (
      select t.workspace_id, sum(t.amount)::bigint as amount, sum(t.captured)::bigint as captured,
        count(*) filter (where t.captured > 0)::int as paid
      from unnest(gone.workspaces, gone.amounts, gone.captures) as t (workspace_id, amount, captured) group by t.workspace_id) t
    where a.workspace_id = t.workspace_id
    returning a.workspace_id, t.captured, old.last_entry, old.balance + old.held as was, new.balance + new.held as total, new.low_at,
      new.member_budget
  ), resolved as (
    insert into credit_resolution (workspace_id, reservation_id, kind, amount, captured)
    select t.workspace_id, t.id, case when t.captured > 0 then 'capture' else why end, t.amount, t.captured
    from unnest(gone.workspaces, gone.ids, gone.amounts, gone.captures) as t (workspace_id, id, amount, captured)
  ), booked as (
    insert into credit_entry (workspace_id, seq, kind, amount, from_account, to_account, balance_after, ref_id, user_id)
    select t.workspace_id, m.last_entry + row_number() over w, 'capture', t.captured, 'credits', 'spent',
      m.was - (sum(t.captured) over w)::bigint, t.id, t.user_id
    from unnest(gone.workspaces, gone.ids, gone.user_ids, gone.captures) as t (workspace_id, id, user_id, captured)
    join moved m on m.workspace_id = t.workspace_id
    where t.captured > 0 window w as (partition by t.workspace_id order by t.id rows unbounded preceding)
  )
  select array_agg(m.workspace_id) as workspaces, array_agg(m.captured) as spents,
    array_agg(m.workspace_id) filter (where m.member_budget is not null) as budgeted,
    array_agg(m.workspace_id) filter (where ${CROSSED}) as telling,
    array_agg(m.was) filter (where ${CROSSED}) as was
  into acc from moved m where m.captured > 0;
  if acc.workspaces is not null then
    perform credit_spend_lots(acc.workspaces, acc.spents);
  end if;
  if acc.budgeted is not null then
    insert into credit_month as m (workspace_id, user_id, month, spent)
    select t.workspace_id, t.user_id, this_month, sum(t.captured)::bigint
    from unnest(gone.workspaces, gone.user_ids, gone.captures) as t (workspace_id, user_id, captured)
    where t.workspace_id = any(acc.budgeted) and t.captured > 0 group by t.workspace_id, t.user_id
    on conflict (workspace_id, user_id, month) do update set spent = m.spent + excluded.spent;
  end if;
  if acc.telling is not null then
    perform credit_tell(a, t.was, a.balance + a.held)
    from unnest(acc.telling, acc.was) as t (workspace_id, was) join credit_account a on a.workspace_id = t.workspace_id;
  end if;
  return gone.count;
end $$`,

  `create or replace function credit_resolve(workspace uuid, ids uuid[], captures bigint[], why text) returns int language sql as $$
  select credit_settle(array_fill(workspace, array[cardinality(ids)]), ids, captures, why)
$$`,

  // Adds credits, once for each kind and reference. Returns what is free then; null when it had been done, or there is no account.
  `create or replace function credit_grant(workspace uuid, why text, granted bigint, ref uuid, lot_expires_at timestamptz, lot_priority int,
  by_user uuid) returns bigint language plpgsql as $$
declare
  acc credit_account;
begin
  select a.* into acc from credit_account a where a.workspace_id = workspace for update;
  if not found then
    return null;
  end if;
  insert into credit_entry (workspace_id, seq, kind, amount, from_account, to_account, balance_after, ref_id, user_id)
  values (workspace, acc.last_entry + 1, why, granted, case why when 'topup' then 'sold' when 'refund' then 'spent' else 'issued' end,
    'credits', acc.balance + acc.held + granted, ref, by_user)
  on conflict (workspace_id, kind, ref_id) where kind in ('opening', 'grant', 'topup', 'refund') do nothing;
  if not found then
    return null;
  end if;
  if granted > ${MOST} - acc.balance - acc.held then
    raise exception 'The account cannot hold so much' using errcode = '22003';
  end if;
  insert into credit_lot (workspace_id, entry, amount, remaining, priority, expires_at)
  values (workspace, acc.last_entry + 1, granted, granted, lot_priority, lot_expires_at);
  update credit_account a set balance = a.balance + granted, last_entry = a.last_entry + 1, exhausted_at = null
  where a.workspace_id = workspace;
  return acc.balance + granted;
end $$`,

  // Gives back what a job was charged, or a part of it, once for each job: an entry the other way round.
  `create or replace function credit_refund(workspace uuid, job uuid, refunded bigint, by_user uuid) returns bigint language plpgsql as $$
declare
  paid bigint := (select r.captured from credit_resolution r where r.workspace_id = workspace and r.reservation_id = job);
begin
  if coalesce(paid, 0) = 0 then
    return null;
  end if;
  return credit_grant(workspace, 'refund', least(paid, coalesce(refunded, paid)), job, null, 0, by_user);
end $$`,

  `create or replace function credit_redeem(workspace uuid, hash bytea, by_user uuid)
returns table (credits bigint, balance bigint) language plpgsql as $$
declare
  ref uuid;
begin
  update topup_code c set used_at = now(), used_by_workspace = workspace, used_by_user = by_user
  where c.code_hash = hash and c.used_at is null and (c.expires_at is null or c.expires_at > now())
    and c.revoked_at is null
  returning c.id, c.credits into ref, credits;
  if not found then
    return;
  end if;
  balance := credit_grant(workspace, 'topup', credits, ref, null, 100, by_user);
  if balance is null then
    raise exception 'The workspace % has no account', workspace;
  end if;
  return next;
end $$`,

  // Takes back what is left of what was granted by one reference, and is free; the same way it came. Returns how much that was.
  `create or replace function credit_reverse(workspace uuid, granted_ref uuid, wanted bigint) returns bigint language plpgsql as $$
declare
  acc credit_account;
  lot credit_lot;
  taken bigint;
begin
  select a.* into acc from credit_account a where a.workspace_id = workspace for update;
  select l.* into lot from credit_lot l join credit_entry e on e.workspace_id = l.workspace_id and e.seq = l.entry
  where l.workspace_id = workspace and e.kind = 'grant' and e.ref_id = granted_ref;
  taken := least(wanted, lot.remaining, acc.balance);
  if acc.workspace_id is null or lot.id is null or taken <= 0 then
    return 0;
  end if;
  update credit_lot l set remaining = l.remaining - taken, emptied_at = case when l.remaining = taken then now() end
  where l.workspace_id = workspace and l.id = lot.id;
  insert into credit_entry (workspace_id, seq, kind, amount, from_account, to_account, balance_after, ref_id)
  values (workspace, acc.last_entry + 1, 'reversal', taken, 'credits', 'issued', acc.balance + acc.held - taken, granted_ref);
  update credit_account a set balance = a.balance - taken, last_entry = a.last_entry + 1 where a.workspace_id = workspace;
  perform credit_tell(acc, acc.balance + acc.held, acc.balance + acc.held - taken);
  return taken;
end $$`,

  // Gives back what was taken back of a grant; the same way, the other way round. It can be used until a time at least, however long it was
  // away. Returns how much that was.
  `create or replace function credit_restore(workspace uuid, granted_ref uuid, wanted bigint, usable_until timestamptz)
returns bigint language plpgsql as $$
declare
  acc credit_account;
  lot credit_lot;
  given bigint;
begin
  select a.* into acc from credit_account a where a.workspace_id = workspace for update;
  select l.* into lot from credit_lot l join credit_entry e on e.workspace_id = l.workspace_id and e.seq = l.entry
  where l.workspace_id = workspace and e.kind = 'grant' and e.ref_id = granted_ref;
  given := least(wanted, lot.amount - lot.remaining);
  if acc.workspace_id is null or lot.id is null or given <= 0 then
    return 0;
  end if;
  update credit_lot l set remaining = l.remaining + given, emptied_at = null,
    expires_at = case when l.expires_at is not null then greatest(l.expires_at, usable_until) end
  where l.workspace_id = workspace and l.id = lot.id;
  insert into credit_entry (workspace_id, seq, kind, amount, from_account, to_account, balance_after, ref_id)
  values (workspace, acc.last_entry + 1, 'reversal', given, 'issued', 'credits', acc.balance + acc.held + given, granted_ref);
  update credit_account a set balance = a.balance + given, last_entry = a.last_entry + 1, exhausted_at = null
  where a.workspace_id = workspace;
  return given;
end $$`,

  // Takes away what has expired of lots, of so many accounts at most, the first by key that have such; none are left where it returns 0. What
  // open jobs hold stays until they end: a job that was accepted is paid.
  `create function credit_lapse(most int default 500) returns int language plpgsql as $$
declare
  lot record;
  acc credit_account;
  lost bigint;
  lapsed int := 0;
begin
  for lot in
    select l.workspace_id, l.id from (
      select distinct o.workspace_id from credit_lot o join credit_account a using (workspace_id)
      where o.emptied_at is null and o.expires_at <= now() and a.balance > 0 order by o.workspace_id limit most) due
    join credit_lot l using (workspace_id) where l.emptied_at is null and l.expires_at <= now()
    order by l.workspace_id, l.priority, l.expires_at, l.id
  loop
    select a.* into acc from credit_account a where a.workspace_id = lot.workspace_id for update;
    update credit_lot l set remaining = l.remaining - least(l.remaining, acc.balance),
      emptied_at = case when l.remaining <= acc.balance then now() end
    where l.workspace_id = lot.workspace_id and l.id = lot.id and l.emptied_at is null and acc.balance > 0
    returning old.remaining - new.remaining into lost;
    continue when not found;
    insert into credit_entry (workspace_id, seq, kind, amount, from_account, to_account, balance_after, ref_id)
    values (lot.workspace_id, acc.last_entry + 1, 'expire', lost, 'credits', 'expired', acc.balance + acc.held - lost, lot.id);
    update credit_account a set balance = a.balance - lost, last_entry = a.last_entry + 1 where a.workspace_id = lot.workspace_id;
    perform credit_tell(acc, acc.balance + acc.held, acc.balance + acc.held - lost);
    lapsed := lapsed + 1;
  end loop;
  return lapsed;
end $$`,

  // Nothing leaves a reservation behind its job; this is for what no statement of ours did.
  `create or replace function credit_reap() returns int language plpgsql as $$
declare
  left_over record;
  reaped int := 0;
begin
  for left_over in
    select r.workspace_id, array_agg(r.id) as ids, array_agg(0::bigint) as nothing
    from credit_reservation r left join job j on j.workspace_id = r.workspace_id and j.id = r.id
    where j.id is null or j.finished_at is not null group by r.workspace_id order by r.workspace_id
  loop
    reaped := reaped + credit_resolve(left_over.workspace_id, left_over.ids, left_over.nothing, 'expire');
  end loop;
  return reaped;
end $$`,

  // Accepting a job looks at the account alone, so what is set for it is kept there.
  `create or replace function credit_settings() returns trigger language plpgsql as $$
declare
  workspace uuid := coalesce(new.workspace_id, old.workspace_id);
  micro bigint := (new.value #>> '{}')::numeric * 1000000;
begin
  case coalesce(new.key, old.key)
    when 'credits.lowAt' then
      update credit_account a set low_at = coalesce(micro, 100000000) where a.workspace_id = workspace;
    when 'credits.monthlyBudget' then update credit_account a set monthly_budget = micro where a.workspace_id = workspace;
    when 'credits.memberBudget' then
      -- Kept for who has such a budget alone; now, with the account's row taken, what was spent so far is looked up.
      update credit_account a set member_budget = micro where a.workspace_id = workspace;
      insert into credit_month (workspace_id, user_id, month, spent)
      select workspace, e.user_id, ${THIS_MONTH}, sum(e.amount)::bigint from credit_entry e
      where e.workspace_id = workspace and e.kind = 'capture' and e.user_id is not null
        and e.created_at >= date_trunc('month', now(), 'UTC') group by e.user_id
      on conflict (workspace_id, user_id, month) do update set spent = excluded.spent;
  end case;
  return null;
end $$`,
];

const GONE = ['credit_spend_lots(uuid, bigint)', 'credit_lapse()'];
const NEW = [
  'credit_settle(uuid[], uuid[], bigint[], text)',
  'credit_spend_lots(uuid[], bigint[])',
  'credit_lapse(int)',
];
const REPLACED = [
  'credit_member_left',
  'credit_exhausted',
  'credit_tell',
  'credit_spend_lots',
  'credit_resolve',
  'credit_grant',
  'credit_refund',
  'credit_redeem',
  'credit_reverse',
  'credit_restore',
  'credit_lapse',
  'credit_reap',
  'credit_settings',
];

/**
 * All functions of the ledger, as they are from here on. Jobs of many workspaces that end in one moment are settled by a statement of each kind,
 * and what expires goes by batches of accounts. Nothing of a table changes, and nobody waits for it.
 */
export class WholeLedger extends Migration {
  override up(): void {
    for (const name of GONE) this.addSql(`drop function ${name}`);
    for (const sql of FUNCTIONS) this.addSql(sql);
  }

  override down(): void {
    for (const name of NEW) this.addSql(`drop function ${name}`);
    const earlier = [CreditLedger, Subscriptions, Disputes, CodesRevoked, LeanLedger, GrantBound, MonthsBehind];
    const made = earlier.map((One) => new One(this.driver, this.config));
    for (const sql of functionsBefore(made, REPLACED)) this.addSql(sql);
  }
}
