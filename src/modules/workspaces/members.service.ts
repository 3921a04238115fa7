import type { EntityManager, Loaded } from '@mikro-orm/postgresql';
import { z } from 'zod';
import type { Auth, Role } from '#src/http/access-token.ts';
import type { Orm } from '#src/db/orm.ts';
import type { MemberPatch, MemberView } from '#src/modules/workspaces/workspaces.schemas.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { conflict, forbidden, notFound } from '#src/errors.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { isAtLeast, mustBeAbleToGive, mustHave } from '#src/http/permissions.ts';
import { ApiKey } from '#src/modules/api-keys/api-key.entity.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { Member } from '#src/modules/workspaces/member.entity.ts';
import { checkOwned, lockWorkspace } from '#src/modules/workspaces/plans.ts';
import type { Workspace } from '#src/modules/workspaces/workspace.entity.ts';

/** The members of the caller's workspace, by pages. */
export async function listMembers(orm: Orm, auth: Auth, page: { limit: number; cursor?: string | undefined }) {
  const after = page.cursor === undefined ? undefined : decodeCursor(page.cursor, z.tuple([z.uuid()]))[0];
  const where = after === undefined ? {} : { user: { id: { $gt: after } } };
  const members = await inWorkspaceTx(orm, { workspaceId: auth.workspaceId }, (em) =>
    em.find(Member, where, { orderBy: { user: { id: 'asc' } }, limit: page.limit + 1, populate: ['user'] }),
  );
  return toPage(members, page.limit, (member) => [member.user.id], presentMember);
}

/**
 * Changes a member's role, or what they may beyond it or not. Nobody gives what they do not have, or touches who stands above them.
 * @throws AppError 403 (also `plan_limit` for a new owner), 404, 409 `last_owner`
 */
export function changeMember(
  orm: Orm,
  auth: Auth,
  actor: Actor,
  userId: string,
  patch: MemberPatch,
): Promise<MemberView> {
  return inMembersTx(orm, auth, userId, async (em, { own, workspace }) => {
    const member = await findMember(em, auth, userId);
    const before = rightsOf(member);
    mayTouch(auth, member.role);
    if (patch.role !== undefined) mayTouch(auth, patch.role);
    if (patch.role === 'owner' && member.role !== 'owner') await checkOwned(em, userId, workspace);
    if (member.role === 'owner' && (patch.role ?? 'owner') !== 'owner') await mustNotBeLast(em, auth);
    Object.assign(member, defined(patch));
    mustBeAbleToGive(own, { ...before, scopes: null }, { ...rightsOf(member), scopes: null });
    await em.flush();
    const target = { type: 'member', id: userId };
    await emitEvent(em, memberEvent('member.changed', auth, member));
    await appendAudit(em, actor, { action: 'member.changed', target, before, after: rightsOf(member) });
    return presentMember(member);
  });
}

/** Takes a member out, or lets the caller leave. @throws AppError 403, 404, 409 `last_owner` */
export function removeMember(orm: Orm, auth: Auth, actor: Actor, userId: string): Promise<void> {
  return inMembersTx(orm, auth, userId, async (em) => {
    const member = await findMember(em, auth, userId);
    if (userId !== auth.userId) {
      mustHave(auth, 'members:manage');
      mayTouch(auth, member.role);
    }
    if (member.role === 'owner') await mustNotBeLast(em, auth);
    em.remove(member);
    await em.flush();
    // Their keys would work again as soon as they are a member again.
    const now = new Date();
    const revokedKeys = await em.nativeUpdate(ApiKey, { createdBy: userId, revokedAt: null }, { revokedAt: now });
    const target = { type: 'member', id: userId };
    const change = { action: 'member.removed', target, before: rightsOf(member), after: { revokedKeys } };
    await emitEvent(em, memberEvent('member.removed', auth, member));
    await appendAudit(em, actor, change);
  });
}

/** Makes another member the owner; the caller becomes an admin. @throws AppError 403 `plan_limit`, 404, 409 for oneself */
export function transferOwnership(orm: Orm, auth: Auth, actor: Actor, userId: string): Promise<MemberView> {
  if (userId === auth.userId) throw conflict('already_owner', 'You are the owner already.');
  return inMembersTx(orm, auth, userId, async (em, { workspace }) => {
    const [own, heir] = [await findMember(em, auth, auth.userId), await findMember(em, auth, userId)];
    if (own.role !== 'owner') throw forbidden('Only an owner can pass the ownership on.');
    if (heir.role !== 'owner') await checkOwned(em, userId, workspace);
    Object.assign(heir, { role: 'owner', denies: [] });
    own.role = 'admin';
    await em.flush();
    const target = { type: 'member', id: userId };
    const after = { owner: userId };
    for (const changed of [own, heir]) await emitEvent(em, memberEvent('member.changed', auth, changed));
    await appendAudit(em, actor, { action: 'workspace.transferred', target, before: { owner: auth.userId }, after });
    return presentMember(heir);
  });
}

/**
 * One transaction in which nobody else changes the workspace's members; the caller's own rights are read again under its lock. The member
 * it is about has their memberships elsewhere in its scope, so every look at members names the workspace.
 */
function inMembersTx<Result>(
  orm: Orm,
  auth: Auth,
  userId: string,
  work: (em: EntityManager, locked: { own: Auth; workspace: Workspace }) => Promise<Result>,
): Promise<Result> {
  return inWorkspaceTx(orm, { workspaceId: auth.workspaceId, userId }, async (em) => {
    const workspace = await lockWorkspace(em, auth.workspaceId);
    const own = await em.findOne(Member, { workspace: auth.workspaceId, user: auth.userId });
    if (own?.role !== auth.role) throw conflict('role_changed', 'Your own role has just changed. Try again.');
    return work(em, { own: { ...auth, grants: own.grants, denies: own.denies }, workspace });
  });
}

async function findMember(em: EntityManager, { workspaceId }: Auth, userId: string): Promise<Loaded<Member, 'user'>> {
  const member = await em.findOne(Member, { workspace: workspaceId, user: userId }, { populate: ['user'] });
  if (!member) throw notFound('The member');
  return member;
}

/** Nobody changes, or makes, somebody of a higher role than their own. */
function mayTouch(auth: Auth, role: Role): void {
  if (!isAtLeast(auth.role, role)) throw forbidden(`This takes the role ${role}; yours is ${auth.role}.`);
}

const memberEvent = (
  type: 'member.changed' | 'member.removed',
  { userId: actorId }: Auth,
  { user, role }: Loaded<Member, 'user'>,
) => ({ type, data: { userId: user.id, role }, subjectId: user.id, actorId });

async function mustNotBeLast(em: EntityManager, { workspaceId }: Auth): Promise<void> {
  if ((await em.count(Member, { workspace: workspaceId, role: 'owner' })) > 1) return;
  throw conflict('last_owner', 'A workspace must have an owner. Make somebody else the owner first.');
}

const defined = (patch: MemberPatch) =>
  Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));

const rightsOf = ({ role, grants, denies }: Member) => ({ role, grants, denies });

const presentMember = (member: Loaded<Member, 'user'>): MemberView => ({
  userId: member.user.id,
  name: member.user.$.name,
  email: member.user.$.email,
  role: member.role,
  grants: member.grants,
  denies: member.denies,
  createdAt: member.createdAt.toISOString(),
  updatedAt: member.updatedAt.toISOString(),
});
