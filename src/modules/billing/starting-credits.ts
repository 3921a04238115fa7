import type { EntityManager } from '@mikro-orm/postgresql';
import { unclaimed } from '#src/db/claim.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { Runtime } from '#src/runtime.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { grantCredits } from '#src/modules/billing/credits.query.ts';
import { MICRO_CREDITS_PER_CREDIT } from '#src/modules/workspaces/credit-account.entity.ts';

type Needs = Pick<Runtime, 'orm' | 'config'>;

/** Grants a person's first workspace its credits, in the transaction of that workspace. */
async function grant(em: EntityManager, { config }: Pick<Needs, 'config'>, workspaceId: string): Promise<void> {
  const microCredits = config.STARTING_CREDITS * MICRO_CREDITS_PER_CREDIT;
  if (microCredits > 0) await grantCredits(em, { workspaceId, microCredits, referenceId: workspaceId });
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
  if (user.emailVerifiedAt !== null || rt.config.SMTP_URL === undefined) return grant(em, rt, workspaceId);
  await em.nativeUpdate(User, { id: user.id }, { startingWorkspaceId: workspaceId });
}

/** Pays a user who has confirmed their address the starting credits that wait for that, once. After whatever confirmed it was committed. */
export async function payStartingCredits(rt: Needs, userId: string): Promise<void> {
  const due = { id: userId, startingWorkspaceId: { $ne: null }, emailVerifiedAt: { $ne: null } };
  const user = await rt.orm.em.fork().findOne(User, due);
  const workspaceId = user?.startingWorkspaceId;
  if (!workspaceId) return;
  await unclaimed(() =>
    inWorkspaceTx(rt.orm, { workspaceId, userId }, async (em) => {
      // Of several at once one finds it owed.
      const owed = { id: userId, startingWorkspaceId: workspaceId };
      if ((await em.nativeUpdate(User, owed, { startingWorkspaceId: null })) === 1) await grant(em, rt, workspaceId);
    }),
  );
}
