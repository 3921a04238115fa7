import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

// Either a value for everybody who may read the scope, or a secret, sealed.
const COLUMNS = (table: string) => `key text not null, value json, sealed bytea, updated_at timestamptz not null,
  constraint ${table}_check check ((value is null) <> (sealed is null))`;

/** What was set, of the installation, of a workspace, of a person. What was not set has the default of src/modules/settings/registry.ts. */
export class Settings extends Migration {
  override up(): void {
    this.addSql(`create table setting (${COLUMNS('setting')}, primary key (key))`);
    this.addSql(`create table workspace_setting (
      workspace_id uuid not null constraint workspace_setting_workspace_id_foreign references workspace (id) on delete cascade,
      ${COLUMNS('workspace_setting')}, primary key (workspace_id, key))`);
    this.addSql(`create table user_setting (
      user_id uuid not null constraint user_setting_user_id_foreign references app_user (id) on delete cascade,
      ${COLUMNS('user_setting')}, primary key (user_id, key))`);
    for (const sql of tenantTable('workspace_setting')) this.addSql(sql);
    // A person's settings are of no workspace, and are seen only in a transaction for that person.
    this.addSql('alter table user_setting enable row level security');
    this.addSql('alter table user_setting force row level security');
    this.addSql(`create policy own on user_setting using (user_id = (select current_app_user()))
      with check (user_id = (select current_app_user()))`);
    this.addSql('create policy system on user_setting to wh_system using (true) with check (true)');
  }

  override down(): void {
    this.addSql('drop table user_setting, workspace_setting, setting');
  }
}
