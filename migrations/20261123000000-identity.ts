import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

// A user sees their own memberships in all workspaces, and so the workspaces they can choose from, but changes nothing from outside.
const OWN_MEMBERSHIPS = `create policy own_memberships on member for select using (user_id = (select current_app_user()))`;
const OWN_WORKSPACES = `create policy own_workspaces on workspace for select
  using (id in (select m.workspace_id from member m where m.user_id = (select current_app_user())))`;

/** People, their sessions, workspaces with their members, and what each workspace may spend. */
export class Migration20261123000000 extends Migration {
  override up(): void {
    this.addSql(`create table app_user (
      id uuid primary key default uuidv7(),
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      email varchar(254) not null constraint app_user_email_unique unique,
      name varchar(120) not null,
      password_hash text not null,
      locale varchar(35) not null default 'pt-BR',
      constraint app_user_email_check check (email = lower(email))
    )`);
    this.addSql(`create table session (
      id uuid primary key default uuidv7(),
      user_id uuid not null constraint session_user_id_foreign references app_user (id) on delete cascade,
      refresh_key bytea not null,
      counter bigint not null default 0,
      created_at timestamptz not null default now(),
      last_used_at timestamptz not null default now(),
      expires_at timestamptz not null,
      revoked_at timestamptz,
      user_agent varchar(300),
      ip varchar(45)
    )`);
    this.addSql('create index session_user_id_index on session (user_id)');
    this.addSql(`create table workspace (
      id uuid primary key default uuidv7(),
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      name varchar(120) not null,
      plan text not null default 'free' constraint workspace_plan_check check (plan in ('free', 'pro', 'business')),
      deleted_at timestamptz
    )`);
    this.addSql(`create table member (
      workspace_id uuid not null constraint member_workspace_id_foreign
        references workspace (id) on update cascade on delete cascade,
      user_id uuid not null constraint member_user_id_foreign references app_user (id) on update cascade on delete cascade,
      role text not null constraint member_role_check check (role in ('owner', 'admin', 'member', 'viewer')),
      grants text[] not null default '{}',
      denies text[] not null default '{}',
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      primary key (workspace_id, user_id)
    )`);
    this.addSql('create index member_user_id_index on member (user_id)');
    this.addSql(`create table credit_account (
      workspace_id uuid primary key constraint credit_account_workspace_id_foreign
        references workspace (id) on update cascade on delete cascade,
      balance bigint not null default 0 constraint credit_account_balance_check check (balance >= 0),
      held bigint not null default 0 constraint credit_account_held_check check (held >= 0)
    )`);
    for (const statement of tenantTable('workspace', 'id')) this.addSql(statement);
    for (const table of ['member', 'credit_account'])
      for (const statement of tenantTable(table)) this.addSql(statement);
    this.addSql(OWN_MEMBERSHIPS);
    this.addSql(OWN_WORKSPACES);
  }

  override down(): void {
    this.addSql('drop table credit_account, member, workspace, session, app_user');
  }
}
