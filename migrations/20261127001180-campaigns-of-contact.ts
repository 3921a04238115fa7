import { Migration } from '@mikro-orm/migrations';

const NAME = 'campaign_item_of_contact';

/** What campaigns sent to a contact is listed, the newest first, by the index that finds it. */
export class CampaignsOfContact extends Migration {
  override up(): void {
    this.addSql(`drop index ${NAME}`);
    this.addSql(`create index ${NAME} on campaign_item (workspace_id, contact_id, id desc)`);
  }

  override down(): void {
    this.addSql(`drop index ${NAME}`);
    this.addSql(`create index ${NAME} on campaign_item (workspace_id, contact_id)`);
  }
}
