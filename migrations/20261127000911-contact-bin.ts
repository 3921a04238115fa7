import { Migration } from '@mikro-orm/migrations';

/** The contacts that can be taken out of the bin, the last that went into it first. */
export class ContactBin extends Migration {
  override up(): void {
    this.addSql(`create index contact_bin on contact (workspace_id, deleted_at desc, id desc)
      where deleted_at is not null and merged_into is null and erased_at is null`);
  }

  override down(): void {
    this.addSql('drop index contact_bin');
  }
}
