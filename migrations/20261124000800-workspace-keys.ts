import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

/**
 * The keys that a workspace's sealed values are sealed with, themselves wrapped. Version 0 is the one look-ups are made with. Destroying
 * them takes the wrapped key out and leaves the row, so that none is made anew.
 */
export class WorkspaceKeys extends Migration {
  override up(): void {
    this.addSql(`create table workspace_key (
      workspace_id uuid not null references workspace (id) on delete cascade,
      version integer not null check (version >= 0),
      kek_id text not null,
      wrapped bytea,
      created_at timestamptz not null default now(),
      destroyed_at timestamptz,
      primary key (workspace_id, version),
      check ((wrapped is null) = (destroyed_at is not null))
    )`);
    for (const statement of tenantTable('workspace_key')) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop table workspace_key');
  }
}
