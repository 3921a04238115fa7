import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import type { Auth, Role } from '#src/http/access-token.ts';
import type { Orm } from '#src/db/orm.ts';
import type { Runtime } from '#src/runtime.ts';
import type { InviteBody, InviteView, WorkspaceView } from '#src/modules/workspaces/workspaces.schemas.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { AppError, conflict, forbidden, notFound } from '#src/errors.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { isAtLeast, may, mustBeAbleToGive, ungivable } from '#src/http/permissions.ts';
import { newId } from '#src/lib/ids.ts';
import { sha256 } from '#src/lib/secrets.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { payStartingCredits } from '#src/modules/billing/starting-credits.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { checkLimit } from '#src/modules/billing/plans.ts';
import { queueMail } from '#src/modules/mail/outbox.ts';
import { Invite } from '#src/modules/workspaces/invite.entity.ts';
import { Member } from '#src/modules/workspaces/member.entity.ts';
import { checkOwned, lockWorkspace } from '#src/modules/workspaces/plans.ts';
import { presentWorkspace } from '#src/modules/workspaces/workspaces.service.ts';

type Needs = Pick<Runtime, 'orm' | 'config'>;

const GOOD_FOR_MS = 7 * 86_400_000;
const ID_BYTES = 16;
const SECRET_BYTES = 32;
const TOKEN = /^[A-Za-z0-9_-]{85}[AQgw]$/;

const toBytes = (id: string) => Buffer.from(id.replaceAll('-', ''), 'hex');
const toId = (bytes: Buffer) => bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

/** Workspace | invite | secret: the workspace is in it because nothing of another can be read. */
const makeToken = (workspaceId: string, id: string): string =>
  Buffer.concat([toBytes(workspaceId), toBytes(id), randomBytes(SECRET_BYTES)]).toString('base64url');

/**
 * Asks somebody into the workspace by mail; asking the same address again replaces the invite and its link.
 * @throws AppError 403 (a role above one's own or with a permission one lacks, `plan_limit`), 409 `already_member`
 */
export function invite(
  { orm, config }: Needs,
  auth: Auth,
  actor: Actor,
  { email, role }: InviteBody,
): Promise<InviteView> {
  if (!isAtLeast(auth.role, role)) throw forbidden(`You cannot invite an ${role}: your role is ${auth.role}.`);
  return inWorkspaceTx(orm, { workspaceId: auth.workspaceId }, async (em) => {
    const workspace = await lockWorkspace(em, auth.workspaceId);
    const own = await em.findOneOrFail(Member, { user: auth.userId });
    mustBeAbleToGive({ ...auth, grants: own.grants, denies: own.denies }, undefined, withRole(role));
    if ((await em.count(Member, { user: { email } })) > 0)
      throw conflict('already_member', 'They are a member already.');
    await em.nativeDelete(Invite, { email, acceptedAt: null });
    const now = new Date();
    checkLimit(workspace, 'invites', await em.count(Invite, { acceptedAt: null, expiresAt: { $gt: now } }));
    const id = newId();
    const token = makeToken(auth.workspaceId, id);
    const expiresAt = new Date(now.getTime() + GOOD_FOR_MS);
    const fields = { id, workspace: auth.workspaceId, email, role, expiresAt, invitedBy: auth.userId };
    const made = em.create(Invite, { ...fields, tokenHash: sha256(token) });
    const inviter = await em.findOneOrFail(User, { id: auth.userId });
    queueMail(em, config, { kind: 'invite', to: { email, locale: inviter.locale }, token });
    await em.flush();
    await appendAudit(em, actor, { action: 'invite.created', target: { type: 'invite', id }, after: { email, role } });
    return presentInvite(made);
  });
}

/** The invites that wait, newest first. */
export async function listInvites(orm: Orm, auth: Auth, page: { limit: number; cursor?: string | undefined }) {
  const before = page.cursor === undefined ? undefined : decodeCursor(page.cursor, z.tuple([z.uuid()]))[0];
  const where = { acceptedAt: null, ...(before === undefined ? {} : { id: { $lt: before } }) };
  const invites = await inWorkspaceTx(orm, { workspaceId: auth.workspaceId }, (em) =>
    em.find(Invite, where, { orderBy: { id: 'desc' }, limit: page.limit + 1 }),
  );
  return toPage(invites, page.limit, ({ id }) => [id], presentInvite);
}

/** Takes an invite back. @throws AppError 404 */
export function revokeInvite(orm: Orm, auth: Auth, actor: Actor, id: string): Promise<void> {
  return inWorkspaceTx(orm, { workspaceId: auth.workspaceId }, async (em) => {
    if ((await em.nativeDelete(Invite, { id, acceptedAt: null })) === 0) throw notFound('The invite');
    await appendAudit(em, actor, { action: 'invite.revoked', target: { type: 'invite', id } });
  });
}

const unusable = () =>
  new AppError(404, 'invite_not_found', 'The invite does not exist, was used, or is past its time.');

/**
 * Makes the caller a member of the workspace that invited them. The token came to their address, so it proves the address too.
 * @throws AppError 403 `invite_other_email` or `plan_limit`, 404 `invite_not_found`, 409 `already_member`
 */
export async function acceptInvite(rt: Needs, auth: Auth, actor: Actor, token: string): Promise<WorkspaceView> {
  if (!TOKEN.test(token)) throw unusable();
  const bytes = Buffer.from(token, 'base64url');
  const workspaceId = toId(bytes.subarray(0, ID_BYTES));
  const id = toId(bytes.subarray(ID_BYTES, 2 * ID_BYTES));
  const joined = await inWorkspaceTx(rt.orm, { workspaceId, userId: auth.userId }, async (em) => {
    const found = await em.findOne(Invite, { id });
    if (!found || !timingSafeEqual(found.tokenHash, sha256(token))) throw unusable();
    // Locked before it is looked at again: of many who accept at once, one does.
    const workspace = await lockWorkspace(em, workspaceId).catch(() => Promise.reject(unusable()));
    await em.refresh(found);
    if (found.acceptedAt || found.expiresAt <= new Date() || !(await isStillGood(em, found))) throw unusable();
    const user = await em.findOneOrFail(User, { id: auth.userId });
    if (user.email !== found.email) {
      throw new AppError(403, 'invite_other_email', 'The invite is for another e-mail address. Sign in with that one.');
    }
    if ((await em.count(Member, { workspace, user })) > 0)
      throw conflict('already_member', 'You are a member already.');
    checkLimit(workspace, 'members', await em.count(Member, { workspace }));
    if (found.role === 'owner') await checkOwned(em, user.id, workspace);
    em.create(Member, { workspace, user, role: found.role });
    found.acceptedAt = new Date();
    user.emailVerifiedAt ??= new Date();
    await em.flush();
    await emitEvent(em, {
      type: 'member.joined',
      data: { userId: user.id, role: found.role },
      subjectId: user.id,
      actorId: user.id,
    });
    await appendAudit(em, actor, {
      action: 'member.joined',
      target: { type: 'member', id: user.id },
      after: { role: found.role },
    });
    return presentWorkspace(workspace, found.role);
  });
  await payStartingCredits(rt, auth.userId);
  return joined;
}

/** Whether who invited may still: an invite of somebody who has gone, or was taken down, is worth nothing. */
async function isStillGood(em: EntityManager, found: Invite): Promise<boolean> {
  const inviter = await em.findOne(Member, { workspace: found.workspace.id, user: found.invitedBy.id });
  if (!inviter) return false;
  const { role, grants, denies } = inviter;
  const giver = { role, grants, denies, scopes: null };
  if (!isAtLeast(role, found.role) || !may(giver, 'members:manage')) return false;
  return ungivable(giver, undefined, withRole(found.role)) === undefined;
}

/** What somebody has who has just joined. */
const withRole = (role: Role) => ({ role, grants: [], denies: [], scopes: null });

const presentInvite = (found: Invite): InviteView => ({
  id: found.id,
  email: found.email,
  role: found.role,
  invitedBy: found.invitedBy.id,
  expiresAt: found.expiresAt.toISOString(),
  acceptedAt: found.acceptedAt?.toISOString() ?? null,
  createdAt: found.createdAt.toISOString(),
  updatedAt: found.updatedAt.toISOString(),
});
