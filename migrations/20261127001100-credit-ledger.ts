import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

const THIS_MONTH = `date_trunc('month', now() at time zone 'UTC')::date`;

const TABLES = [
  // What was given, and what is left of it. Spent in the order of priority, expiry, age. `emptied_at` stands in the index and not `remaining`,
  // so that spending writes no index.
  `create table credit_lot (
    workspace_id uuid not null,
    id uuid not null default uuidv7(),
    entry bigint not null,
    amount bigint not null check (amount > 0),
    remaining bigint not null check (remaining >= 0),
    priority integer not null default 0,
    expires_at timestamptz,
    emptied_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (workspace_id, id),
    check (remaining <= amount and (remaining = 0) = (emptied_at is not null))
  ) with (fillfactor = 50)`,
  'create index credit_lot_open on credit_lot (workspace_id) where emptied_at is null',
  'create index credit_lot_expiring on credit_lot (expires_at) where emptied_at is null and expires_at is not null',
  // A transfer: the same amount leaves one account and enters another, so that its two legs sum to zero however it is written. One of the
  // two is the workspace's, `credits`. Numbered without gaps within a workspace: what is lost shows.
  `create table credit_entry (
    workspace_id uuid not null,
    seq bigint not null,
    kind text not null check (kind in ('capture', 'opening', 'grant', 'topup', 'refund', 'expire')),
    amount bigint not null check (amount > 0),
    from_account text not null check (from_account in ('credits', 'issued', 'sold', 'spent')),
    to_account text not null check (to_account in ('spent', 'expired', 'credits')),
    balance_after bigint not null check (balance_after >= 0),
    ref_id uuid not null,
    user_id uuid,
    created_at timestamptz not null default now(),
    primary key (workspace_id, seq),
    check ((from_account = 'credits') <> (to_account = 'credits'))
  )`,
  // A grant, a code, a refund of a job is booked once, by key.
  `create unique index credit_entry_once on credit_entry (workspace_id, kind, ref_id)
    where kind in ('opening', 'grant', 'topup', 'refund')`,
  `alter table credit_lot add constraint credit_lot_entry_foreign foreign key (workspace_id, entry)
    references credit_entry (workspace_id, seq)`,
  // What open jobs have set aside, by the job's id; gone with its resolution, so that it is as small as what runs.
  `create table credit_reservation (
    workspace_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    amount bigint not null check (amount > 0),
    created_at timestamptz not null default now(),
    primary key (workspace_id, id)
  )`,
  // How a reservation ended. The key lets it end once.
  `create table credit_resolution (
    workspace_id uuid not null,
    reservation_id uuid not null,
    kind text not null check (kind in ('capture', 'release', 'expire')),
    amount bigint not null check (amount > 0),
    captured bigint not null check (captured >= 0),
    created_at timestamptz not null default now(),
    primary key (workspace_id, reservation_id),
    check (captured <= amount and (kind = 'capture') = (captured > 0))
  )`,
  // What each member has spent in a month (UTC), in workspaces that give members budgets.
  `create table credit_month (
    workspace_id uuid not null,
    user_id uuid not null,
    month date not null,
    spent bigint not null,
    primary key (workspace_id, user_id, month)
  ) with (fillfactor = 70)`,
  // Up to where the entries were added up, and what came out: the next look begins there.
  `create table credit_checkpoint (
    workspace_id uuid primary key,
    seq bigint not null,
    total bigint not null
  )`,
  // Of no workspace until one redeems it.
  `create table topup_code (
    code_hash bytea primary key,
    id uuid not null default uuidv7(),
    batch_id uuid not null,
    credits bigint not null check (credits > 0),
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    used_at timestamptz,
    used_by_workspace uuid,
    used_by_user uuid
  )`,
];

const TENANT_TABLES = [
  'credit_lot',
  'credit_entry',
  'credit_reservation',
  'credit_resolution',
  'credit_month',
  'credit_checkpoint',
];

const FUNCTIONS = [
  `create function credit_member_left(workspace uuid, member uuid, budget bigint) returns bigint language sql
    return budget
      - coalesce((select m.spent from credit_month m
          where m.workspace_id = workspace and m.user_id = member and m.month = ${THIS_MONTH}), 0)
      - (select coalesce(sum(r.amount), 0)::bigint from credit_reservation r where r.workspace_id = workspace and r.user_id = member)`,

  `create function credit_exhausted(workspace uuid, total bigint) returns void language plpgsql as $$
  begin
    update credit_account a set exhausted_at = now() where a.workspace_id = workspace and a.exhausted_at is null;
    insert into outbox_event (id, workspace_id, type, subject_id, actor_id, data)
    values (uuidv7(), workspace, 'credits.exhausted', null, null, json_build_object('remaining', trim_scale(total / 1e6)));
  end $$`,

  // Told at the crossing, which a level below the mark at the start is not.
  `create function credit_tell(acc credit_account, was bigint, total bigint) returns void language plpgsql as $$
  begin
    if total = 0 then
      if acc.exhausted_at is null then perform credit_exhausted(acc.workspace_id, total); end if;
    elsif was >= acc.low_at and total < acc.low_at then
      insert into outbox_event (id, workspace_id, type, subject_id, actor_id, data)
      values (uuidv7(), acc.workspace_id, 'credits.low', null, null,
        json_build_object('remaining', trim_scale(total / 1e6), 'lowAt', trim_scale(acc.low_at / 1e6)));
    end if;
  end $$`,

  // Mostly the first lot pays for all, and needs no look at the others.
  `create function credit_spend_lots(workspace uuid, spent bigint) returns void language plpgsql as $$
  begin
    update credit_lot l set remaining = l.remaining - spent
    where l.workspace_id = workspace and l.remaining > spent and l.id = (
      select o.id from credit_lot o where o.workspace_id = workspace and o.emptied_at is null
      order by o.priority, o.expires_at nulls last, o.id limit 1);
    if not found then
      update credit_lot l set remaining = l.remaining - least(l.remaining, spent - o.before),
        emptied_at = case when l.remaining <= spent - o.before then now() end
      from (select id, (sum(remaining) over (order by priority, expires_at nulls last, id))::bigint - remaining as before
        from credit_lot where workspace_id = workspace and emptied_at is null) o
      where l.workspace_id = workspace and l.id = o.id and o.before < spent;
    end if;
  end $$`,

  // Ends reservations, each once: what was captured is spent, the rest is free again. Those that are resolved already are passed over.
  // One account, one statement for all of them: a hot workspace costs what a quiet one does.
  `create function credit_resolve(workspace uuid, ids uuid[], captures bigint[], why text) returns int language plpgsql as $$
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
  end $$`,

  // Adds credits, once for each kind and reference. Returns what is free then; null when it had been done, or there is no account.
  `create function credit_grant(workspace uuid, why text, granted bigint, ref uuid, lot_expires_at timestamptz, lot_priority int,
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
    insert into credit_lot (workspace_id, entry, amount, remaining, priority, expires_at)
    values (workspace, acc.last_entry + 1, granted, granted, lot_priority, lot_expires_at);
    update credit_account a set balance = a.balance + granted, last_entry = a.last_entry + 1, exhausted_at = null
    where a.workspace_id = workspace;
    return acc.balance + granted;
  end $$`,

  // Gives back what a job was charged, or a part of it, once for each job: an entry the other way round.
  `create function credit_refund(workspace uuid, job uuid, refunded bigint, by_user uuid) returns bigint language plpgsql as $$
  declare
    paid bigint := (select r.captured from credit_resolution r where r.workspace_id = workspace and r.reservation_id = job);
  begin
    if coalesce(paid, 0) = 0 then
      return null;
    end if;
    return credit_grant(workspace, 'refund', least(paid, coalesce(refunded, paid)), job, null, 0, by_user);
  end $$`,

  `create function credit_redeem(workspace uuid, hash bytea, by_user uuid) returns table (credits bigint, balance bigint)
  language plpgsql as $$
  declare
    ref uuid;
  begin
    update topup_code c set used_at = now(), used_by_workspace = workspace, used_by_user = by_user
    where c.code_hash = hash and c.used_at is null and (c.expires_at is null or c.expires_at > now())
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

  // Takes away what has expired of lots. What open jobs hold stays until they end: a job that was accepted is paid.
  `create function credit_lapse() returns int language plpgsql as $$
  declare
    lot record;
    acc credit_account;
    lost bigint;
    lapsed int := 0;
  begin
    for lot in
      select l.workspace_id, l.id from credit_lot l join credit_account a using (workspace_id)
      where l.emptied_at is null and l.expires_at <= now() and a.balance > 0
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
  `create function credit_reap() returns int language plpgsql as $$
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
  `create function credit_settings() returns trigger language plpgsql as $$
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

/**
 * The ledger of credits. The account's row is the lock of all that moves a workspace's credits: it is taken first by all that resolve, grant
 * or spend. `balance` is what is free, `held` what open reservations set aside; `balance + held` is the sum of the entries and of the lots.
 */
export class CreditLedger extends Migration {
  override up(): void {
    this.addSql(`alter table credit_account
      add column last_entry bigint not null default 0,
      add column low_at bigint not null default 100000000,
      add column monthly_budget bigint,
      add column member_budget bigint,
      add column month date,
      add column month_spent bigint not null default 0,
      add column exhausted_at timestamptz,
      add column opened_at timestamptz not null default now()`);
    for (const sql of TABLES) this.addSql(sql);
    for (const table of TENANT_TABLES) for (const sql of tenantTable(table)) this.addSql(sql);
    this.addSql('revoke all on credit_checkpoint from wh_app');
    this.addSql('grant select on credit_checkpoint to wh_app');
    this.addSql('revoke all on topup_code from wh_app');
    this.addSql('grant select, update (used_at, used_by_workspace, used_by_user) on topup_code to wh_app');
    this.addSql('revoke delete on topup_code from wh_system');
    // What was booked stays, also against whoever owns the tables.
    this.addSql(`create function credit_append_only() returns trigger language plpgsql as $$
      begin raise exception '% is only added to', tg_table_name using errcode = '42501'; end $$`);
    for (const table of ['credit_entry', 'credit_resolution']) {
      this.addSql(`revoke update, delete on ${table} from wh_app, wh_system`);
      this.addSql(
        `create trigger append_only before update or delete on ${table} for each row execute function credit_append_only()`,
      );
      this.addSql(
        `create trigger never_emptied before truncate on ${table} for each statement execute function credit_append_only()`,
      );
    }
    for (const sql of FUNCTIONS) this.addSql(sql);
    for (const [event, row] of [
      ['insert or update', 'new'],
      ['delete', 'old'],
    ] as const)
      this.addSql(`create trigger credits_${row} after ${event} on workspace_setting for each row
        when (${row}.key in ('credits.lowAt', 'credits.monthlyBudget', 'credits.memberBudget')) execute function credit_settings()`);
  }

  override down(): void {
    for (const row of ['new', 'old']) this.addSql(`drop trigger credits_${row} on workspace_setting`);
    this
      .addSql(`drop function credit_settings, credit_reap, credit_lapse, credit_redeem, credit_refund, credit_grant, credit_resolve,
      credit_spend_lots, credit_tell, credit_exhausted, credit_member_left`);
    this.addSql(`drop table ${TENANT_TABLES.join()}, topup_code`);
    this.addSql('drop function credit_append_only');
    this.addSql(`alter table credit_account drop column last_entry, drop column low_at, drop column monthly_budget,
      drop column member_budget, drop column month, drop column month_spent, drop column exhausted_at, drop column opened_at`);
  }
}
