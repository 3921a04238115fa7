import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

/**
 * What members are told, and what they asked to be reminded of; both go with the membership. What a notification is made of (an event, a
 * reminder) makes one for each reader at most. Mails say what they are for: of a reminder none is ever sent twice.
 */
export class Notifications extends Migration {
  override up(): void {
    this.addSql(`create table notification (
      workspace_id uuid not null,
      id uuid not null,
      user_id uuid not null,
      kind text not null,
      data json not null,
      source_id uuid not null,
      created_at timestamptz not null default now(),
      read_at timestamptz,
      primary key (workspace_id, id),
      constraint notification_source_unique unique (workspace_id, user_id, source_id),
      constraint notification_member_foreign foreign key (workspace_id, user_id)
        references member (workspace_id, user_id) on delete cascade
    )`);
    this.addSql('create index notification_of_member on notification (workspace_id, user_id, id)');
    this.addSql('create index notification_unread on notification (workspace_id, user_id, id) where read_at is null');
    this.addSql('create index notification_created_at_index on notification (created_at)');
    this.addSql(`create table reminder (
      workspace_id uuid not null,
      id uuid not null,
      user_id uuid not null,
      title text not null,
      note text,
      remind_at timestamptz not null,
      subject_type text constraint reminder_subject_type_check check (subject_type in ('contact', 'deal', 'task')),
      subject_id uuid,
      status text not null default 'pending'
        constraint reminder_status_check check (status in ('pending', 'sent', 'cancelled')),
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      sent_at timestamptz,
      primary key (workspace_id, id),
      constraint reminder_subject_check check ((subject_type is null) = (subject_id is null)),
      constraint reminder_sent_check check ((sent_at is null) = (status <> 'sent')),
      constraint reminder_member_foreign foreign key (workspace_id, user_id)
        references member (workspace_id, user_id) on delete cascade
    )`);
    this.addSql(`create index reminder_due on reminder (remind_at) where status = 'pending'`);
    this.addSql(`create index reminder_over on reminder (updated_at) where status <> 'pending'`);
    this.addSql('create index reminder_of_member on reminder (workspace_id, user_id, remind_at, id)');
    for (const table of ['notification', 'reminder']) for (const sql of tenantTable(table)) this.addSql(sql);
    this.addSql(`alter table outgoing_mail add purpose text not null default 'account'
      constraint outgoing_mail_purpose_check check (purpose in ('account', 'notice', 'reminder'))`);
    this.addSql('drop index outgoing_mail_due_index');
    this.addSql(
      `create index outgoing_mail_due_index on outgoing_mail (purpose, next_attempt_at) where next_attempt_at is not null`,
    );
  }

  override down(): void {
    this.addSql('drop index outgoing_mail_due_index');
    this.addSql('alter table outgoing_mail drop purpose');
    this.addSql(
      `create index outgoing_mail_due_index on outgoing_mail (next_attempt_at) where next_attempt_at is not null`,
    );
    this.addSql('drop table reminder, notification');
  }
}
