import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

/**
 * What members have to do. `series_start` and `turn_at` are times of the wall, without a zone: a rule is followed by the clock of who does the
 * task. `previous_id` is unique, so that a turn has one next however often it is completed. A reminder of a task is a reminder like others.
 */
export class Tasks extends Migration {
  override up(): void {
    this.addSql(`create table task (
      workspace_id uuid not null constraint task_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      version int not null default 1,
      assignee_id uuid,
      contact_id uuid,
      deal_id uuid,
      title text not null,
      description text,
      priority text not null default 'normal'
        constraint task_priority_check check (priority in ('low', 'normal', 'high', 'urgent')),
      urgency smallint not null generated always as
        (case priority when 'urgent' then 0 when 'high' then 1 when 'normal' then 2 else 3 end) stored,
      status text not null default 'open' constraint task_status_check check (status in ('open', 'completed')),
      due_at timestamptz,
      completed_at timestamptz,
      recurrence text,
      series_start timestamp,
      turn_at timestamp,
      previous_id uuid,
      primary key (workspace_id, id),
      constraint task_previous unique (workspace_id, previous_id),
      constraint task_completed_check check ((completed_at is null) = (status <> 'completed')),
      constraint task_recurrence_check check ((recurrence is null) = (series_start is null) and (recurrence is null) = (turn_at is null)
        and (recurrence is null or due_at is not null)),
      constraint task_assignee_foreign foreign key (workspace_id, assignee_id) references member (workspace_id, user_id)
        on delete set null (assignee_id),
      constraint task_contact_foreign foreign key (workspace_id, contact_id) references contact (workspace_id, id)
        on delete set null (contact_id),
      constraint task_deal_foreign foreign key (workspace_id, deal_id) references deal (workspace_id, id) on delete set null (deal_id),
      constraint task_previous_foreign foreign key (workspace_id, previous_id) references task (workspace_id, id)
        on delete set null (previous_id)
    )`);
    const due = `(coalesce(due_at, 'infinity'::timestamptz)), id`;
    this.addSql(`create index task_due on task (workspace_id, ${due})`);
    this.addSql(`create index task_urgency on task (workspace_id, urgency, ${due})`);
    this.addSql(`create index task_assignee on task (workspace_id, assignee_id, status, ${due})`);
    this.addSql(`create index task_contact on task (workspace_id, contact_id, ${due}) where contact_id is not null`);
    this.addSql(`create index task_deal on task (workspace_id, deal_id, ${due}) where deal_id is not null`);
    for (const sql of tenantTable('task')) this.addSql(sql);
    this.addSql(`alter table reminder add task_id uuid, add minutes_before int,
      add constraint reminder_task_check check (task_id is null or (subject_type = 'task' and subject_id = task_id)),
      add constraint reminder_minutes_check check (minutes_before is null or task_id is not null),
      add constraint reminder_task_foreign foreign key (workspace_id, task_id) references task (workspace_id, id) on delete cascade`);
    this.addSql('create index reminder_task on reminder (workspace_id, task_id, remind_at) where task_id is not null');
  }

  override down(): void {
    this.addSql('delete from reminder where task_id is not null');
    this.addSql('drop index reminder_task');
    this.addSql(`alter table reminder drop constraint reminder_task_foreign, drop constraint reminder_minutes_check,
      drop constraint reminder_task_check, drop minutes_before, drop task_id`);
    this.addSql('drop table task');
  }
}
