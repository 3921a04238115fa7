import type { EntityManager } from '@mikro-orm/postgresql';
import { LockMode } from '@mikro-orm/postgresql';
import type { Plan } from '#src/http/access-token.ts';
import { AppError, notFound } from '#src/errors.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { lockWorkspaceRow } from '#src/modules/workspaces/lock.query.ts';
import { Member } from '#src/modules/workspaces/member.entity.ts';
import { Workspace } from '#src/modules/workspaces/workspace.entity.ts';

/** What a workspace may have, by its plan. `workspaces` counts those a user owns that have this plan or a lower one. */
export const PLAN_LIMITS = {
  free: { members: 5, invites: 10, apiKeys: 20, workspaces: 3, webhooks: 5 },
  pro: { members: 20, invites: 40, apiKeys: 50, workspaces: 10, webhooks: 20 },
  business: { members: 200, invites: 400, apiKeys: 200, workspaces: 50, webhooks: 100 },
} as const satisfies Record<Plan, Record<string, number>>;

export type LimitName = keyof (typeof PLAN_LIMITS)['free'];

/**
 * Locks the workspace until the transaction ends, so that what it has can be counted and changed without a race.
 * @throws AppError 404 when it is gone
 */
export async function lockWorkspace(em: EntityManager, id: string): Promise<Workspace> {
  await lockWorkspaceRow(em, id);
  const workspace = await em.findOne(Workspace, { id, deletedAt: null }, { refresh: true });
  if (!workspace) throw notFound('The workspace');
  return workspace;
}

/** @throws AppError 403 `plan_limit` when one more would be too many */
export function checkLimit(plan: Plan, name: LimitName, used: number): void {
  const limit = PLAN_LIMITS[plan][name];
  if (used < limit) return;
  throw new AppError(403, 'plan_limit', `The plan ${plan} has room for ${limit} ${name}; ${used} are taken.`);
}

/**
 * Whether a user may own one workspace more, of that plan. The transaction must be in the user's scope, or it counts only what it sees.
 * @throws AppError 403 `plan_limit`
 */
export async function checkOwned(em: EntityManager, userId: string, plan: Plan): Promise<void> {
  // One at a time for each user, so that the count holds.
  await em.findOneOrFail(User, { id: userId }, { lockMode: LockMode.PESSIMISTIC_WRITE });
  const owned = await em.find(
    Member,
    { user: userId, role: 'owner', workspace: { deletedAt: null } },
    { filters: { workspace: { workspaceId: undefined } }, populate: ['workspace'] },
  );
  const plans = new Set([plan, ...owned.map((member) => member.workspace.$.plan)]);
  const best = (['business', 'pro'] as const).find((one) => plans.has(one)) ?? 'free';
  checkLimit(best, 'workspaces', owned.length);
}
