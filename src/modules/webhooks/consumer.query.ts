import type { PoolClient } from 'pg';
import type { StoredEvent } from '#src/events/relay.query.ts';
import type { DeliveryKey } from '#src/modules/webhooks/wake.ts';

/**
 * Makes the deliveries of some events, numbered per endpoint in the events' order. Endpoints are locked in the order of their key, as by
 * all that lock several; one that was turned off while its lock was waited for is left out.
 * @param patterns of an event: the subscriptions it falls under
 * @returns of each endpoint the first `perWebhook` that were made
 */
export async function insertDeliveries(
  tx: PoolClient,
  events: readonly (StoredEvent & { patterns: readonly string[] })[],
  perWebhook: number,
): Promise<DeliveryKey[]> {
  const { rows } = await tx.query<DeliveryKey>({
    name: 'webhook-deliveries',
    text: `with event as materialized (
        select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[]) as t (workspace_id, id, type, position, patterns)),
      meant as materialized (select w.workspace_id, w.id as webhook_id, e.id as event_id, e.type,
          row_number() over (partition by w.workspace_id, w.id order by e.position) as n
        from event e join webhook w on w.workspace_id = e.workspace_id and w.status = 'active'
          and w.events && string_to_array(e.patterns, ',')),
      counted as materialized (select workspace_id, webhook_id, max(n) as n from meant group by 1, 2),
      locked as materialized (select f.workspace_id, f.webhook_id, f.last_seq from webhook_flow f
        join webhook w on w.workspace_id = f.workspace_id and w.id = f.webhook_id and w.status = 'active'
        where (f.workspace_id, f.webhook_id) in (select workspace_id, webhook_id from counted)
        order by f.workspace_id, f.webhook_id for update of f for share of w),
      moved as (update webhook_flow f set last_seq = f.last_seq + c.n from locked l join counted c using (workspace_id, webhook_id)
        where f.workspace_id = l.workspace_id and f.webhook_id = l.webhook_id),
      made as (insert into webhook_delivery (workspace_id, webhook_id, event_id, event_type, seq)
        select m.workspace_id, m.webhook_id, m.event_id, m.type, l.last_seq + m.n from meant m
        join locked l using (workspace_id, webhook_id) order by m.workspace_id, m.webhook_id, m.n
        returning workspace_id, id, webhook_id, seq)
      select d.workspace_id as "workspaceId", d.id from made d join locked l using (workspace_id, webhook_id)
        where d.seq <= l.last_seq + $6::int`,
    values: [
      events.map((event) => event.workspaceId),
      events.map((event) => event.id),
      events.map((event) => event.type),
      events.map((event) => event.position),
      events.map((event) => event.patterns.join(',')),
      perWebhook,
    ],
  });
  return rows;
}
