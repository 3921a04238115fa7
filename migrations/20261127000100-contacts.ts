import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

// As it is searched and sorted: without case and accents. Immutable by naming the dictionary, so that indexes can stand on it.
const FOLD = `create function fold(words text) returns text language sql immutable parallel safe strict
  return lower(public.unaccent('public.unaccent'::regdictionary, words))`;

// A Brazilian mobile is also found without its ninth digit, as WhatsApp knows older accounts (src/modules/contacts/phone.ts).
const OLD_PHONE = String.raw`regexp_replace(phone, '^\+55([1-9]\d)9([6-9]\d{7})$', '+55\1\2')`;

// What a contact in the bin was known by, another may take; one that went into another goes on to lead there.
const RELEASE = `create function contact_release() returns trigger language plpgsql as $$
begin
  update contact_identity set released_at = now()
    where workspace_id = new.workspace_id and contact_id = new.id and released_at is null;
  return null;
end $$`;

const OWN = `workspace_id uuid not null`;
const DATES = `created_at timestamptz not null default now(), updated_at timestamptz not null default now()`;
const ofContact = (table: string, onDelete = 'cascade') =>
  `constraint ${table}_contact_foreign foreign key (workspace_id, contact_id) references contact (workspace_id, id) on delete ${onDelete}`;

/**
 * People a workspace talks to. A contact is not their phone number: `contact_identity` holds what they are known by. Nothing that is sorted
 * by is null, so that pages can go on by key; and it is a column, since behind a table's wall an index on an expression is not
 * asked for a place to go on from.
 */
export class Contacts extends Migration {
  override up(): void {
    for (const name of ['pg_trgm', 'unaccent', 'btree_gin'])
      this.addSql(`create extension if not exists ${name} schema public`);
    this.addSql(FOLD);
    this.addSql(`create table contact (
      ${OWN} constraint contact_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      ${DATES},
      version int not null default 1,
      name text not null,
      source text not null default 'manual' constraint contact_source_check check (source in ('manual', 'import', 'message')),
      phone text,
      email text,
      company text,
      position text,
      owner_id uuid,
      created_by uuid,
      custom_fields jsonb not null default '{}',
      lead_score int,
      score_version text,
      sentiment text constraint contact_sentiment_check check (sentiment in ('positive', 'neutral', 'negative')),
      consent text not null default 'unknown' constraint contact_consent_check check (consent in ('unknown', 'granted', 'denied')),
      last_inbound_at timestamptz,
      last_outbound_at timestamptz,
      archived_at timestamptz,
      deleted_at timestamptz,
      erased_at timestamptz,
      merged_into uuid,
      search text not null generated always as (fold(' ' || name || ' ' || coalesce(company, '') || ' ' || coalesce(email, '') || ' ' ||
        coalesce(phone, '') || ' ' || coalesce(nullif(${OLD_PHONE}, phone), ''))) stored,
      sort_name text collate "C" not null generated always as (fold(name)) stored,
      sort_inbound timestamptz not null generated always as (coalesce(last_inbound_at, '-infinity'::timestamptz)) stored,
      sort_score int not null generated always as (coalesce(lead_score, -1)) stored,
      primary key (workspace_id, id),
      constraint contact_owner_foreign foreign key (workspace_id, owner_id) references member (workspace_id, user_id)
        on delete set null (owner_id),
      constraint contact_merged_foreign foreign key (workspace_id, merged_into) references contact (workspace_id, id)
    )`);
    const alive = 'where deleted_at is null';
    this.addSql(`create unique index contact_phone on contact (workspace_id, phone) ${alive}`);
    this.addSql(`create index contact_email on contact (workspace_id, lower(email)) ${alive} and email is not null`);
    this.addSql(`create index contact_created on contact (workspace_id, created_at desc, id desc) ${alive}`);
    this.addSql(`create index contact_inbound on contact (workspace_id, sort_inbound desc, id desc) ${alive}`);
    this.addSql(`create index contact_score on contact (workspace_id, sort_score desc, id desc) ${alive}`);
    this.addSql(`create index contact_name on contact (workspace_id, sort_name, id) ${alive}`);
    this.addSql(`create index contact_owner on contact (workspace_id, owner_id, created_at desc, id desc) ${alive}`);
    this.addSql(`create index contact_search on contact using gin (workspace_id, search gin_trgm_ops) ${alive}`);
    this.addSql(
      `create index contact_custom on contact using gin (workspace_id, custom_fields jsonb_path_ops) ${alive}`,
    );
    this.addSql(`create table contact_identity (
      ${OWN}, id uuid not null, contact_id uuid not null,
      kind text not null constraint contact_identity_kind_check check (kind in ('phone', 'wa_id', 'lid', 'email', 'external')),
      value text not null,
      created_at timestamptz not null default now(),
      released_at timestamptz,
      primary key (workspace_id, id),
      ${ofContact('contact_identity')}
    )`);
    this.addSql(
      'create unique index contact_identity_value on contact_identity (workspace_id, kind, value) where released_at is null',
    );
    this.addSql('create index contact_identity_contact on contact_identity (workspace_id, contact_id)');
    this.addSql(RELEASE);
    this.addSql(`create trigger released after update of deleted_at on contact for each row
      when (old.deleted_at is null and new.deleted_at is not null and new.merged_into is null)
      execute function contact_release()`);
    this.addSql(`create table label (
      ${OWN} constraint label_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      ${DATES},
      name varchar(60) not null,
      color varchar(7) not null,
      primary key (workspace_id, id)
    )`);
    this.addSql('create unique index label_name on label (workspace_id, lower(name))');
    this.addSql(`create table contact_label (
      ${OWN}, contact_id uuid not null, label_id uuid not null,
      source text not null default 'manual' constraint contact_label_source_check check (source in ('manual', 'import', 'ai', 'rule')),
      created_at timestamptz not null default now(),
      primary key (workspace_id, contact_id, label_id),
      ${ofContact('contact_label')},
      constraint contact_label_label_foreign foreign key (workspace_id, label_id) references label (workspace_id, id) on delete cascade
    )`);
    this.addSql('create unique index contact_label_label on contact_label (workspace_id, label_id, contact_id)');
    this.addSql(`create table contact_field (
      ${OWN} constraint contact_field_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      ${DATES},
      key varchar(40) not null,
      name varchar(60) not null,
      kind text not null constraint contact_field_kind_check check (kind in ('text', 'number', 'date', 'boolean', 'select', 'url')),
      options text[] not null default '{}',
      primary key (workspace_id, id),
      constraint contact_field_key unique (workspace_id, key)
    )`);
    this.addSql(`create table activity (
      ${OWN}, id uuid not null,
      type text not null,
      contact_id uuid, deal_id uuid, actor_id uuid,
      payload json not null,
      occurred_at timestamptz not null default now(),
      primary key (workspace_id, id),
      constraint activity_workspace_id_foreign foreign key (workspace_id) references workspace (id) on delete cascade,
      ${ofContact('activity')}
    )`);
    this.addSql(
      'create index activity_contact on activity (workspace_id, contact_id, occurred_at desc, id desc) where contact_id is not null',
    );
    this.addSql(
      'create index activity_deal on activity (workspace_id, deal_id, occurred_at desc, id desc) where deal_id is not null',
    );
    for (const table of ['contact', 'contact_identity', 'label', 'contact_label', 'contact_field', 'activity']) {
      for (const sql of tenantTable(table)) this.addSql(sql);
    }
  }

  override down(): void {
    this.addSql('drop table activity, contact_field, contact_label, label, contact_identity, contact');
    this.addSql('drop function contact_release, fold');
    for (const name of ['btree_gin', 'unaccent', 'pg_trgm']) this.addSql(`drop extension ${name}`);
  }
}
