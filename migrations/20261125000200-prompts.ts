import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

/** What workspaces write in the place of our prompts: every text that was, and which one is used. */
export class Prompts extends Migration {
  override up(): void {
    this.addSql(`create table prompt (
      workspace_id uuid not null constraint prompt_workspace_id_foreign references workspace (id) on delete cascade,
      engine text not null,
      language text not null check (language in ('pt', 'en', 'es')),
      version integer not null check (version > 0),
      text text not null,
      variables text[] not null,
      is_active boolean not null default false,
      created_at timestamptz not null default now(),
      created_by_id uuid constraint prompt_created_by_id_foreign references app_user (id) on delete set null,
      primary key (workspace_id, engine, language, version)
    )`);
    this.addSql('create unique index prompt_active on prompt (workspace_id, engine, language) where is_active');
    this.addSql('create index prompt_created_by_id_index on prompt (created_by_id)');
    for (const statement of tenantTable('prompt')) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop table prompt');
  }
}
