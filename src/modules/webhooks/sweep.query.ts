import type { Pool } from 'pg';
import type { DeliveryKey } from '#src/modules/webhooks/wake.ts';

/**
 * Deliveries that are due, a few of each endpoint that may be delivered to now, and those that were asked for by hand. Goes from endpoint
 * to endpoint by the index, so that its price is the number of endpoints with something open, and not of what is open.
 * @param perWebhook at most so many of one endpoint
 */
export async function findDue(systemPool: Pool, perWebhook: number): Promise<DeliveryKey[]> {
  const { rows } = await systemPool.query<DeliveryKey>({
    name: 'webhook-due',
    text: `with recursive open as (
        (select workspace_id, webhook_id from webhook_delivery where next_attempt_at is not null order by 1, 2 limit 1)
        union all
        select n.workspace_id, n.webhook_id from open o cross join lateral (
          select d.workspace_id, d.webhook_id from webhook_delivery d where d.next_attempt_at is not null
            and (d.workspace_id, d.webhook_id) > (o.workspace_id, o.webhook_id) order by 1, 2 limit 1) n)
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

/** Endpoints that are to be turned off, because they are gone or nothing has succeeded for too long. */
export async function findToDisable(
  systemPool: Pool,
  limit: number,
): Promise<{ workspaceId: string; webhookId: string; reason: string }[]> {
  const { rows } = await systemPool.query<{ workspaceId: string; webhookId: string; reason: string }>(
    `select workspace_id as "workspaceId", webhook_id as "webhookId", disable_reason as reason from webhook_flow
      where disable_reason is not null limit $1`,
    [limit],
  );
  return rows;
}
