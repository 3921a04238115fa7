import { Migration } from '@mikro-orm/migrations';

// Whoever is far from the limit shares a lock with all others who are, and whoever is near it waits until they have ended and then is alone.
// Far is farther than all who can be at it at once add. Nobody waits to share it: who had waited would go by what was there before.
const roomOf = (
  name: string,
  limit: string,
  used: string,
  waits: boolean,
) => `create or replace function ${name}(by_plan jsonb, wanted int)
  returns bigint language plpgsql as $$
declare
  most bigint := plan_limit('${limit}', by_plan);
  room bigint;
  key bigint;
begin
  if most is null then
    return null;
  end if;
  room := most - ${used};
  key := hashtextextended('${name === 'contact_room' ? 'contacts' : 'sends'} ' || current_workspace()::text, 0);
  ${waits ? SHARED_BY_WAITING : SHARED_AT_ONCE}
    perform pg_advisory_xact_lock(key);
    room := most - ${used};
  end if;
  return greatest(room, 0);
end $$`;
const FAR = 'room >= 1000 + 10 * wanted::bigint';
const SHARED_AT_ONCE = `if not (${FAR} and pg_try_advisory_xact_lock_shared(key)) then`;
const SHARED_BY_WAITING = `if ${FAR} then
    perform pg_advisory_xact_lock_shared(key);
  else`;

const CONTACTS =
  '(select coalesce(sum(n.contacts), 0) from contact_counter n where n.workspace_id = current_workspace())';
const rooms = (waits: boolean) => [
  roomOf('contact_room', 'contacts', CONTACTS, waits),
  roomOf('send_room', 'messagesPerDay', 'sent_today()', waits),
];

const sentSince = (since: string) => `create or replace function sent_today() returns bigint language sql stable as $$
  select coalesce(sum(n.sends), 0) from workspace w join channel_counter n on n.workspace_id = w.id and n.bucket >= ${since}
  where w.id = current_workspace() $$`;
const MIDNIGHT = `date_trunc('day', now(), w.time_zone)`;
// Else a day began anew with each change of the zone: until the day is over that a zone was changed in, the last 24 hours count.
const SINCE = `least(${MIDNIGHT}, case when w.zoned_at > now() - interval '1 day' then now() - interval '1 day' end)`;

/** Limits hold for who waited behind many others, and over a change of the workspace's time zone. */
export class PlanRaces extends Migration {
  override up(): void {
    this.addSql('alter table workspace add column zoned_at timestamptz');
    for (const sql of [sentSince(SINCE), ...rooms(false)]) this.addSql(sql);
  }

  override down(): void {
    for (const sql of [...rooms(true), sentSince(MIDNIGHT)]) this.addSql(sql);
    this.addSql('alter table workspace drop column zoned_at');
  }
}
