import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

/** Work over many rows: imports, exports, changes of a whole list. Each step is a transaction that moves `state`, so it goes on where it was. */
export class BulkOperations extends Migration {
  override up(): void {
    this.addSql(`create table bulk_operation (
      workspace_id uuid not null constraint bulk_operation_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      user_id uuid not null,
      kind text not null,
      status text not null default 'queued'
        constraint bulk_operation_status_check check (status in ('queued', 'active', 'completed', 'failed', 'cancelled')),
      input json not null,
      state json not null,
      counts json not null default '{}',
      done bigint not null default 0,
      total bigint,
      attempt int not null default 0,
      failures int not null default 0,
      due_at timestamptz default now(),
      is_cancel_requested boolean not null default false,
      problem json,
      created_at timestamptz not null default now(),
      finished_at timestamptz,
      primary key (workspace_id, id),
      constraint bulk_operation_due_check check ((due_at is not null) = (status in ('queued', 'active')))
    )`);
    for (const sql of tenantTable('bulk_operation')) this.addSql(sql);
    this.addSql('create index bulk_operation_due on bulk_operation (due_at) where due_at is not null');
    this.addSql('create index bulk_operation_finished on bulk_operation (finished_at) where finished_at is not null');
  }

  override down(): void {
    this.addSql('drop table bulk_operation');
  }
}
