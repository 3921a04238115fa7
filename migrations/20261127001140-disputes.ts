import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

// Gives back what was taken back of a grant; the same way, the other way round. It can be used until a time at least, however long it was away.
// Returns how much that was.
const RESTORE = `create function credit_restore(workspace uuid, granted_ref uuid, wanted bigint, usable_until timestamptz)
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
  end $$`;

/** Payments that banks ask back: what becomes of each, and what that is of an invoice. */
export class Disputes extends Migration {
  override up(): void {
    // `known_at` is the provider's time of what is known: what is older changes nothing.
    this.addSql(`create table payment_dispute (
      workspace_id uuid not null references workspace (id) on delete cascade,
      id uuid not null default uuidv7(),
      invoice_id uuid not null,
      provider text not null check (provider in ('stripe', 'manual')),
      provider_ref text not null,
      status text not null check (status in ('open', 'won', 'lost')),
      amount_minor bigint not null check (amount_minor >= 0),
      known_at timestamptz not null,
      created_at timestamptz not null default now(),
      primary key (workspace_id, id),
      unique (workspace_id, provider, provider_ref),
      foreign key (workspace_id, invoice_id) references invoice (workspace_id, id) on delete cascade
    )`);
    this.addSql('create index payment_dispute_of_invoice on payment_dispute (workspace_id, invoice_id)');
    for (const sql of tenantTable('payment_dispute')) this.addSql(sql);
    // What operators look for, of all workspaces.
    this.addSql(`create index payment_dispute_open on payment_dispute (invoice_id) where status = 'open'`);
    this.addSql('create index invoice_held on invoice (id) where held is not null');
    // What of it is asked back at the moment, or was lost so.
    this.addSql('alter table invoice add column disputed_minor bigint not null default 0 check (disputed_minor >= 0)');
    this.addSql(RESTORE);
  }

  override down(): void {
    this.addSql('drop function credit_restore');
    this.addSql('drop index invoice_held');
    this.addSql('alter table invoice drop column disputed_minor');
    this.addSql('drop table payment_dispute');
  }
}
