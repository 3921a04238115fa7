import type { EntityManager } from '@mikro-orm/postgresql';
import type { Plan } from '#src/http/access-token.ts';
import { limitByPlan, type PlanHolder } from '#src/modules/billing/plans.ts';
import type { CreditPeriod, PlanClaim, PlanSource } from '#src/modules/billing/claims.ts';

/** What the transaction's workspace may have. */
export async function findPlan(em: EntityManager): Promise<PlanHolder & { basePlan: Plan }> {
  const [row] = await em.execute<(PlanHolder & { basePlan: Plan })[]>(
    'select plan, plan_override as "planOverride", base_plan as "basePlan" from workspace where id = current_workspace()',
  );
  return row ?? { plan: 'free', basePlan: 'free' };
}

/** How many contacts the transaction's workspace has, those in the bin not counted: one that is told as it was a moment ago. */
export async function countContacts(em: EntityManager): Promise<number> {
  const [row] = await em.execute<{ contacts: number }[]>(
    'select coalesce(sum(contacts), 0)::float8 as contacts from contact_counter where workspace_id = current_workspace()',
  );
  return row?.contacts ?? 0;
}

/**
 * How many contacts more the transaction's workspace has room for. Near its limit all others who ask wait until the transaction ends, so that
 * what is made within the answer is never too many. @param wanted how many are to be made at most @returns `Infinity` without a limit
 */
export async function contactRoom(em: EntityManager, wanted: number): Promise<number> {
  const [row] = await em.execute<{ room: number | null }[]>('select contact_room(?::jsonb, ?::int)::float8 as room', [
    limitByPlan('contacts'),
    wanted,
  ]);
  return row?.room ?? Infinity;
}

/** Whether so many messages more may be sent today; who has asked may send them. As `contactRoom`. */
export async function sendRoom(em: EntityManager, wanted: number): Promise<number> {
  const [row] = await em.execute<{ room: number | null }[]>('select send_room(?::jsonb, ?::int)::float8 as room', [
    limitByPlan('messagesPerDay'),
    wanted,
  ]);
  return row?.room ?? Infinity;
}

/** Channels that waited for a day with room for more messages wait no longer. */
export async function liftSendLimit(em: EntityManager): Promise<void> {
  await em.execute(
    `update channel_flow set blocked_until = '-infinity', block_reason = null
      where workspace_id = current_workspace() and block_reason = 'plan_limit'`,
  );
}

/** What gives the transaction's workspace a plan. */
export async function findClaims(em: EntityManager): Promise<PlanClaim[]> {
  const rows = await em.execute<(Omit<PlanClaim, 'endsAt'> & { endsAt: string | null })[]>(
    `select source, plan, override, ends_at as "endsAt" from plan_claim where workspace_id = current_workspace()`,
  );
  return rows.map((row) => ({ ...row, endsAt: row.endsAt === null ? null : new Date(row.endsAt) }));
}

/** What that source gives from now on is this. */
export async function saveClaim(em: EntityManager, { source, plan, override, endsAt }: PlanClaim): Promise<void> {
  await em.execute(
    `insert into plan_claim (workspace_id, source, plan, override, ends_at)
      values (current_workspace(), ?, ?, ?::jsonb, ?::timestamptz)
      on conflict (workspace_id, source) do update
        set plan = excluded.plan, override = excluded.override, ends_at = excluded.ends_at, updated_at = now()`,
    [source, plan, override === null ? null : JSON.stringify(override), endsAt],
  );
}

/** That source gives nothing any more. */
export async function deleteClaim(em: EntityManager, source: PlanSource): Promise<void> {
  await em.execute('delete from plan_claim where workspace_id = current_workspace() and source = ?', [source]);
}

/** The month that credits were last given for, and how many, in micro-credits. */
export type GivenPeriod = CreditPeriod & { granted: number };

type Stored = Record<'anchorAt' | 'endsAt' | 'granted', string>;

export async function findPeriod(em: EntityManager): Promise<GivenPeriod | null> {
  const [row] = await em.execute<(Stored & { source: PlanSource; claimEndsAt: string | null })[]>(
    `select source, anchor_at as "anchorAt", ends_at as "endsAt", claim_ends_at as "claimEndsAt", granted
      from plan_credits where workspace_id = current_workspace()`,
  );
  if (!row) return null;
  return {
    source: row.source,
    anchorAt: new Date(row.anchorAt),
    endsAt: new Date(row.endsAt),
    claimEndsAt: row.claimEndsAt === null ? null : new Date(row.claimEndsAt),
    granted: Number(row.granted),
  };
}

export async function savePeriod(
  em: EntityManager,
  { source, anchorAt, endsAt, claimEndsAt, granted }: GivenPeriod,
): Promise<void> {
  await em.execute(
    `insert into plan_credits (workspace_id, source, anchor_at, ends_at, claim_ends_at, granted)
      values (current_workspace(), ?, ?::timestamptz, ?::timestamptz, ?::timestamptz, ?::bigint)
      on conflict (workspace_id) do update set source = excluded.source, anchor_at = excluded.anchor_at,
        ends_at = excluded.ends_at, claim_ends_at = excluded.claim_ends_at, granted = excluded.granted`,
    [source, anchorAt, endsAt, claimEndsAt, granted],
  );
}
