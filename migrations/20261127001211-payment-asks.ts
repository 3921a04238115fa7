import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

/** Who asks a payment provider to change something, until it is known what came of it: ids and fixed words. */
export class PaymentAsks extends Migration {
  override up(): void {
    // `action`: as the log will name it; `wish`: a plan, or an amount in minor units.
    this.addSql(`create table payment_ask (
      workspace_id uuid not null references workspace (id) on delete cascade,
      target_id uuid not null,
      action text not null,
      wish text not null,
      actor_kind text not null check (actor_kind in ('session', 'api_key', 'system')),
      actor_id uuid,
      request_id text,
      asked_at timestamptz not null default now(),
      unique nulls not distinct (workspace_id, target_id, action, wish, actor_kind, actor_id)
    )`);
    this.addSql('create index payment_ask_age on payment_ask (asked_at)');
    for (const sql of tenantTable('payment_ask')) this.addSql(sql);
  }

  override down(): void {
    this.addSql('drop table payment_ask');
  }
}
