import { Migration } from '@mikro-orm/migrations';

/** Starting credits can wait for the address to be confirmed. Who is there already has theirs. */
export class StartingCredits extends Migration {
  override up(): void {
    // No foreign key: a closed workspace must not hold up what is done to its people.
    this.addSql('alter table app_user add column starting_workspace_id uuid');
  }

  override down(): void {
    this.addSql('alter table app_user drop column starting_workspace_id');
  }
}
