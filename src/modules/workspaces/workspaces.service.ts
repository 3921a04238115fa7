import { z } from 'zod';
import type { Orm } from '#src/db/orm.ts';
import type { Auth, Role } from '#src/http/access-token.ts';
import type { WorkspaceView } from '#src/modules/workspaces/workspaces.schemas.ts';
import type { Workspace } from '#src/modules/workspaces/workspace.entity.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { forbidden, notFound } from '#src/errors.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { Member } from '#src/modules/workspaces/member.entity.ts';

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

/**
 * One of the caller's workspaces.
 * @throws AppError 404 for any other, whether it exists or not
 */
export async function readWorkspace(orm: Orm, auth: Auth, workspaceId: string): Promise<WorkspaceView> {
  const { userId } = auth;
  const member = await inWorkspaceTx(orm, { userId }, (em) =>
    em.findOne(Member, { user: userId, workspace: { id: workspaceId, deletedAt: null } }, { populate: ['workspace'] }),
  );
  if (!member) throw notFound('The workspace');
  return presentWorkspace(member.workspace.$, member.role);
}

/**
 * The workspace a user works in when they name none: their oldest.
 * @throws AppError 403 when they are a member of none
 */
export async function defaultWorkspace(orm: Orm, userId: string): Promise<WorkspaceView> {
  const member = await inWorkspaceTx(orm, { userId }, (em) =>
    em.findOne(
      Member,
      { user: userId, workspace: { deletedAt: null } },
      { orderBy: { createdAt: 'asc', workspace: 'asc' }, populate: ['workspace'] },
    ),
  );
  if (!member) throw forbidden('You are a member of no workspace.');
  return presentWorkspace(member.workspace.$, member.role);
}

/** A workspace as its member with that role sees it. */
export function presentWorkspace(workspace: Workspace, role: Role): WorkspaceView {
  return {
    id: workspace.id,
    name: workspace.name,
    role,
    createdAt: workspace.createdAt.toISOString(),
    updatedAt: workspace.updatedAt.toISOString(),
  };
}
