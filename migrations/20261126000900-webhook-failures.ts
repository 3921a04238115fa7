import { Migration } from '@mikro-orm/migrations';

/** Who looks for what failed finds it among a million that did not. Only deliveries that failed pay for it. */
export class WebhookFailures extends Migration {
  override up(): void {
    this.addSql(`create index webhook_delivery_ended on webhook_delivery (workspace_id, webhook_id, status, id)
      where status in ('failed', 'cancelled')`);
  }

  override down(): void {
    this.addSql('drop index webhook_delivery_ended');
  }
}
