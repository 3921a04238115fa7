import { Migration } from '@mikro-orm/migrations';

/**
 * Licences: until one is activated it is no workspace's, so there is no wall around them; a digest leads nobody to a key. The application
 * may use one and end it, and make or change none.
 */
export class Licenses extends Migration {
  override up(): void {
    this.addSql(`create table license (
      id uuid primary key default uuidv7(),
      key_hash bytea not null constraint license_key_hash_key unique,
      plan text not null constraint license_plan_check check (plan in ('starter', 'pro', 'enterprise')),
      limits jsonb,
      features jsonb,
      days int constraint license_days_check check (days > 0),
      activate_by timestamptz,
      status text not null default 'unused'
        constraint license_status_check check (status in ('unused', 'active', 'replaced', 'expired', 'revoked')),
      created_at timestamptz not null default now(),
      activated_at timestamptz,
      expires_at timestamptz,
      ended_at timestamptz,
      used_by_workspace uuid,
      used_by_user uuid,
      told text constraint license_told_check check (told in ('soon', 'grace')),
      constraint license_used_check check ((status = 'active') <= (used_by_workspace is not null and activated_at is not null))
    )`);
    this.addSql(`create unique index license_active on license (used_by_workspace) where status = 'active'`);
    this.addSql(
      `create index license_ending on license (expires_at) where status = 'active' and expires_at is not null`,
    );
    this.addSql('create index plan_credits_ended on plan_credits (ends_at)');
    this.addSql('revoke all on license from wh_app');
    this.addSql('grant select on license to wh_app');
    this.addSql(
      `grant update (status, activated_at, expires_at, ended_at, used_by_workspace, used_by_user, told) on license to wh_app`,
    );
    this.addSql('revoke delete on license from wh_system');
  }

  override down(): void {
    this.addSql('drop index plan_credits_ended');
    this.addSql('drop table license');
  }
}
