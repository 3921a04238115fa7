import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { Plan } from '#src/http/access-token.ts';
import type { SubscriptionStatus } from '#src/modules/payments/provider.ts';

export type ProviderName = 'stripe' | 'manual';

/** A subscription of a workspace. Moments as ISO texts in UTC. */
export interface SubscriptionRow {
  id: string;
  provider: ProviderName;
  providerRef: string;
  plan: Plan;
  /** From the next period on. */
  nextPlan: Plan | null;
  status: SubscriptionStatus;
  /** One too many, which gives nothing; it is ended, unless it was made by hand. */
  isSurplus: boolean;
  /** Made by an operator at the provider. */
  isByHand: boolean;
  periodStart: string | null;
  periodEnd: string | null;
  cancelAt: string | null;
  pastDueSince: string | null;
  graceUntil: string | null;
  /** When its grace ended without a payment. */
  lapsedAt: string | null;
  /** The provider's time of what is known of it. */
  knownAt: string;
  /** Grows with each change: what is asked of the provider is keyed by it. */
  revision: number;
}

/** What can change of a subscription. */
export type SubscriptionState = Omit<SubscriptionRow, 'id' | 'provider' | 'providerRef' | 'revision'>;

const at = (column: string, name: string) =>
  `to_char(s.${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "${name}"`;

const COLUMNS = `s.id, s.provider, s.provider_ref as "providerRef", s.plan, s.next_plan as "nextPlan", s.status, s.is_surplus as "isSurplus",
  s.is_by_hand as "isByHand",
  ${at('period_start', 'periodStart')}, ${at('period_end', 'periodEnd')}, ${at('cancel_at', 'cancelAt')},
  ${at('past_due_since', 'pastDueSince')}, ${at('grace_until', 'graceUntil')}, ${at('lapsed_at', 'lapsedAt')},
  ${at('known_at', 'knownAt')}, s.revision`;
const LIVE = `s.status in ('trialing', 'active', 'past_due')`;

/** The subscription that counts: the live one, or the one that is waiting for its first payment, or the last there was. */
const CURRENT = `select ${COLUMNS} from subscription s where s.workspace_id = $1 and not s.is_surplus
  order by ${LIVE} desc, s.status = 'incomplete' desc, s.id desc limit 1`;

export async function findSubscription(pool: Pool, workspaceId: string): Promise<SubscriptionRow | null> {
  const { rows } = await queryAs<SubscriptionRow>(
    pool,
    { workspaceId },
    { name: 'subscription-current', text: CURRENT, values: [workspaceId] },
  );
  return rows[0] ?? null;
}

/** The same in a transaction that has locked the workspace. */
export async function readCurrent(em: EntityManager): Promise<SubscriptionRow | null> {
  const [row] = await em.execute<SubscriptionRow[]>(CURRENT.replace('$1', 'current_workspace()'));
  return row ?? null;
}

export async function readSubscription(
  em: EntityManager,
  key: { id: string } | { provider: ProviderName; ref: string },
): Promise<SubscriptionRow | null> {
  const [row] = await em.execute<SubscriptionRow[]>(
    `select ${COLUMNS} from subscription s where s.workspace_id = current_workspace() and ${
      'id' in key ? 's.id = ?::uuid' : 's.provider = ? and s.provider_ref = ?'
    }`,
    'id' in key ? [key.id] : [key.provider, key.ref],
  );
  return row ?? null;
}

/** The live subscription of the workspace that counts besides one. */
export async function readOther(em: EntityManager, id: string): Promise<SubscriptionRow | null> {
  const [row] = await em.execute<SubscriptionRow[]>(
    `select ${COLUMNS} from subscription s where s.workspace_id = current_workspace() and s.id <> ?::uuid and ${LIVE} and not s.is_surplus`,
    [id],
  );
  return row ?? null;
}

export const hasOther = async (em: EntityManager, id: string): Promise<boolean> => (await readOther(em, id)) !== null;

/** What was set aside is looked at again at once. */
export async function askSoon(em: EntityManager): Promise<void> {
  await em.execute(
    `update subscription s set asked_at = null where s.workspace_id = current_workspace() and s.is_surplus and ${LIVE}`,
  );
}

const STATE = [
  ['plan', 'plan', 'text'],
  ['next_plan', 'nextPlan', 'text'],
  ['status', 'status', 'text'],
  ['is_surplus', 'isSurplus', 'boolean'],
  ['is_by_hand', 'isByHand', 'boolean'],
  ['period_start', 'periodStart', 'timestamptz'],
  ['period_end', 'periodEnd', 'timestamptz'],
  ['cancel_at', 'cancelAt', 'timestamptz'],
  ['past_due_since', 'pastDueSince', 'timestamptz'],
  ['grace_until', 'graceUntil', 'timestamptz'],
  ['lapsed_at', 'lapsedAt', 'timestamptz'],
  ['known_at', 'knownAt', 'timestamptz'],
] as const;

const valuesOf = (state: SubscriptionState) => STATE.map(([, field]) => state[field]);

export async function insertSubscription(
  em: EntityManager,
  key: { id: string; provider: ProviderName; providerRef: string },
  state: SubscriptionState,
): Promise<void> {
  await em.execute(
    `insert into subscription (workspace_id, id, provider, provider_ref, ${STATE.map(([column]) => column).join()})
      values (current_workspace(), ?::uuid, ?, ?, ${STATE.map(([, , type]) => `?::${type}`).join()})`,
    [key.id, key.provider, key.providerRef, ...valuesOf(state)],
  );
}

export async function updateSubscription(em: EntityManager, id: string, state: SubscriptionState): Promise<void> {
  await em.execute(
    `update subscription set ${STATE.map(([column, , type]) => `${column} = ?::${type}`).join()},
        revision = revision + 1, updated_at = now()
      where workspace_id = current_workspace() and id = ?::uuid`,
    [...valuesOf(state), id],
  );
}

export interface SubscriptionKey {
  workspaceId: string;
  id: string;
}

/** Of all workspaces, subscriptions whose time has come for something. */
async function findKeys(
  systemPool: Pool,
  name: string,
  where: string,
  values: unknown[] = [],
): Promise<SubscriptionKey[]> {
  const { rows } = await systemPool.query<SubscriptionKey>({
    name,
    text: `select s.workspace_id as "workspaceId", s.id from subscription s where ${where} limit 100`,
    values,
  });
  return rows;
}

/** Whose grace is over, and nothing was paid. */
export const findLapsing = (systemPool: Pool) =>
  findKeys(
    systemPool,
    'subscription-lapsing',
    `s.grace_until <= now() and s.lapsed_at is null and s.status = 'past_due'`,
  );

/** Second ones, which are to be ended; what operators made is theirs to end. */
export const findSurplus = (systemPool: Pool) =>
  findKeys(
    systemPool,
    'subscription-surplus',
    `s.is_surplus and ${LIVE} and s.provider = 'stripe' and not s.is_by_hand`,
  );

/** Of workspaces that are closed: nobody is to pay for them. */
export const findAbandoned = (systemPool: Pool) =>
  findKeys(
    systemPool,
    'subscription-abandoned',
    `${LIVE} and exists (select from workspace w where w.id = s.workspace_id and w.deleted_at is not null)`,
  );

/** Paid by hand, whose next period is near and has no invoice yet, or whose period is over. @param days before its end */
export const findManualDue = (systemPool: Pool, days: number) =>
  findKeys(
    systemPool,
    'subscription-manual-due',
    `s.provider = 'manual' and s.status in ('trialing', 'active', 'past_due') and s.lapsed_at is null and (
      (s.status <> 'past_due' and s.period_end <= now())
      or (s.cancel_at is null and s.period_end <= now() + $1 * interval '1 day' and not exists (
        select from invoice i where i.workspace_id = s.workspace_id and i.subscription_id = s.id and i.reason = 'period'
          and i.status in ('open', 'paid') and i.period_start >= s.period_end)))`,
    [days],
  );

/** Asked for and never paid: given up so many days after the first invoice was due. */
export const findNeverPaid = (systemPool: Pool, days: number) =>
  findKeys(
    systemPool,
    'subscription-never-paid',
    `s.provider = 'manual' and s.status = 'incomplete' and exists (select from invoice i where i.workspace_id = s.workspace_id
      and i.subscription_id = s.id and i.status = 'open' and i.due_at <= now() - $1 * interval '1 day')`,
    [days],
  );
