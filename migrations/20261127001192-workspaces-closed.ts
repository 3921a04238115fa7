import { Migration } from '@mikro-orm/migrations';

/** Which workspaces were closed of late is asked every two seconds; most never are. */
export class WorkspacesClosed extends Migration {
  override up(): void {
    this.addSql('create index workspace_closed on workspace (deleted_at) where deleted_at is not null');
  }

  override down(): void {
    this.addSql('drop index workspace_closed');
  }
}
