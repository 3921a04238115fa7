import { Migration } from '@mikro-orm/migrations';
import { functionsBefore } from '#src/db/functions-before.ts';
import { WholeLedger } from './20261127001163-whole-ledger.ts';

// What a refund that failed has given back is usable for a month, also where its lot had expired when this began, and waited for that account.
const LAPSE = `create or replace function credit_lapse(most int default 500) returns int language plpgsql as $$
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
    where l.workspace_id = lot.workspace_id and l.id = lot.id and l.emptied_at is null and l.expires_at <= now() and acc.balance > 0
    returning old.remaining - new.remaining into lost;
    continue when not found;
    insert into credit_entry (workspace_id, seq, kind, amount, from_account, to_account, balance_after, ref_id)
    values (lot.workspace_id, acc.last_entry + 1, 'expire', lost, 'credits', 'expired', acc.balance + acc.held - lost, lot.id);
    update credit_account a set balance = a.balance - lost, last_entry = a.last_entry + 1 where a.workspace_id = lot.workspace_id;
    perform credit_tell(acc, acc.balance + acc.held, acc.balance + acc.held - lost);
    lapsed := lapsed + 1;
  end loop;
  return lapsed;
end $$`;

/** What expires is looked at again under its account's lock: it may have been given more time meanwhile. */
export class LapseUnderLock extends Migration {
  override up(): void {
    this.addSql(LAPSE);
  }

  override down(): void {
    for (const sql of functionsBefore([new WholeLedger(this.driver, this.config)], ['credit_lapse'])) this.addSql(sql);
  }
}
