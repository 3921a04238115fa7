import { Migration } from '@mikro-orm/migrations';

/** How far a payment provider was asked for what it may not have told, and events that cannot be read any more. */
export class PaymentSweep extends Migration {
  override up(): void {
    // A look at all that happened since begins at most once an hour, and may take several: `after_ref` is where it goes on, and null once all
    // that happened before it began is known.
    this.addSql(`create table payment_sweep (
      provider text primary key check (provider in ('stripe')),
      asked_at timestamptz not null default now(),
      begun_at timestamptz not null default now(),
      after_ref text,
      known_until timestamptz
    )`);
    this.addSql('revoke all on payment_sweep from wh_app');
    this.addSql(`alter table inbound_event drop constraint inbound_event_outcome_check,
      add constraint inbound_event_outcome_check check (outcome in ('applied', 'older', 'ignored', 'stranger', 'unreadable'))`);
  }

  override down(): void {
    this.addSql('drop table payment_sweep');
    this.addSql(`update inbound_event set outcome = 'ignored' where outcome = 'unreadable'`);
    this.addSql(`alter table inbound_event drop constraint inbound_event_outcome_check,
      add constraint inbound_event_outcome_check check (outcome in ('applied', 'older', 'ignored', 'stranger'))`);
  }
}
