import { Migration } from '@mikro-orm/migrations';

const redeem = (more: string) => `create or replace function credit_redeem(workspace uuid, hash bytea, by_user uuid)
  returns table (credits bigint, balance bigint) language plpgsql as $$
  declare
    ref uuid;
  begin
    update topup_code c set used_at = now(), used_by_workspace = workspace, used_by_user = by_user
    where c.code_hash = hash and c.used_at is null and (c.expires_at is null or c.expires_at > now())${more}
    returning c.id, c.credits into ref, credits;
    if not found then
      return;
    end if;
    balance := credit_grant(workspace, 'topup', credits, ref, null, 100, by_user);
    if balance is null then
      raise exception 'The workspace % has no account', workspace;
    end if;
    return next;
  end $$`;

/** Operators list licences and batches of codes, and end codes that nobody has redeemed. */
export class CodesRevoked extends Migration {
  override up(): void {
    this.addSql('alter table topup_code add column revoked_at timestamptz');
    this.addSql(redeem(' and c.revoked_at is null'));
    this.addSql('create index topup_code_batch on topup_code (batch_id)');
    this.addSql(
      'create index license_of_workspace on license (used_by_workspace, id) where used_by_workspace is not null',
    );
  }

  override down(): void {
    // What was revoked stays so.
    this.addSql('update topup_code set expires_at = least(expires_at, revoked_at) where revoked_at is not null');
    this.addSql(redeem(''));
    this.addSql('drop index license_of_workspace');
    this.addSql('drop index topup_code_batch');
    this.addSql('alter table topup_code drop column revoked_at');
  }
}
