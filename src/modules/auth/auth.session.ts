import { randomBytes } from 'node:crypto';
import { LockMode } from '@mikro-orm/postgresql';
import type { Runtime } from '#src/runtime.ts';
import type { TokensView } from '#src/modules/auth/auth.schemas.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { unauthenticated } from '#src/errors.ts';
import { ACCESS_TOKEN_SECONDS } from '#src/http/access-token.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { isIssuedBy, readRefreshToken, writeRefreshToken } from '#src/modules/auth/refresh-token.ts';
import { Session } from '#src/modules/auth/session.entity.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import type { WorkspaceView } from '#src/modules/workspaces/workspaces.schemas.ts';
import { homeWorkspace } from '#src/modules/workspaces/workspaces.service.ts';

const DAY_MS = 86_400_000;
/** A session ends after this long without a refresh, */
const IDLE_MS = 7 * DAY_MS;
/** and after this long whatever happens. */
const TOTAL_MS = 30 * DAY_MS;
/** How long after a rotation the token before it still answers: the answer was lost, or two tabs refreshed at once. */
const GRACE_MS = 30_000;

/** Signing in ends the oldest sessions beyond this many. */
const MAX_SESSIONS = 10;

type Needs = Pick<Runtime, 'orm' | 'config' | 'accessTokens'>;

/** Where a sign-in comes from, shown to its owner later. */
export interface Device {
  userAgent: string | undefined;
  ip: string;
  requestId?: string;
}

/**
 * Opens a session for a user who has proved who they are, and ends their oldest ones beyond ten.
 * @param proved the user as they were when they proved it: one whose password was changed or who was disabled since gets no session
 * @throws AppError 401 `invalid_credentials`
 */
export async function startSession(
  rt: Needs,
  proved: { id: string; passwordHash: string },
  workspace: WorkspaceView,
  device: Device,
): Promise<TokensView> {
  const userAgent = device.userAgent?.slice(0, 300) ?? null;
  const ip = device.ip.slice(0, 45);
  const session = await inWorkspaceTx(rt.orm, { workspaceId: workspace.id }, async (em) => {
    const { id, passwordHash } = proved;
    // The lock makes sign-ins of one user wait for each other and for a change of the password, which ends the sessions it finds.
    const user = await em.findOne(
      User,
      { id, passwordHash, status: 'active' },
      { lockMode: LockMode.PESSIMISTIC_WRITE },
    );
    if (!user) throw unauthenticated('The account changed while you signed in. Try again.', 'invalid_credentials');
    const opened = em.create(Session, {
      user,
      refreshKey: randomBytes(32),
      counter: 0,
      expiresAt: new Date(Date.now() + IDLE_MS),
      userAgent,
      ip,
    });
    await em.flush();
    const open = { user: id, revokedAt: null, expiresAt: { $gt: new Date() } };
    const newestFirst = { createdAt: 'desc', id: 'desc' } as const;
    const surplus = await em.find(Session, open, { orderBy: newestFirst, offset: MAX_SESSIONS, fields: ['id'] });
    if (surplus.length > 0) {
      const ids = surplus.map((session) => session.id);
      await em.nativeUpdate(Session, { id: { $in: ids } }, { revokedAt: new Date() });
    }
    const actor: Actor = { kind: 'session', id, ip, userAgent, requestId: device.requestId ?? null };
    await appendAudit(em, actor, { action: 'auth.login', target: { type: 'session', id: opened.id } });
    return opened;
  });
  return tokensOf(rt, session, workspace);
}

/**
 * Exchanges a refresh token for new tokens. Each token works once; the one before the current works again for 30 s and gives the current
 * one, so that a lost answer or two tabs never end a session. An older one means that two parties hold the session: it ends for both.
 * @throws AppError 401 `invalid_refresh_token`, `session_ended`, `account_disabled` or `refresh_reused`
 */
export async function refreshSession(rt: Needs, refreshToken: string): Promise<TokensView> {
  const presented = readRefreshToken(rt.config.APP_SECRET, refreshToken);
  if (!presented) throw invalidToken();
  const outcome = await rt.orm.em.fork().transactional(async (em) => {
    const session = await em.findOne(Session, { id: presented.sessionId }, { lockMode: LockMode.PESSIMISTIC_WRITE });
    if (!session || !isIssuedBy(rt.config.APP_SECRET, presented, session.refreshKey)) return 'invalid';
    const now = Date.now();
    if (session.revokedAt || session.expiresAt.getTime() <= now) return 'ended';
    const age = session.counter - presented.counter;
    if (age < 0) return 'invalid';
    if ((await em.count(User, { id: session.user.id, status: 'disabled' })) > 0) return 'disabled';
    if (age === 0) {
      session.counter += 1;
      session.lastUsedAt = new Date(now);
      session.expiresAt = new Date(Math.min(now + IDLE_MS, session.createdAt.getTime() + TOTAL_MS));
    } else if (age > 1 || now - session.lastUsedAt.getTime() > GRACE_MS) {
      session.revokedAt = new Date(now);
      // Returned, not thrown: an error here would roll the revocation back.
      return 'reused';
    }
    return session;
  });
  if (outcome === 'invalid') throw invalidToken();
  if (outcome === 'disabled') throw accountDisabled();
  if (outcome === 'ended') throw unauthenticated('The session has ended. Sign in again.', 'session_ended');
  if (outcome === 'reused') {
    const detail = 'The refresh token was used before, so the session was ended. Sign in again.';
    throw unauthenticated(detail, 'refresh_reused');
  }
  const user = await rt.orm.em.fork().findOneOrFail(User, { id: outcome.user.id }, { fields: ['name'] });
  return tokensOf(rt, outcome, await homeWorkspace(rt, user, outcome.workspaceId ?? undefined));
}

/** Said only to who holds the account's password, or a token of its session. */
export const accountDisabled = () => unauthenticated('This account is disabled.', 'account_disabled');

async function tokensOf(rt: Needs, session: Session, workspace: WorkspaceView): Promise<TokensView> {
  const token = await rt.accessTokens.sign({
    userId: session.user.id,
    sessionId: session.id,
    workspaceId: workspace.id,
    role: workspace.role,
  });
  const refreshToken = writeRefreshToken(rt.config.APP_SECRET, session);
  return { token, refreshToken, expiresIn: ACCESS_TOKEN_SECONDS };
}

const invalidToken = () => unauthenticated('The refresh token is not valid.', 'invalid_refresh_token');
