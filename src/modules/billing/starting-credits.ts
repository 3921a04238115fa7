import type { EntityManager } from '@mikro-orm/postgresql';
import { unclaimed } from '#src/db/claim.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { Runtime } from '#src/runtime.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { grantCredits } from '#src/modules/billing/credits.query.ts';
import { MICRO_CREDITS_PER_CREDIT } from '#src/modules/workspaces/credit-account.entity.ts';
import { Member } from '#src/modules/workspaces/member.entity.ts';
import { lockIfThere } from '#src/modules/workspaces/plans.ts';

type Needs = Pick<Runtime, 'orm' | 'config'>;

/** Grants a person's workspace its credits, in the transaction of that workspace. @param referenceId the first one they had */
async function grant(
  em: EntityManager,
  { config }: Pick<Needs, 'config'>,
  { workspaceId, referenceId }: { workspaceId: string; referenceId: string },
): Promise<void> {
  const microCredits = config.STARTING_CREDITS * MICRO_CREDITS_PER_CREDIT;
  if (microCredits > 0) await grantCredits(em, { workspaceId, microCredits, referenceId });
}

/**
 * Gives a new user's workspace its starting credits: at once, or, where mail is sent and the address is not confirmed, as a debt to them that
 * `payStartingCredits` pays. In the transaction that makes both.
 */
export async function startCredits(
  em: EntityManager,
  rt: Pick<Needs, 'config'>,
  user: User,
  workspaceId: string,
): Promise<void> {
  if (user.emailVerifiedAt !== null || rt.config.SMTP_URL === undefined)
    return grant(em, rt, { workspaceId, referenceId: workspaceId });
  await em.nativeUpdate(User, { id: user.id }, { startingWorkspaceId: workspaceId });
}

/** The workspace that starting credits are for: the first one, or, where that was closed, the oldest that the user owns; null: none yet. */
async function findOwed({ orm }: Pick<Needs, 'orm'>, userId: string, first: string): Promise<string | null> {
  const members = await inWorkspaceTx(orm, { userId }, (em) =>
    em.find(
      Member,
      { user: userId, workspace: { deletedAt: null }, $or: [{ role: 'owner' }, { workspace: first }] },
      { orderBy: { workspace: 'asc' } },
    ),
  );
  const ids = members.map(({ workspace }) => workspace.id);
  return ids.includes(first) ? first : (ids[0] ?? null);
}

/**
 * Pays a user who has confirmed their address the starting credits that wait for that, once; who has no workspace then is paid with the next.
 * After whatever confirmed it, or made that, was committed.
 */
export async function payStartingCredits(rt: Needs, userId: string): Promise<void> {
  const due = { id: userId, startingWorkspaceId: { $ne: null }, emailVerifiedAt: { $ne: null } };
  const user = await rt.orm.em.fork().findOne(User, due);
  const referenceId = user?.startingWorkspaceId;
  if (!referenceId) return;
  await unclaimed(async () => {
    const workspaceId = await findOwed(rt, userId, referenceId);
    if (workspaceId === null) return;
    await inWorkspaceTx(rt.orm, { workspaceId, userId }, async (em) => {
      // Closed since, it would take them with it.
      if (!(await lockIfThere(em, workspaceId))) return;
      // Of several at once one finds it owed.
      const owed = { id: userId, startingWorkspaceId: referenceId };
      if ((await em.nativeUpdate(User, owed, { startingWorkspaceId: null })) === 1)
        await grant(em, rt, { workspaceId, referenceId });
    });
  });
}
