import { Migration } from '@mikro-orm/migrations';

/** The order of a workspace's labels. One that nobody gave a place stands behind all that have one, in the order they were made. */
export class LabelPlaces extends Migration {
  override up(): void {
    this.addSql('alter table label add position int not null default 1000000');
    this.addSql('create index label_position on label (workspace_id, position, id)');
  }

  override down(): void {
    this.addSql('alter table label drop position');
  }
}
