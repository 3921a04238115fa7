import { Migration } from '@mikro-orm/migrations';

/** Whose keys are to be destroyed is asked each minute: of all workspaces that ever closed, those of which it is not known yet. */
export class KeysGone extends Migration {
  override up(): void {
    this.addSql('alter table workspace add column keys_gone_at timestamptz');
    this.addSql(
      'create index workspace_keyed on workspace (deleted_at) where deleted_at is not null and keys_gone_at is null',
    );
  }

  override down(): void {
    this.addSql('alter table workspace drop column keys_gone_at');
  }
}
