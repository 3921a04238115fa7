import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

/** Keys for programs that act in a workspace. Only a digest of each secret is kept: it has 256 random bits, so a fast one will do. */
export class ApiKeys extends Migration {
  override up(): void {
    this.addSql(`create table api_key (
      workspace_id uuid not null constraint api_key_workspace_id_foreign
        references workspace (id) on delete cascade,
      id uuid not null,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      name varchar(120) not null,
      prefix varchar(20) not null,
      secret_hash bytea not null,
      scopes text[] not null,
      created_by_id uuid not null constraint api_key_created_by_id_foreign
        references app_user (id) on delete cascade,
      expires_at timestamptz,
      last_used_at timestamptz,
      revoked_at timestamptz,
      primary key (workspace_id, id)
    )`);
    this.addSql('create index api_key_created_by_id_index on api_key (created_by_id)');
    for (const statement of tenantTable('api_key')) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop table api_key');
  }
}
