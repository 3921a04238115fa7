import { Migration } from '@mikro-orm/migrations';

// Roles belong to the server, not to this database: another database of it may make them at the same moment.
const ROLES = `do $$
declare
  name text;
begin
  foreach name in array array['wh_app', 'wh_system'] loop
    if not exists (select from pg_roles where rolname = name) then
      begin
        execute format('create role %I nologin noinherit', name);
      exception when duplicate_object or unique_violation then
        null;
      end;
    end if;
    if not pg_has_role(current_user, name, 'set') then
      begin
        execute format('grant %I to current_user with set true, inherit false', name);
      exception when insufficient_privilege then
        -- Another login made the roles; it grants them to the login that processes connect with.
        null;
      end;
    end if;
  end loop;
end $$`;

/** The roles that processes take on after connecting. Neither owns anything; what each may see is in the policies of each table. */
export class Roles extends Migration {
  override up(): void {
    this.addSql(ROLES);
    this.addSql('grant usage on schema public to wh_app, wh_system');
    this.addSql(
      'alter default privileges in schema public grant select, insert, update, delete on tables to wh_app, wh_system',
    );
    this.addSql('alter default privileges in schema public grant usage on sequences to wh_app, wh_system');
    // Null, which equals no workspace, when nothing was set: whoever forgets to say for whom they ask sees and writes nothing.
    this.addSql(`create function current_workspace() returns uuid language sql stable parallel safe
      return nullif(current_setting('app.workspace_id', true), '')::uuid`);
    this.addSql(`create function current_app_user() returns uuid language sql stable parallel safe
      return nullif(current_setting('app.user_id', true), '')::uuid`);
  }

  override down(): void {
    this.addSql('drop function current_workspace, current_app_user');
    this.addSql('alter default privileges in schema public revoke all on tables from wh_app, wh_system');
    this.addSql('alter default privileges in schema public revoke all on sequences from wh_app, wh_system');
    this.addSql('revoke usage on schema public from wh_app, wh_system');
  }
}
