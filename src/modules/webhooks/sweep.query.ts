import type { Pool } from 'pg';
import type { DeliveryKey } from '#src/modules/webhooks/wake.ts';

/** The endpoints with something open, each found from the one before by the index. */
const OPEN = `open as (
        (select workspace_id, webhook_id from webhook_delivery where next_attempt_at is not null order by 1, 2 limit 1)
        union all
        select n.workspace_id, n.webhook_id from open o cross join lateral (
          select d.workspace_id, d.webhook_id from webhook_delivery d where d.next_attempt_at is not null
            and (d.workspace_id, d.webhook_id) > (o.workspace_id, o.webhook_id) order by 1, 2 limit 1) n)`;

/**
 * Deliveries that are due, a few of each endpoint that may be delivered to now, and those that were asked for by hand. Goes from endpoint
 * to endpoint by the index, so that its price is the number of endpoints with something open, and not of what is open.
 * @param perWebhook at most so many of one endpoint
 */
export async function findDue(systemPool: Pool, perWebhook: number): Promise<DeliveryKey[]> {
  const { rows } = await systemPool.query<DeliveryKey>({
    name: 'webhook-due',
    text: `with recursive ${OPEN}
      select o.workspace_id as "workspaceId", n.id from open o
        join webhook w on w.workspace_id = o.workspace_id and w.id = o.webhook_id and w.status = 'active'
        join webhook_flow f on f.workspace_id = o.workspace_id and f.webhook_id = o.webhook_id
          and f.disable_reason is null and (f.open_until is null or f.open_until <= now())
        cross join lateral (
          (select d.id from webhook_delivery d where not w.is_ordered and d.workspace_id = o.workspace_id
            and d.webhook_id = o.webhook_id and d.status = 'pending' and d.next_attempt_at <= now()
            order by d.next_attempt_at limit $1)
          union all
          (select d.id from webhook_delivery d where not w.is_ordered and d.workspace_id = o.workspace_id
            and d.webhook_id = o.webhook_id and d.status = 'sending' and d.next_attempt_at <= now()
            order by d.next_attempt_at limit $1)
          union all
          (select l.id from (select d.id, d.next_attempt_at from webhook_delivery d where w.is_ordered
            and d.workspace_id = o.workspace_id and d.webhook_id = o.webhook_id and d.next_attempt_at is not null
            order by d.seq limit 1) l where l.next_attempt_at <= now())) n
      union
      select workspace_id, id from webhook_delivery where is_direct and next_attempt_at <= now()`,
    values: [perWebhook],
  });
  return rows;
}

/**
 * Ends deliveries of endpoints that are gone or turned off, a few of each in a statement: what was waiting in large numbers, or was given
 * back behind the end of its endpoint. What was asked for by hand is made also where the endpoint is off.
 * @returns how many
 */
export async function cancelLeft(systemPool: Pool, perWebhook: number): Promise<number> {
  const { rowCount } = await systemPool.query({
    name: 'webhook-left',
    text: `with recursive ${OPEN},
      ended as materialized (select o.workspace_id, o.webhook_id, w.id is null as is_gone from open o
        left join webhook w on w.workspace_id = o.workspace_id and w.id = o.webhook_id where w.id is null or w.status = 'disabled')
      update webhook_delivery d set status = 'cancelled', next_attempt_at = null, lease_token = null, is_direct = false,
          finished_at = now(), error = case when n.is_gone then 'webhook_deleted' else 'webhook_disabled' end
        from (select l.workspace_id, l.id, e.is_gone from ended e cross join lateral (
          select d.workspace_id, d.id from webhook_delivery d where d.workspace_id = e.workspace_id and d.webhook_id = e.webhook_id
            and d.next_attempt_at is not null and (e.is_gone or not d.is_direct) order by d.status, d.next_attempt_at limit $1
            for update skip locked) l) n
        where d.workspace_id = n.workspace_id and d.id = n.id`,
    values: [perWebhook],
  });
  return rowCount ?? 0;
}

/** Some endpoints that are to be turned off, because they are gone or nothing has succeeded for too long; others the next time. */
export async function findToDisable(
  systemPool: Pool,
  limit: number,
): Promise<{ workspaceId: string; webhookId: string; reason: string }[]> {
  const { rows } = await systemPool.query<{ workspaceId: string; webhookId: string; reason: string }>(
    `select workspace_id as "workspaceId", webhook_id as "webhookId", disable_reason as reason from webhook_flow
      where disable_reason is not null order by random() limit $1`,
    [limit],
  );
  return rows;
}
