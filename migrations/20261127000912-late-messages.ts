import { Migration } from '@mikro-orm/migrations';

// What comes late, as when a chat's history is read from its end, changes how long the next answer behind it took: that answer's hour is
// counted anew too. A conversation whose newest message is older than all of these has no such answer, and is not looked through.
const INSERTED = `create function messages_inserted() returns trigger language plpgsql as $$
begin
  insert into analytics_mark (workspace_id, hour)
  select f.workspace_id, date_trunc('hour', f.sent_at, 'UTC') from fact f
  union
  select f.workspace_id, date_trunc('hour', answer.sent_at, 'UTC') from fact f
    join conversation c on c.workspace_id = f.workspace_id and c.id = f.conversation_id and c.last_message_id > f.id
    cross join lateral (
      select m.sent_at from message m where m.workspace_id = f.workspace_id and m.conversation_id = f.conversation_id and m.id > f.id
        and m.direction = 'outbound' order by m.id limit 1) answer;
  return null;
end $$`;

/** Figures of answers follow messages that come after what was written behind them. */
export class LateMessages extends Migration {
  override up(): void {
    this.addSql(INSERTED);
    this.addSql('drop trigger counted_insert on message');
    this.addSql(`create trigger counted_insert after insert on message referencing new table as fact
      for each statement execute function messages_inserted()`);
  }

  override down(): void {
    this.addSql('drop trigger counted_insert on message');
    this.addSql('drop function messages_inserted');
    this.addSql(`create trigger counted_insert after insert on message referencing new table as fact
      for each statement execute function messages_counted()`);
  }
}
