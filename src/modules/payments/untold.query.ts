import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';

/** What the provider may have told nothing of. */
export interface UntoldKey {
  workspaceId: string;
  id: string;
}

const MAY_BE_ASKED = `(asked_at is null or asked_at <= now() - interval '1 hour')`;
const OF_OPEN = 'exists (select from workspace w where w.id = workspace_id and w.deleted_at is null)';
const LIVE = `status in ('trialing', 'active', 'past_due')`;

/**
 * Of all workspaces, subscriptions whose period ended more than a day ago without news, those that are about to lose their plan unpaid, and
 * those that an operator made beside another; each at most once an hour, those first that were never asked about.
 */
export async function findUntoldSubscriptions(systemPool: Pool, limit: number): Promise<UntoldKey[]> {
  const { rows } = await systemPool.query<UntoldKey>({
    name: 'subscription-untold',
    text: `select workspace_id as "workspaceId", id from subscription where provider = 'stripe' and ${LIVE} and ${MAY_BE_ASKED} and ${OF_OPEN}
        and (period_end <= now() - interval '1 day'
          or (grace_until <= now() + interval '1 day' and lapsed_at is null)
          or (is_surplus and is_by_hand))
      order by asked_at nulls first limit $1`,
    values: [limit],
  });
  return rows;
}

/** Of all workspaces, offers that are open although their time is over. */
export async function findUntoldCheckouts(systemPool: Pool, limit: number): Promise<UntoldKey[]> {
  const { rows } = await systemPool.query<UntoldKey>({
    name: 'checkout-untold',
    text: `select workspace_id as "workspaceId", id from checkout where status = 'open' and expires_at <= now() and provider_ref is not null
        and ${MAY_BE_ASKED} and ${OF_OPEN}
      order by asked_at nulls first limit $1`,
    values: [limit],
  });
  return rows;
}

/** How far it was looked what happened at a provider. */
export interface Sweep {
  /** All that happened before is known; ISO text in UTC. */
  since: string;
  /** Where a look that took longer goes on. */
  after: string | null;
}

/** Takes the hour in which a provider is asked what happened: the last day again, and no more than the month that it tells of. @returns null: not yet */
export async function takeSweep(systemPool: Pool, provider: string): Promise<Sweep | null> {
  const { rows } = await systemPool.query<Sweep>(
    `insert into payment_sweep as s (provider) values ($1)
      on conflict (provider) do update set asked_at = now(), begun_at = case when s.after_ref is null then now() else s.begun_at end
        where s.asked_at <= now() - interval '1 hour'
      returning after_ref as after, to_char(greatest(known_until - interval '1 day', now() - interval '30 days') at time zone 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as since`,
    [provider],
  );
  return rows[0] ?? null;
}

/** A page of what happened is stored. @param after where it goes on; null: it is all */
export async function noteSweep(systemPool: Pool, provider: string, after: string | null): Promise<void> {
  await systemPool.query(
    `update payment_sweep set after_ref = $2, known_until = case when $2::text is null then begun_at else known_until end where provider = $1`,
    [provider, after],
  );
}

/** Takes the hour in which one is asked about. @returns what it is at the provider, and whose; null: somebody else did, or it is over */
async function take(em: EntityManager, from: string, id: string, live: string) {
  const [row] = await em.execute<{ ref: string; customerRef: string; since: string }[]>(
    `update ${from} one set asked_at = now() from billing_customer c
      where one.workspace_id = current_workspace() and one.id = ?::uuid and one.${live} and ${MAY_BE_ASKED.replaceAll('asked_at', 'one.asked_at')}
        and c.workspace_id = one.workspace_id
      returning one.provider_ref as ref, c.provider_ref as "customerRef",
        to_char(one.${from === 'subscription' ? 'period_start' : 'created_at'} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as since`,
    [id],
  );
  return row ?? null;
}

export const takeSubscription = (em: EntityManager, id: string) => take(em, 'subscription', id, LIVE);
export const takeCheckout = (em: EntityManager, id: string) => take(em, 'checkout', id, `status = 'open'`);
