import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import type { Actor } from '#src/modules/audit/audit.ts';

/** What somebody asks of a provider. */
export interface Ask {
  /** A subscription's id, or an invoice's. */
  targetId: string;
  action: 'subscription.canceled' | 'subscription.reactivated' | 'subscription.plan_changed' | 'invoice.refunded';
  /** The plan, or what is to be given back in all, in minor units; empty: nothing, or everything. */
  wish: string;
}

export type StoredAsk = Ask & Pick<Actor, 'kind' | 'id' | 'requestId'> & { askedAt: Date };

const OWN = 'workspace_id = current_workspace()';

/** Writes down what is about to be asked. @returns whether the same person does not wait for the same already */
export async function noteAsk(
  em: EntityManager,
  { kind, id, requestId }: Actor,
  { targetId, action, wish }: Ask,
): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `insert into payment_ask (workspace_id, target_id, action, wish, actor_kind, actor_id, request_id)
      values (current_workspace(), ?::uuid, ?, ?, ?, ?::uuid, ?) on conflict do nothing returning 1`,
    [targetId, action, wish, kind, id, requestId],
  );
  return rows.length > 0;
}

/** It is known what came of it. @returns whether that was not written down yet */
export async function takeAsk(
  em: EntityManager,
  { kind, id }: Pick<Actor, 'kind' | 'id'>,
  { targetId, action, wish }: Ask,
): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `delete from payment_ask where ${OWN} and target_id = ?::uuid and action = ? and wish = ? and actor_kind = ?
      and actor_id is not distinct from ?::uuid returning 1`,
    [targetId, action, wish, kind, id],
  );
  return rows.length > 0;
}

/** What was asked of one, and of which nobody knows what came of it, oldest first. */
export async function readAsks(em: EntityManager, targetId: string): Promise<StoredAsk[]> {
  return em.execute<StoredAsk[]>(
    `select target_id as "targetId", action, wish, actor_kind as kind, actor_id as id, request_id as "requestId", asked_at as "askedAt"
      from payment_ask where ${OWN} and target_id = ?::uuid order by asked_at`,
    [targetId],
  );
}

/** Drops what nobody has heard of for 90 days. @returns how many */
export async function purgeAsks(systemPool: Pool): Promise<number> {
  const { rowCount } = await systemPool.query(`delete from payment_ask where asked_at < now() - interval '90 days'`);
  return rowCount ?? 0;
}
