import { Migration } from '@mikro-orm/migrations';

/**
 * What surrounds signing in: proven addresses, one-time tokens sent by mail, the mails themselves, second factors. All of it belongs to a
 * person and to no workspace. Tokens are stored as digests; mails, which carry them, are sealed.
 */
export class Accounts extends Migration {
  override up(): void {
    this.addSql(`alter table app_user
      add email_verified_at timestamptz,
      add status text not null default 'active' constraint app_user_status_check check (status in ('active', 'disabled')),
      add totp_seed bytea,
      add totp_enabled_at timestamptz,
      add totp_last_step bigint,
      add constraint app_user_totp_check check (totp_enabled_at is null or totp_seed is not null)`);
    this.addSql('create index session_expires_at_index on session (expires_at)');
    this.addSql(`create table email_verification (
      token_hash bytea primary key,
      user_id uuid not null constraint email_verification_user_id_foreign references app_user (id) on delete cascade,
      created_at timestamptz not null default now(),
      expires_at timestamptz not null,
      used_at timestamptz
    )`);
    // Without a user: a decoy, written for an address that has no account.
    this.addSql(`create table password_reset (
      token_hash bytea primary key,
      user_id uuid constraint password_reset_user_id_foreign references app_user (id) on delete cascade,
      created_at timestamptz not null default now(),
      expires_at timestamptz not null,
      used_at timestamptz
    )`);
    for (const table of ['email_verification', 'password_reset']) {
      this.addSql(`create index ${table}_user_id_index on ${table} (user_id)`);
      this.addSql(`create index ${table}_expires_at_index on ${table} (expires_at)`);
    }
    this.addSql(`create table recovery_code (
      code_hash bytea primary key,
      user_id uuid not null constraint recovery_code_user_id_foreign references app_user (id) on delete cascade,
      used_at timestamptz
    )`);
    this.addSql('create index recovery_code_user_id_index on recovery_code (user_id)');
    this.addSql(`create table outgoing_mail (
      id uuid primary key default uuidv7(),
      created_at timestamptz not null default now(),
      subject text not null,
      recipient bytea,
      body bytea,
      attempts int not null default 0,
      next_attempt_at timestamptz default now(),
      sent_at timestamptz
    )`);
    this.addSql(
      `create index outgoing_mail_due_index on outgoing_mail (next_attempt_at) where next_attempt_at is not null`,
    );
    this.addSql('create index outgoing_mail_created_at_index on outgoing_mail (created_at)');
  }

  override down(): void {
    this.addSql('drop table outgoing_mail, recovery_code, password_reset, email_verification');
    this.addSql('drop index session_expires_at_index');
    this.addSql(`alter table app_user drop email_verified_at, drop status, drop totp_seed, drop totp_enabled_at,
      drop totp_last_step`);
  }
}
