import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

// Checked when the transaction ends, so that ownership can pass from one to another; the lock makes two owners who step down at the same
// time wait for each other, and the second see what the first did.
const KEEP_OWNER = `create function member_keep_owner() returns trigger language plpgsql as $$
begin
  perform from workspace w where w.id = old.workspace_id and w.deleted_at is null for update;
  if found and not exists (select from member m where m.workspace_id = old.workspace_id and m.role = 'owner') then
    raise exception 'a workspace must have an owner' using errcode = 'check_violation', constraint = 'member_last_owner';
  end if;
  return null;
end $$`;

/** Invitations, where a workspace is, which workspace a session works in, and an owner for every workspace. */
export class Members extends Migration {
  override up(): void {
    this.addSql(`alter table workspace
      add column time_zone varchar(64) not null default 'America/Sao_Paulo',
      add column currency char(3) not null default 'BRL',
      add column country char(2) not null default 'BR'`);
    // No foreign key: a closed or lost workspace must not hold up what is done to sessions.
    this.addSql('alter table session add column workspace_id uuid');
    this.addSql(`create table workspace_invite (
      workspace_id uuid not null constraint workspace_invite_workspace_id_foreign
        references workspace (id) on delete cascade,
      id uuid not null,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      email varchar(254) not null constraint workspace_invite_email_check check (email = lower(email)),
      role text not null constraint workspace_invite_role_check check (role in ('owner', 'admin', 'member', 'viewer')),
      token_hash bytea not null,
      invited_by_id uuid not null constraint workspace_invite_invited_by_id_foreign
        references app_user (id) on delete cascade,
      expires_at timestamptz not null,
      accepted_at timestamptz,
      primary key (workspace_id, id)
    )`);
    this.addSql('create index workspace_invite_invited_by_id_index on workspace_invite (invited_by_id)');
    this.addSql(`create unique index workspace_invite_pending on workspace_invite (workspace_id, email)
      where accepted_at is null`);
    for (const statement of tenantTable('workspace_invite')) this.addSql(statement);
    this.addSql(KEEP_OWNER);
    this.addSql(`create constraint trigger member_keep_owner after update or delete on member
      deferrable initially deferred for each row when (old.role = 'owner') execute function member_keep_owner()`);
  }

  override down(): void {
    this.addSql('drop trigger member_keep_owner on member');
    this.addSql('drop function member_keep_owner');
    this.addSql('drop table workspace_invite');
    this.addSql('alter table session drop column workspace_id');
    this.addSql('alter table workspace drop column time_zone, drop column currency, drop column country');
  }
}
