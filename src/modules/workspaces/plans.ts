import type { EntityManager } from '@mikro-orm/postgresql';
import { LockMode } from '@mikro-orm/postgresql';
import { notFound } from '#src/errors.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { checkLimit, roomFor, type PlanHolder } from '#src/modules/billing/plans.ts';
import { lockWorkspaceRow } from '#src/modules/workspaces/lock.query.ts';
import { Member } from '#src/modules/workspaces/member.entity.ts';
import { Workspace } from '#src/modules/workspaces/workspace.entity.ts';

/**
 * Locks the workspace until the transaction ends, so that what it has can be counted and changed without a race.
 * @throws AppError 404 when it is gone
 */
export async function lockWorkspace(em: EntityManager, id: string): Promise<Workspace> {
  const workspace = await lockIfThere(em, id);
  if (!workspace) throw notFound('The workspace');
  return workspace;
}

/** As `lockWorkspace`. @returns null when it is gone */
export async function lockIfThere(em: EntityManager, id: string): Promise<Workspace | null> {
  await lockWorkspaceRow(em, id);
  return em.findOne(Workspace, { id, deletedAt: null }, { refresh: true });
}

/**
 * Whether a user may own one workspace more, of that plan. The transaction must be in the user's scope, or it counts only what it sees.
 * @throws AppError 403 `plan_limit`
 */
export async function checkOwned(em: EntityManager, userId: string, one: PlanHolder): Promise<void> {
  // One at a time for each user, so that the count holds.
  await em.findOneOrFail(User, { id: userId }, { lockMode: LockMode.PESSIMISTIC_WRITE });
  const owned = await em.find(
    Member,
    { user: userId, role: 'owner', workspace: { deletedAt: null } },
    { filters: { workspace: { workspaceId: undefined } }, populate: ['workspace'] },
  );
  const roomOf = (holder: PlanHolder) => roomFor(holder, 'workspaces', owned.length);
  let best = one;
  for (const { workspace } of owned) if (roomOf(workspace.$) > roomOf(best)) best = workspace.$;
  checkLimit(best, 'workspaces', owned.length);
}
