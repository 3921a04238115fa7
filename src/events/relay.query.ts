import type { ClientBase, Pool, PoolClient } from 'pg';
import type { EventType } from '#src/events/catalog.ts';

/** An event with its place in the one order of all events. */
export interface StoredEvent {
  workspaceId: string;
  id: string;
  /** Exact as a double up to 2^53. */
  position: number;
  type: EventType;
  subjectId: string | null;
  actorId: string | null;
  data: unknown;
  occurredAt: Date;
}

/** The columns of `outbox_event` as a `StoredEvent`. */
export const EVENT_COLUMNS = `workspace_id as "workspaceId", id, position::float8, type, subject_id as "subjectId",
  actor_id as "actorId", data, occurred_at as "occurredAt"`;

/**
 * Gives committed events their places, oldest id first. The row of `outbox_head` is locked first, so that even two leaders at once give no
 * place twice and none out of order. The limit stands in the text: a plan made for any limit would read all that is stored.
 * @returns how many; call again while it is `max`
 */
export async function placeEvents(pool: Pool, max: number): Promise<number> {
  const { rows } = await pool.query<{ placed: number }>({
    name: `outbox-place-${max}`,
    text: `with head as materialized (select last from outbox_head limit 1 for update),
      waiting as materialized (select e.workspace_id, e.id from outbox_event e, head where e.position is null
        order by e.id limit ${max} for update of e skip locked),
      numbered as (select w.*, row_number() over (order by w.id) as n from waiting w),
      placed as (update outbox_event e set position = head.last + n.n from numbered n, head
        where e.workspace_id = n.workspace_id and e.id = n.id returning 1)
      update outbox_head h set last = h.last + (select count(*) from placed) where exists (select from placed)
      returning (select count(*) from placed)::int as placed`,
  });
  return rows[0]?.placed ?? 0;
}

/** Has a connection notified of every commit with new events. */
export async function listenForEvents(client: ClientBase): Promise<void> {
  await client.query('listen outbox_event');
}

/** Makes sure a consumer has a cursor; a new one begins with what comes next. */
export async function enrolConsumer(pool: Pool, name: string): Promise<void> {
  await pool.query(
    `insert into event_consumer (name, position) select $1, last from outbox_head on conflict (name) do nothing`,
    [name],
  );
}

/** Locks a consumer's cursor for the transaction, so that nobody else moves it. @returns the position handled last */
export async function lockCursor(client: PoolClient, name: string): Promise<number> {
  const { rows } = await client.query<{ position: number }>({
    name: 'consumer-lock',
    text: 'select position::float8 from event_consumer where name = $1 for update',
    values: [name],
  });
  if (!rows[0]) throw new Error(`The consumer ${name} is not enrolled`);
  return rows[0].position;
}

/** The events behind a position, in order: of the column, not of the number it is read as, which has no index. */
export async function readEvents(client: PoolClient, after: number, limit: number): Promise<StoredEvent[]> {
  const { rows } = await client.query<StoredEvent>({
    name: 'outbox-read',
    text: `select ${EVENT_COLUMNS} from outbox_event e where e.position > $1 order by e.position limit $2`,
    values: [after, limit],
  });
  return rows;
}

export async function moveCursor(client: PoolClient, name: string, position: number): Promise<void> {
  await client.query({
    name: 'consumer-move',
    text: 'update event_consumer set position = $2 where name = $1',
    values: [name, position],
  });
}

/** Puts an event aside that a consumer cannot handle, or says when to try one again that is there already. */
export async function setAside(
  client: PoolClient,
  consumer: string,
  position: number,
  retryInMs: number,
): Promise<void> {
  await client.query(
    `insert into event_set_aside (consumer, position, failures, next_attempt_at)
      values ($1, $2, 1, now() + $3 * interval '1 millisecond')
      on conflict (consumer, position) do update set failures = event_set_aside.failures + 1,
        next_attempt_at = now() + least(3600000, $3 * 2 ^ least(event_set_aside.failures, 20)) * interval '1 millisecond'`,
    [consumer, position, retryInMs],
  );
}

/** Takes one event out of those set aside that is due again, for the transaction. */
export async function takeSetAside(client: PoolClient, consumer: string): Promise<StoredEvent | undefined> {
  const { rows } = await client.query<StoredEvent>(
    `select ${EVENT_COLUMNS} from outbox_event where position = (select position from event_set_aside
      where consumer = $1 and next_attempt_at <= now() order by next_attempt_at limit 1 for update skip locked)`,
    [consumer],
  );
  return rows[0];
}

export async function forgetSetAside(client: PoolClient, consumer: string, position: number): Promise<void> {
  await client.query('delete from event_set_aside where consumer = $1 and position = $2', [consumer, position]);
}

/** How far each consumer is behind: events not handled, the age of the oldest of them in seconds, and events set aside. */
export async function findLags(
  pool: Pool,
): Promise<{ consumer: string; events: number; seconds: number; aside: number }[]> {
  const { rows } = await pool.query<{ consumer: string; events: number; seconds: number; aside: number }>({
    name: 'consumer-lags',
    text: `select c.name as consumer, (h.last - c.position)::float8 as events,
        coalesce((select extract(epoch from now() - e.occurred_at) from outbox_event e where e.position > c.position
          order by e.position limit 1), 0)::float8 as seconds,
        (select count(*) from event_set_aside s where s.consumer = c.name)::int as aside
      from event_consumer c, outbox_head h`,
  });
  return rows;
}
