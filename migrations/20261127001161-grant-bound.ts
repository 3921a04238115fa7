import { Migration } from '@mikro-orm/migrations';

/** What an account may have, in micro-credits: as much as a double tells exactly (2^53 - 1), about nine million dollars. */
const BOUND = `if granted > 9007199254740991 - acc.balance - acc.held then
      raise exception 'The account cannot hold so much' using errcode = '22003';
    end if;
    `;

const grant = (
  isBound: boolean,
): string => `create function credit_grant(workspace uuid, why text, granted bigint, ref uuid, lot_expires_at timestamptz, lot_priority int,
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
    ${isBound ? BOUND : ''}insert into credit_lot (workspace_id, entry, amount, remaining, priority, expires_at)
    values (workspace, acc.last_entry + 1, granted, granted, lot_priority, lot_expires_at);
    update credit_account a set balance = a.balance + granted, last_entry = a.last_entry + 1, exhausted_at = null
    where a.workspace_id = workspace;
    return acc.balance + granted;
  end $$`;

const replace = 'drop function credit_grant';

/** More than an account can hold is refused whole, instead of being told inexactly. What was granted already is known by its reference first. */
export class GrantBound extends Migration {
  override up(): void {
    for (const sql of [replace, grant(true)]) this.addSql(sql);
  }

  override down(): void {
    for (const sql of [replace, grant(false)]) this.addSql(sql);
  }
}
