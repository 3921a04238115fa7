import { Migration } from '@mikro-orm/migrations';

/** What is asked of payment providers where they told nothing, and what of an invoice is given back by their latest word. */
export class PaymentsAsked extends Migration {
  override up(): void {
    // The provider's time of what is known to be given back: what is older changes nothing.
    this.addSql('alter table invoice add column refund_known_at timestamptz');
    // `asked_at`: when the provider was asked about it although it had told nothing. By hand: an operator made it at the provider.
    this.addSql(
      'alter table subscription add column asked_at timestamptz, add column is_by_hand boolean not null default false',
    );
    this.addSql('alter table checkout add column asked_at timestamptz');
    this.addSql(
      `create index subscription_untold on subscription (period_end) where provider = 'stripe' and status in ('trialing', 'active', 'past_due')`,
    );
    this.addSql(`create index checkout_over on checkout (expires_at) where status = 'open'`);
  }

  override down(): void {
    this.addSql('drop index checkout_over, subscription_untold');
    this.addSql('alter table checkout drop column asked_at');
    this.addSql('alter table subscription drop column is_by_hand, drop column asked_at');
    this.addSql('alter table invoice drop column refund_known_at');
  }
}
