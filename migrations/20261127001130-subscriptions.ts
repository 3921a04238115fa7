import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

const PLANS = `('free', 'starter', 'pro', 'enterprise')`;
const LIVE = `status in ('trialing', 'active', 'past_due')`;

const TABLES = [
  // Whom a provider takes a workspace for. No two workspaces are the same customer: what a provider tells is found by it.
  `create table billing_customer (
    workspace_id uuid primary key references workspace (id) on delete cascade,
    provider text not null,
    provider_ref text not null,
    created_at timestamptz not null default now()
  )`,
  'create unique index billing_customer_of_one on billing_customer (provider, provider_ref)',
  // An offer to pay. One is open in a workspace at a time, so that nobody pays twice.
  `create table checkout (
    workspace_id uuid not null references workspace (id) on delete cascade,
    id uuid not null default uuidv7(),
    plan text not null check (plan in ${PLANS}),
    status text not null default 'open' check (status in ('open', 'completed', 'replaced', 'expired')),
    provider_ref text,
    url text,
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (workspace_id, id)
  )`,
  `create unique index checkout_one on checkout (workspace_id) where status = 'open'`,
  // \`known_at\` is the provider's time of what is known: what is older changes nothing.
  `create table subscription (
    workspace_id uuid not null references workspace (id) on delete cascade,
    id uuid not null default uuidv7(),
    provider text not null check (provider in ('stripe', 'manual')),
    provider_ref text not null,
    plan text not null check (plan in ${PLANS}),
    next_plan text check (next_plan in ${PLANS}),
    status text not null check (status in ('incomplete', 'trialing', 'active', 'past_due', 'canceled')),
    is_surplus boolean not null default false,
    period_start timestamptz,
    period_end timestamptz,
    cancel_at timestamptz,
    past_due_since timestamptz,
    grace_until timestamptz,
    lapsed_at timestamptz,
    known_at timestamptz not null,
    revision integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (workspace_id, id),
    unique (workspace_id, provider, provider_ref)
  )`,
  `create unique index subscription_one on subscription (workspace_id) where ${LIVE} and not is_surplus`,
  `create index subscription_grace on subscription (grace_until) where grace_until is not null and lapsed_at is null`,
  `create index subscription_surplus on subscription (workspace_id) where is_surplus and ${LIVE}`,
  `create index subscription_manual on subscription (period_end) where provider = 'manual' and ${LIVE}`,
  // Amounts in minor units, credits in micro-credits. What was refunded takes credits back, and what of them was spent is uncollected.
  `create table invoice (
    workspace_id uuid not null references workspace (id) on delete cascade,
    id uuid not null default uuidv7(),
    subscription_id uuid not null,
    provider text not null check (provider in ('stripe', 'manual')),
    provider_ref text not null,
    payment_ref text,
    plan text check (plan in ${PLANS}),
    reason text not null check (reason in ('period', 'change', 'other')),
    amount_minor bigint not null check (amount_minor >= 0),
    currency character(3) not null,
    status text not null check (status in ('open', 'uncollectible', 'void', 'paid')),
    period_start timestamptz,
    period_end timestamptz,
    due_at timestamptz,
    paid_at timestamptz,
    url text,
    refunded_minor bigint not null default 0 check (refunded_minor between 0 and amount_minor),
    credits bigint not null default 0 check (credits >= 0),
    credits_reversed bigint not null default 0 check (credits_reversed >= 0),
    credits_uncollected bigint not null default 0 check (credits_uncollected >= 0),
    held text check (held in ('amount', 'price', 'subscription')),
    reminded_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (workspace_id, id),
    unique (workspace_id, provider, provider_ref),
    foreign key (workspace_id, subscription_id) references subscription (workspace_id, id) on delete cascade,
    check (credits_reversed + credits_uncollected <= credits),
    check (credits = 0 or status = 'paid')
  )`,
  'create index invoice_of_payment on invoice (workspace_id, payment_ref) where payment_ref is not null',
  'create index invoice_by_id on invoice (id)',
  'create index invoice_of_subscription on invoice (workspace_id, subscription_id)',
  `create index invoice_due on invoice (due_at) where provider = 'manual' and status = 'open'`,
  // What a provider told, each once. Only what was understood of it is kept: nothing of people.
  `create table inbound_event (
    source text not null check (source in ('stripe')),
    event_id text not null,
    type text not null,
    occurred_at timestamptz not null,
    received_at timestamptz not null default now(),
    event json,
    outcome text check (outcome in ('applied', 'older', 'ignored', 'stranger')),
    applied_at timestamptz,
    attempts integer not null default 0,
    next_attempt_at timestamptz not null default now(),
    primary key (source, event_id),
    check ((applied_at is null) = (outcome is null))
  )`,
  'create index inbound_event_due on inbound_event (next_attempt_at) where applied_at is null',
  'create index inbound_event_received on inbound_event (received_at)',
];

const TENANT_TABLES = ['billing_customer', 'checkout', 'subscription', 'invoice'];

// Takes back what is left of what was granted by one reference, and is free; the same way it came. Returns how much that was.
const REVERSE = `create function credit_reverse(workspace uuid, granted_ref uuid, wanted bigint) returns bigint language plpgsql as $$
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
  end $$`;

const entryChecks = (kinds: string, to: string): string => `alter table credit_entry
  drop constraint credit_entry_kind_check, drop constraint credit_entry_to_account_check,
  add constraint credit_entry_kind_check check (kind in (${kinds})),
  add constraint credit_entry_to_account_check check (to_account in (${to}))`;

/** Subscriptions, their invoices, and what payment providers tell. */
export class Subscriptions extends Migration {
  override up(): void {
    for (const sql of TABLES) this.addSql(sql);
    for (const table of TENANT_TABLES) for (const sql of tenantTable(table)) this.addSql(sql);
    // Of all workspaces: a process of one may mark an event as applied, and not read it.
    this.addSql('revoke all on inbound_event from wh_app');
    this.addSql('grant select (source, event_id, applied_at), update (outcome, applied_at) on inbound_event to wh_app');
    this.addSql(
      entryChecks(
        `'capture', 'opening', 'grant', 'topup', 'refund', 'expire', 'reversal'`,
        `'spent', 'expired', 'credits', 'issued'`,
      ),
    );
    this.addSql(REVERSE);
  }

  override down(): void {
    this.addSql('drop function credit_reverse');
    // The books are only added to: entries of this kind stay, and nobody makes another.
    this.addSql('drop table inbound_event, invoice, subscription, checkout, billing_customer');
  }
}
