import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import type { InboundEvent } from '#src/modules/payments/provider.ts';

export type Outcome = 'applied' | 'older' | 'ignored' | 'stranger' | 'unreadable';

/** What a provider told and was not worked off yet. */
export interface StoredInbound {
  source: string;
  id: string;
  type: string;
  /** Whose it is, or of what: events of one are worked off in their order. */
  subject: string;
  /** ISO text in UTC. */
  occurredAt: string;
  event: unknown;
  attempts: number;
}

/**
 * Stores what a provider told, once for each event; what tells us nothing is done with at once, and what could not be read may be told again.
 * @returns whether it is new
 */
export async function storeInbound(systemPool: Pool, source: string, told: InboundEvent): Promise<boolean> {
  const { rowCount } = await systemPool.query({
    name: 'inbound-store',
    text: `insert into inbound_event (source, event_id, type, occurred_at, event, outcome, applied_at)
      values ($1, $2, $3, $4, $5, case when $5::json is null then 'ignored' end, case when $5::json is null then now() end)
      on conflict (source, event_id) do update set event = excluded.event, outcome = excluded.outcome, applied_at = excluded.applied_at,
          attempts = 0, next_attempt_at = now()
        where inbound_event.outcome = 'unreadable'`,
    values: [source, told.id, told.type, told.occurredAt, told.event === null ? null : JSON.stringify(told.event)],
  });
  return rowCount === 1;
}

/** What is to be worked off, in the order in which it happened. @param busy subjects that wait */
export async function findInbound(systemPool: Pool, limit: number, busy: string[]): Promise<StoredInbound[]> {
  const { rows } = await systemPool.query<StoredInbound>({
    name: 'inbound-due',
    text: `select * from (select source, event_id as id, type, coalesce(event ->> 'customerRef', event ->> 'chargeRef', event_id) as subject,
          to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "occurredAt", event, attempts
        from inbound_event where applied_at is null and next_attempt_at <= now()) due
      where subject <> all($2::text[]) order by "occurredAt", id limit $1`,
    values: [limit, busy],
  });
  return rows;
}

/**
 * Takes an event as worked off, in the transaction that does so: whoever else works it off waits for the end of that.
 * @returns whether nobody had before
 */
export async function takeInbound(em: EntityManager, { source, id }: StoredInbound): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `update inbound_event set applied_at = now(), outcome = 'applied' where source = ? and event_id = ? and applied_at is null returning 1`,
    [source, id],
  );
  return rows.length > 0;
}

export async function noteOutcome(em: EntityManager, { source, id }: StoredInbound, outcome: Outcome): Promise<void> {
  await em.execute('update inbound_event set outcome = ? where source = ? and event_id = ?', [outcome, source, id]);
}

/** An event is done with: it is of nobody we know, tells nothing, or cannot be read. */
export async function setAside(
  systemPool: Pool,
  { source, id }: StoredInbound,
  outcome: 'stranger' | 'ignored' | 'unreadable',
): Promise<void> {
  await systemPool.query(
    `update inbound_event set applied_at = now(), outcome = $3 where source = $1 and event_id = $2 and applied_at is null`,
    [source, id, outcome],
  );
}

/** It is tried again later, ever more so. @returns how often it was tried */
export async function postponeInbound(systemPool: Pool, { source, id }: StoredInbound): Promise<number> {
  const { rows } = await systemPool.query<{ attempts: number }>(
    `update inbound_event set attempts = attempts + 1,
        next_attempt_at = now() + least(600, 2 ^ least(attempts, 10)) * interval '1 second'
      where source = $1 and event_id = $2 and applied_at is null returning attempts`,
    [source, id],
  );
  return rows[0]?.attempts ?? 0;
}

/** Drops what was worked off and is older than 90 days: providers do not tell again what is older than 30. @returns how many */
export async function purgeInbound(systemPool: Pool): Promise<number> {
  const { rowCount } = await systemPool.query(
    `delete from inbound_event where (source, event_id) in (select source, event_id from inbound_event
       where received_at < now() - interval '90 days' and applied_at is not null order by received_at limit 1000 for update skip locked)`,
  );
  return rowCount ?? 0;
}
