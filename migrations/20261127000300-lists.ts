import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

// A text as LIKE reads it letter by letter. After `fold`, which makes wide signs plain ones.
const LIKE_ESCAPE = String.raw`create function like_escape(words text) returns text language sql immutable parallel safe strict
  return regexp_replace(words, '([\\%_])', '\\\1', 'g')`;

// What all spellings of one number have in common: its digits, a Brazilian mobile's without the ninth (src/modules/contacts/phone.ts).
const PHONE_KEY = String.raw`create function phone_key(spelling text) returns text language sql immutable parallel safe strict
  return regexp_replace(regexp_replace(spelling, '\D', '', 'g'), '^(55[1-9]\d)9([6-9]\d{7})$', '\1\2')`;

const OWN = `workspace_id uuid not null`;

/** Lists of contacts that are described and not written out, contacts that may be one person, and what became one. */
export class Lists extends Migration {
  override up(): void {
    this.addSql(LIKE_ESCAPE);
    this.addSql(PHONE_KEY);
    this.addSql(`create table segment (
      ${OWN} constraint segment_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      created_at timestamptz not null default now(), updated_at timestamptz not null default now(),
      name varchar(100) not null,
      filter json not null,
      primary key (workspace_id, id)
    )`);
    this.addSql('create unique index segment_name on segment (workspace_id, lower(name))');
    // No key on the contacts: a merge moves what hangs on a contact, and this is not to be moved.
    this.addSql(`create table contact_merge (
      ${OWN} constraint contact_merge_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      winner_id uuid not null,
      loser_ids uuid[] not null,
      user_id uuid,
      before json not null,
      after json not null,
      moves json not null,
      created_at timestamptz not null default now(),
      undone_at timestamptz,
      primary key (workspace_id, id)
    )`);
    this.addSql('create index contact_merge_winner on contact_merge (workspace_id, winner_id)');
    this.addSql('create index contact_merge_created on contact_merge (created_at)');
    for (const table of ['segment', 'contact_merge']) for (const sql of tenantTable(table)) this.addSql(sql);
    // Where duplicates are looked for. Columns, not expressions: behind row-level security an index is asked only by what is known to tell
    // nothing of rows it refuses, and `=` is, while `fold` is not.
    this.addSql(`alter table contact
      add company_key text collate "C" generated always as (fold(company)) stored,
      add email_key text collate "C" generated always as (lower(email)) stored,
      add phone_tail text collate "C" generated always as (right(phone, 8)) stored`);
    this.addSql(`alter table contact_identity add phone_key text collate "C"
      generated always as (case when kind in ('phone', 'wa_id') then phone_key(value) end) stored`);
    for (const [name, column, rest] of [
      ['contact_company', 'company_key', 'sort_name, id'],
      ['contact_email_key', 'email_key', 'id'],
      ['contact_phone_tail', 'phone_tail', 'id'],
    ])
      this.addSql(
        `create index ${name} on contact (workspace_id, ${column}, ${rest}) where deleted_at is null and ${column} is not null`,
      );
    this.addSql(`create index contact_identity_phone_key on contact_identity (workspace_id, phone_key, contact_id)
      where released_at is null and phone_key is not null`);
  }

  override down(): void {
    this.addSql('alter table contact_identity drop phone_key');
    this.addSql('alter table contact drop company_key, drop email_key, drop phone_tail');
    this.addSql('drop table contact_merge, segment');
    this.addSql('drop function phone_key, like_escape(text)');
  }
}
