import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import type { Orm } from '#src/db/orm.ts';
import type { Auth, Role } from '#src/http/access-token.ts';
import type { Runtime } from '#src/runtime.ts';
import type { WorkspaceBody, WorkspacePatch, WorkspaceView } from '#src/modules/workspaces/workspaces.schemas.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { notFound } from '#src/errors.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { newId } from '#src/lib/ids.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { payStartingCredits } from '#src/modules/billing/starting-credits.ts';
import { deleteAllWebhooks } from '#src/modules/webhooks/webhooks.query.ts';
import { CreditAccount } from '#src/modules/workspaces/credit-account.entity.ts';
import { Member } from '#src/modules/workspaces/member.entity.ts';
import { checkOwned, lockWorkspace } from '#src/modules/workspaces/plans.ts';
import { Workspace } from '#src/modules/workspaces/workspace.entity.ts';

const Cursor = z.tuple([z.uuid()]);

/** The caller's workspaces, oldest first, one page of them. */
export async function listWorkspaces(orm: Orm, userId: string, page: { limit: number; cursor?: string | undefined }) {
  const after = page.cursor === undefined ? undefined : decodeCursor(page.cursor, Cursor)[0];
  const members = await inWorkspaceTx(orm, { userId }, (em) =>
    em.find(
      Member,
      { user: userId, workspace: { deletedAt: null, ...(after === undefined ? {} : { id: { $gt: after } }) } },
      // Ids are UUIDs of version 7: their order is the order of creation.
      { orderBy: { workspace: 'asc' }, limit: page.limit + 1, populate: ['workspace'] },
    ),
  );
  return toPage(
    members,
    page.limit,
    (member) => [member.workspace.id],
    (member) => presentWorkspace(member.workspace.$, member.role),
  );
}

/** The workspace the caller works in. @throws AppError 404 when it has just gone */
export async function readWorkspace(orm: Orm, auth: Auth): Promise<WorkspaceView> {
  const workspace = await findOwnWorkspace(orm, auth.userId, auth.workspaceId);
  if (!workspace) throw notFound('The workspace');
  return workspace;
}

/** @param id the workspace; without one, the user's oldest. @returns it as they see it, if they are in it */
async function findOwnWorkspace(orm: Orm, userId: string, id?: string): Promise<WorkspaceView | undefined> {
  const member = await inWorkspaceTx(orm, { userId }, (em) =>
    em.findOne(
      Member,
      { user: userId, workspace: { deletedAt: null, ...(id === undefined ? {} : { id }) } },
      { orderBy: { createdAt: 'asc', workspace: 'asc' }, populate: ['workspace'] },
    ),
  );
  return member ? presentWorkspace(member.workspace.$, member.role) : undefined;
}

/**
 * The workspace a user works in when they name none: the one they worked in, their oldest, or, for who has left or lost all, a new one.
 * @param last where they worked before, if that is known
 */
export async function homeWorkspace(
  rt: Pick<Runtime, 'orm' | 'config'>,
  user: { id: string; name: string },
  last?: string,
): Promise<WorkspaceView> {
  const known = last === undefined ? undefined : await findOwnWorkspace(rt.orm, user.id, last);
  const home = known ?? (await findOwnWorkspace(rt.orm, user.id));
  if (home) return home;
  const scope = { workspaceId: newId(), userId: user.id };
  const made = await inWorkspaceTx(rt.orm, scope, async (em) => {
    const workspace = addWorkspace(em, rt, scope, { name: user.name });
    await em.flush();
    return presentWorkspace(workspace, 'owner');
  });
  await payStartingCredits(rt, user.id);
  return made;
}

/** Adds a workspace with its owner and its empty account, in the transaction of that workspace. */
export function addWorkspace(
  em: EntityManager,
  { config: { DEFAULT_PLAN: plan } }: Pick<Runtime, 'config'>,
  scope: { workspaceId: string; userId: string },
  fields: WorkspaceBody,
): Workspace {
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  const workspace = em.create(Workspace, { id: scope.workspaceId, name: fields.name, ...given, plan, basePlan: plan });
  em.create(Member, { user: scope.userId, workspace, role: 'owner' });
  em.create(CreditAccount, { workspace });
  return workspace;
}

/**
 * Makes one more workspace for the caller. Starting credits come once for each person: else they could be had without end.
 * @throws AppError 403 `plan_limit`
 */
export async function createWorkspace(
  rt: Pick<Runtime, 'orm' | 'config'>,
  auth: Auth,
  actor: Actor,
  body: WorkspaceBody,
): Promise<WorkspaceView> {
  const scope = { workspaceId: newId(), userId: auth.userId };
  const made = await inWorkspaceTx(rt.orm, scope, async (em) => {
    await checkOwned(em, auth.userId, { plan: rt.config.DEFAULT_PLAN });
    const workspace = addWorkspace(em, rt, scope, body);
    await em.flush();
    await appendAudit(em, actor, {
      action: 'workspace.created',
      target: { type: 'workspace', id: workspace.id },
      after: body,
    });
    return presentWorkspace(workspace, 'owner');
  });
  await payStartingCredits(rt, auth.userId);
  return made;
}

/** Changes the caller's workspace. */
export function changeWorkspace(orm: Orm, auth: Auth, actor: Actor, patch: WorkspacePatch): Promise<WorkspaceView> {
  return inWorkspaceTx(orm, { workspaceId: auth.workspaceId }, async (em) => {
    const workspace = await lockWorkspace(em, auth.workspaceId);
    const { name, timeZone, currency, country } = workspace;
    const defined = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
    Object.assign(workspace, defined);
    if (workspace.timeZone !== timeZone) workspace.zonedAt = new Date();
    await em.flush();
    const target = { type: 'workspace', id: workspace.id };
    const before = { name, timeZone, currency, country };
    await emitEvent(em, {
      type: 'workspace.changed',
      data: { changed: Object.keys(defined) },
      subjectId: null,
      actorId: auth.userId,
    });
    await appendAudit(em, actor, { action: 'workspace.changed', target, before, after: patch });
    return presentWorkspace(workspace, auth.role);
  });
}

/**
 * Closes the caller's workspace: from now on nobody is in it, its keys and sockets end within two seconds, and what it had asked for is
 * cancelled, so that no provider is sent more of it. Its sealed values can never be opened again.
 */
export async function deleteWorkspace(
  { orm, vault, jobs }: Pick<Runtime, 'orm' | 'vault' | 'jobs'>,
  auth: Auth,
  actor: Actor,
): Promise<void> {
  await inWorkspaceTx(orm, { workspaceId: auth.workspaceId }, async (em) => {
    const workspace = await lockWorkspace(em, auth.workspaceId);
    workspace.deletedAt = new Date();
    await em.flush();
    await deleteAllWebhooks(em, auth.workspaceId);
    await appendAudit(em, actor, { action: 'workspace.deleted', target: { type: 'workspace', id: workspace.id } });
  });
  await jobs.cancelAll(auth.workspaceId);
  await vault.destroy(auth.workspaceId);
}

/** A workspace as its member with that role sees it. */
export function presentWorkspace(workspace: Workspace, role: Role): WorkspaceView {
  return {
    id: workspace.id,
    name: workspace.name,
    role,
    plan: workspace.plan,
    timeZone: workspace.timeZone,
    currency: workspace.currency,
    country: workspace.country,
    createdAt: workspace.createdAt.toISOString(),
    updatedAt: workspace.updatedAt.toISOString(),
  };
}
