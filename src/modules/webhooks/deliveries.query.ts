import type { EntityManager } from '@mikro-orm/postgresql';
import type { AttemptEntry } from '#src/modules/webhooks/step.query.ts';
import type { DeliveryKey } from '#src/modules/webhooks/wake.ts';
import type { WebhookKey } from '#src/modules/webhooks/webhooks.query.ts';

/** The table whose months the platform makes ahead and drops when they are past their time; nobody needs an older delivery. */
export const DELIVERY_RETENTION = { table: 'webhook_delivery', days: 30 } as const;

export interface DeliveryRow {
  id: string;
  webhook_id: string;
  event_id: string;
  event_type: string;
  cause: 'event' | 'replay' | 'test';
  seq: number;
  status: 'pending' | 'sending' | 'delivered' | 'failed' | 'cancelled';
  attempts: number;
  next_attempt_at: string | null;
  response_status: number | null;
  response_snippet: string | null;
  duration_ms: number | null;
  error: string | null;
  created_at: string;
  finished_at: string | null;
}

const at = (column: string) => `to_char(d.${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ${column}`;

const COLUMNS = `d.id, d.webhook_id, d.event_id, d.event_type, d.cause, d.seq::float8, d.status, d.attempts, ${at('next_attempt_at')},
  d.response_status, d.response_snippet, d.duration_ms, d.error, ${at('created_at')}, ${at('finished_at')}`;

export interface DeliveryFilter {
  status: string | undefined;
  type: string | undefined;
  before: string | undefined;
  limit: number;
}

/** An endpoint's deliveries, the newest first. */
export function findDeliveries(em: EntityManager, key: WebhookKey, filter: DeliveryFilter): Promise<DeliveryRow[]> {
  const { status = null, type = null, before = null, limit } = filter;
  // Lets the index of open deliveries find them; that of ended ones needs no telling.
  const isOpen = status === 'pending' || status === 'sending' ? 'and d.next_attempt_at is not null' : '';
  return em.execute<DeliveryRow[]>(
    `select ${COLUMNS} from webhook_delivery d where d.workspace_id = ? and d.webhook_id = ?
       ${isOpen} and (?::text is null or d.status = ?) and (?::text is null or d.event_type = ?) and (?::uuid is null or d.id < ?::uuid)
     order by d.id desc limit ?`,
    [key.workspaceId, key.id, status, status, type, type, before, before, limit],
  );
}

export interface DeliveryDetailRow extends DeliveryRow {
  attempt_log: AttemptEntry[];
  /** The event's, as JSON; null when it is no longer kept. */
  data: string | null;
  occurred_at: string | null;
}

/** One delivery of an endpoint. */
export async function findDelivery(
  em: EntityManager,
  key: WebhookKey,
  deliveryId: string,
): Promise<DeliveryDetailRow | undefined> {
  const [row] = await em.execute<DeliveryDetailRow[]>(
    `select ${COLUMNS}, d.attempt_log, e.data::text as data,
       to_char(e.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as occurred_at
     from webhook_delivery d left join outbox_event e on e.workspace_id = d.workspace_id and e.id = d.event_id
     where d.workspace_id = ? and d.webhook_id = ? and d.id = ?`,
    [key.workspaceId, key.id, deliveryId],
  );
  return row;
}

/**
 * Makes a delivery due now, whatever the endpoint's other deliveries and its breaker say. One that waits takes the next step of its
 * schedule; one that was over begins a new one. @returns whether it could: not while it is under way
 */
export async function retryDelivery(em: EntityManager, key: WebhookKey, deliveryId: string): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `update webhook_delivery set attempts = case when status = 'pending' then attempts else 0 end, status = 'pending', is_direct = true,
       next_attempt_at = now(), finished_at = null, error = case when status = 'cancelled' then null else error end
     where workspace_id = ? and webhook_id = ? and id = ? and status <> 'sending' returning id`,
    [key.workspaceId, key.id, deliveryId],
  );
  return rows.length === 1;
}

/** Makes the delivery of a test, of an event that goes to this endpoint alone. @returns its id */
export async function insertTest(em: EntityManager, key: WebhookKey, eventId: string, type: string): Promise<string> {
  const [row] = await em.execute<{ id: string }[]>(
    `insert into webhook_delivery (workspace_id, webhook_id, event_id, event_type, cause, seq, is_direct)
     values (?, ?, ?, ?, 'test', 0, true) returning id`,
    [key.workspaceId, key.id, eventId, type],
  );
  if (!row) throw new Error('The insert returned no row');
  return row.id;
}

/** The events of a replay: when they happened (a row's own time, so `lowest` and `highest` only bound their ids), and of what types. */
export interface ReplayRange {
  from: string;
  to: string;
  lowest: string;
  highest: string;
  types: readonly string[];
}

/**
 * Makes deliveries of what has happened, once more, in the order in which it happened; what the endpoint has still to be told anyway is left
 * out. The endpoint must be locked.
 * @param limit how many at most: when there are more, nothing is made
 * @returns the number there would be, and the first few made
 */
export async function insertReplay(
  em: EntityManager,
  key: WebhookKey,
  range: ReplayRange,
  { limit, shown }: { limit: number; shown: number },
): Promise<{ count: number; first: DeliveryKey[] }> {
  const rows = await em.execute<{ id: string | null; count: number }[]>(
    `with event as materialized (
        select e.id, e.type, row_number() over (order by e.position) as n from outbox_event e
        where e.workspace_id = ?::uuid and e.id between ?::uuid and ?::uuid and e.occurred_at >= ?::timestamptz and e.occurred_at < ?::timestamptz
          and e.position is not null and e.type in (select json_array_elements_text(?::json))
          and not exists (select from webhook_delivery d where d.workspace_id = e.workspace_id and d.webhook_id = ?::uuid
            and d.next_attempt_at is not null and d.event_id = e.id)
        limit ?::int),
      fit as materialized (select count(*)::int as count from event),
      moved as (update webhook_flow f set last_seq = f.last_seq + fit.count from fit
        where f.workspace_id = ?::uuid and f.webhook_id = ?::uuid and fit.count < ?::int returning f.last_seq - fit.count as before),
      made as (insert into webhook_delivery (workspace_id, webhook_id, event_id, event_type, cause, seq)
        select ?::uuid, ?::uuid, e.id, e.type, 'replay', m.before + e.n from event e, moved m order by e.n
        returning id, seq)
      select fit.count, made.id from fit left join (select m.id from made m order by m.seq limit ?::int) made on true`,
    [
      key.workspaceId,
      range.lowest,
      range.highest,
      range.from,
      range.to,
      JSON.stringify(range.types),
      key.id,
      limit + 1,
      key.workspaceId,
      key.id,
      limit + 1,
      key.workspaceId,
      key.id,
      shown,
    ],
  );
  const first = rows.flatMap(({ id }) => (id === null ? [] : [{ workspaceId: key.workspaceId, id }]));
  return { count: rows[0]?.count ?? 0, first };
}
