import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

const OWN = 'workspace_id uuid not null';
const ofWorkspace = (table: string) =>
  `${OWN} constraint ${table}_workspace_id_foreign references workspace (id) on delete cascade`;
const DATES = 'created_at timestamptz not null default now(), updated_at timestamptz not null default now()';
const ofContact = (table: string) =>
  `constraint ${table}_contact_foreign foreign key (workspace_id, contact_id) references contact (workspace_id, id) on delete cascade`;

const FIRST_ID_AT = `create function first_id_at(moment timestamptz) returns uuid language sql immutable parallel safe
  return rpad(lpad(to_hex(greatest(0, floor(extract(epoch from moment) * 1000))::bigint), 12, '0'), 32, '0')::uuid`;

// Without what stands between words, which the parser of texts would join into one word: an address, a file name, a price.
const WORDS = String.raw`create function message_words(body text) returns tsvector language sql immutable parallel safe
  return to_tsvector('simple'::regconfig, regexp_replace(fold(coalesce(body, '')), '[\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]+', ' ', 'g'))`;

// A column, since the wall lets an index be asked only for what a row holds, not for what is made of it; and by a trigger, since a month that
// takes its rows over from the default partition writes every column.
const WRITTEN = `create function message_written() returns trigger language plpgsql as $$
begin
  new.words := case when new.body is not null then message_words(new.body) end;
  return new;
end $$`;

// What is known of a message only rises: sent, then delivered, then read; that it failed is taken back by whoever says it arrived.
const RANK = `create function message_rank(status text) returns int language sql immutable parallel safe
  return array_position(array['pending', 'sent', 'failed', 'delivered', 'read'], status)`;

// Once for a statement. A month that takes its rows over from the default partition names no message, and so takes no key away.
const GONE = `create function messages_gone() returns trigger language plpgsql as $$
begin
  delete from message_key k using gone g where k.workspace_id = g.workspace_id and k.message_id = g.id;
  return null;
end $$`;

const COUNTED = `create function messages_counted() returns trigger language plpgsql as $$
begin
  insert into analytics_mark (workspace_id, hour)
  select distinct f.workspace_id, date_trunc('hour', f.sent_at, 'UTC') from fact f;
  return null;
end $$`;

const OWNER = `create function conversation_owner() returns trigger language plpgsql as $$
begin
  update conversation set owner_id = new.owner_id where workspace_id = new.workspace_id and contact_id = new.id;
  return null;
end $$`;

// One that goes to another contact, as in a merge, is looked after by whoever looks after that one.
const GIVEN = `create function conversation_given() returns trigger language plpgsql as $$
begin
  new.owner_id := (select c.owner_id from contact c where c.workspace_id = new.workspace_id and c.id = new.contact_id);
  return new;
end $$`;

// Row-level security lets an index answer only what is asked by functions that are known to tell nothing of rows they refuse. This one throws
// nothing and writes nothing. Only a superuser may say so; without it a search reads all messages of the months it looks at.
const leakproof = (is: boolean): string => `do $$ begin
  alter function pg_catalog.ts_match_vq(tsvector, tsquery) ${is ? '' : 'not '}leakproof;
exception when insufficient_privilege then
  raise warning 'Searching messages is slow until a superuser runs: alter function ts_match_vq(tsvector, tsquery) leakproof';
end $$`;

/**
 * Channels, conversations and messages; templates; and what AI does with a contact by itself. A message's id is made of the moment it was
 * sent (UUID version 7), so that ids are the order of a conversation, a month's partition holds that month's messages also when they are
 * synced years later, and what is past its time is a range of the key.
 */
export class Messages extends Migration {
  override up(): void {
    for (const sql of [FIRST_ID_AT, WORDS, WRITTEN, RANK, GONE, COUNTED, OWNER, GIVEN, leakproof(true)])
      this.addSql(sql);
    this.addSql(`create table channel (
      ${ofWorkspace('channel')}, id uuid not null,
      kind text not null constraint channel_kind_check check (kind in ('extension', 'cloud_api', 'webhook')),
      external_id text not null,
      name text not null,
      ${DATES},
      primary key (workspace_id, id),
      constraint channel_external unique (workspace_id, kind, external_id)
    )`);
    this.addSql(`create table conversation (
      ${OWN}, id uuid not null,
      channel_id uuid not null, contact_id uuid not null,
      owner_id uuid, assignee_id uuid,
      status text not null default 'open' constraint conversation_status_check check (status in ('open', 'closed')),
      unread_count int not null default 0 constraint conversation_unread_check check (unread_count >= 0),
      read_at timestamptz not null default '-infinity',
      last_message_id uuid not null,
      last_message_at timestamptz not null,
      last_inbound_at timestamptz,
      last_outbound_at timestamptz,
      ${DATES},
      primary key (workspace_id, id),
      constraint conversation_of unique (workspace_id, channel_id, contact_id),
      constraint conversation_channel_foreign foreign key (workspace_id, channel_id) references channel (workspace_id, id) on delete cascade,
      constraint conversation_assignee_foreign foreign key (workspace_id, assignee_id) references member (workspace_id, user_id)
        on delete set null (assignee_id),
      ${ofContact('conversation')}
    )`);
    const newest = 'last_message_at desc, id desc';
    this.addSql(`create index conversation_newest on conversation (workspace_id, ${newest})`);
    this.addSql(`create index conversation_unread on conversation (workspace_id, ${newest}) where unread_count > 0`);
    this.addSql(`create index conversation_owner on conversation (workspace_id, owner_id, ${newest})`);
    this.addSql(
      `create index conversation_assignee on conversation (workspace_id, assignee_id, ${newest}) where assignee_id is not null`,
    );
    this.addSql('create index conversation_contact on conversation (workspace_id, contact_id)');
    this.addSql(`create trigger owner_changed after update of owner_id on contact for each row
      when (old.owner_id is distinct from new.owner_id) execute function conversation_owner()`);
    this.addSql(`create trigger given before update of contact_id on conversation for each row
      when (old.contact_id is distinct from new.contact_id) execute function conversation_given()`);
    this.addSql(`create table message (
      ${OWN}, id uuid not null,
      conversation_id uuid not null, contact_id uuid not null, channel_id uuid not null,
      direction text not null constraint message_direction_check check (direction in ('inbound', 'outbound')),
      type text not null,
      body text,
      words tsvector,
      media_ref text,
      status text not null
        constraint message_status_check check (status in ('pending', 'sent', 'failed', 'delivered', 'read')),
      error_code text,
      client_id text,
      provider_id text,
      actor_id uuid,
      campaign_item_id uuid,
      sent_at timestamptz not null,
      ${DATES},
      primary key (workspace_id, id),
      constraint message_conversation_foreign foreign key (workspace_id, conversation_id)
        references conversation (workspace_id, id) on delete cascade
    ) partition by range (id)`);
    this.addSql('create index message_conversation on message (workspace_id, conversation_id, id desc)');
    this.addSql('create index message_contact on message (workspace_id, contact_id, id desc)');
    this.addSql('create index message_words on message using gin (workspace_id, words) where words is not null');
    this.addSql(`create trigger written before insert or update of body on message
      for each row execute function message_written()`);
    this.addSql(`create table message_key (
      ${ofWorkspace('message_key')},
      channel_id uuid not null,
      kind text not null constraint message_key_kind_check check (kind in ('client', 'provider')),
      value text not null,
      message_id uuid not null,
      primary key (workspace_id, channel_id, kind, value)
    )`);
    this.addSql('create index message_key_message on message_key (workspace_id, message_id)');
    this.addSql(`create table message_template (
      ${ofWorkspace('message_template')}, id uuid not null,
      ${DATES},
      name varchar(100) not null,
      category text not null constraint message_template_category_check check (category in ('marketing', 'utility', 'service')),
      language varchar(35) not null,
      current_version int not null,
      primary key (workspace_id, id)
    )`);
    this.addSql(
      'create unique index message_template_name on message_template (workspace_id, lower(name), lower(language))',
    );
    this.addSql(`create table message_template_version (
      ${OWN}, template_id uuid not null, version int not null,
      body text not null,
      variables json not null,
      created_by uuid,
      created_at timestamptz not null default now(),
      primary key (workspace_id, template_id, version),
      constraint message_template_version_template_foreign foreign key (workspace_id, template_id)
        references message_template (workspace_id, id) on delete cascade
    )`);
    this.addSql(`create table contact_ai (
      ${OWN}, contact_id uuid not null,
      kind text not null constraint contact_ai_kind_check check (kind in ('sentiment', 'score')),
      asked_at timestamptz not null default now(),
      due_at timestamptz,
      job_id uuid,
      started_at timestamptz,
      primary key (workspace_id, contact_id, kind),
      ${ofContact('contact_ai')}
    )`);
    this.addSql('create index contact_ai_due on contact_ai (due_at) where due_at is not null');
    this.addSql('create index contact_ai_job on contact_ai (workspace_id, job_id) where job_id is not null');
    this.addSql(`create table lead_score (
      ${OWN}, id uuid not null, contact_id uuid not null,
      score int not null constraint lead_score_check check (score between 0 and 100),
      before int,
      grade text not null,
      version text not null,
      components json not null,
      recommendation text not null,
      job_id uuid not null,
      created_at timestamptz not null default now(),
      primary key (workspace_id, id),
      ${ofContact('lead_score')}
    )`);
    this.addSql('create index lead_score_contact on lead_score (workspace_id, contact_id, id desc)');
    for (const table of [
      'channel',
      'conversation',
      'message',
      'message_key',
      'message_template',
      'message_template_version',
      'contact_ai',
      'lead_score',
    ])
      for (const sql of tenantTable(table)) this.addSql(sql);
    this.addSql('create table message_other partition of message default');
    this.addSql('revoke all on message_other from wh_app, wh_system');
    this
      .addSql(`select partition_make('message', (date_trunc('month', now() at time zone 'UTC') + n * interval '1 month')::date)
      from generate_series(-2, 3) n`);
    this.addSql(`create trigger gone after delete on message referencing old table as gone
      for each statement execute function messages_gone()`);
    for (const event of ['insert', 'update'])
      this.addSql(`create trigger counted_${event} after ${event} on message referencing new table as fact
        for each statement execute function messages_counted()`);
  }

  override down(): void {
    this.addSql('drop trigger owner_changed on contact');
    this
      .addSql(`drop table lead_score, contact_ai, message_template_version, message_template, message_key, message, conversation,
      channel`);
    this.addSql(
      'drop function messages_gone, messages_counted, conversation_owner, conversation_given, message_rank, message_written, message_words, first_id_at',
    );
    this.addSql(leakproof(false));
  }
}
