import { Migration } from '@mikro-orm/migrations';

// Once for a statement, however many contacts it writes.
const CONTACTS_MADE = `create function contacts_made() returns trigger language plpgsql as $$
begin
  insert into analytics_mark (workspace_id, hour)
  select distinct f.workspace_id, date_trunc('hour', f.created_at, 'UTC') from fact f;
  return null;
end $$`;

/**
 * Behind the wall of a table, an index is asked only by functions that say nothing of the rows they are shown. LIKE is one, but is not marked
 * as such, and only a superuser can do it.
 */
const leakproof = (is: boolean): string => `do $$ begin
  alter function pg_catalog.textlike(text, text) ${is ? '' : 'not '}leakproof;
exception when insufficient_privilege then
  raise warning 'Searching contacts is slow until a superuser runs: alter function textlike(text, text) leakproof';
end $$`;

/** New contacts are counted, also those that are in the bin by now. */
export class ContactsMade extends Migration {
  override up(): void {
    this.addSql('create index contact_made on contact (workspace_id, created_at)');
    this.addSql(leakproof(true));
    this.addSql(CONTACTS_MADE);
    this.addSql(`create trigger counted after insert on contact referencing new table as fact
      for each statement execute function contacts_made()`);
  }

  override down(): void {
    this.addSql('drop trigger counted on contact');
    this.addSql('drop function contacts_made');
    this.addSql(leakproof(false));
    this.addSql('drop index contact_made');
  }
}
