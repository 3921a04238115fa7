import { UniqueConstraintViolationException } from '@mikro-orm/postgresql';
import type { Runtime } from '#src/runtime.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { LoginBody, MeView, RegisterBody, SignedInView, UserView } from '#src/modules/auth/auth.schemas.ts';
import type { Device } from '#src/modules/auth/auth.session.ts';
import type { WorkspaceView } from '#src/modules/workspaces/workspaces.schemas.ts';
import { conflict, unauthenticated } from '#src/errors.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { newId } from '#src/lib/ids.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { accountDisabled, startSession } from '#src/modules/auth/auth.session.ts';
import { refuseCommonPassword } from '#src/modules/auth/common-passwords.ts';
import { unlessBusy } from '#src/modules/auth/credentials.ts';
import { queueVerification } from '#src/modules/auth/email-verification.ts';
import { proveSecondFactor } from '#src/modules/auth/totp.service.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { payStartingCredits, startCredits } from '#src/modules/billing/starting-credits.ts';
import {
  addWorkspace,
  homeWorkspace,
  presentWorkspace,
  readWorkspace,
} from '#src/modules/workspaces/workspaces.service.ts';

/**
 * Makes a user with a workspace of their own, which they own, and its starting credits, now or later, all or nothing.
 * @param isVerified the operator vouches for the address; otherwise a mail asks its owner to confirm it
 * @throws AppError 409 `email_taken`, 503 `busy`
 */
export async function createUser(
  rt: Pick<Runtime, 'orm' | 'config' | 'passwords'>,
  body: RegisterBody,
  isVerified = false,
): Promise<{ user: UserView; workspace: WorkspaceView; passwordHash: string }> {
  const passwordHash = await unlessBusy(rt.passwords.hash(body.password));
  const scope = { workspaceId: newId(), userId: newId() };
  const made = inWorkspaceTx(rt.orm, scope, async (em) => {
    const emailVerifiedAt = isVerified ? new Date() : null;
    const { email, name } = body;
    const user = em.create(User, { id: scope.userId, email, name, passwordHash, emailVerifiedAt });
    const workspace = addWorkspace(em, rt, scope, { name: body.workspaceName ?? body.name });
    if (!isVerified) queueVerification(em, rt.config, user);
    await em.flush();
    await startCredits(em, rt, user, workspace.id);
    return { user: presentUser(user), workspace: presentWorkspace(workspace, 'owner'), passwordHash };
  });
  return made.catch((error: unknown) => {
    if (!(error instanceof UniqueConstraintViolationException)) throw error;
    throw conflict('email_taken', 'There is an account with this e-mail address already.');
  });
}

/** Makes a user (see `createUser`) and signs them in. @throws AppError 400 `validation_failed` for a common password */
export async function register(rt: Runtime, body: RegisterBody, device: Device): Promise<SignedInView> {
  refuseCommonPassword(body.password, body, 'password');
  const { user, workspace, passwordHash } = await createUser(rt, body);
  const tokens = await startSession(rt, { id: user.id, passwordHash }, workspace, device);
  return { user, workspace, ...tokens };
}

/**
 * Signs a user in. A wrong password and an unknown address are answered alike, and after the same time; whatever else there is to say
 * of an account is said only to who knows its password.
 * @throws AppError 401 `invalid_credentials`, `account_disabled`, `totp_required` or `totp_invalid`; 429 `login_throttled`; 503 `busy`
 */
export async function login(rt: Runtime, { email, password, totp }: LoginBody, device: Device): Promise<SignedInView> {
  await rt.throttle.attempt(email);
  const em = rt.orm.em.fork();
  const user = await em.findOne(User, { email });
  const check = await unlessBusy(
    user ? rt.passwords.verify(user.passwordHash, password) : rt.passwords.verifyDecoy(password),
  );
  if (!user || !check.ok) throw unauthenticated('The e-mail address or the password is wrong.', 'invalid_credentials');
  if (user.status === 'disabled') throw accountDisabled();
  await proveSecondFactor(rt, user, totp);
  await rt.throttle.forget(email);
  // What a process that ended between the confirmation and this left behind.
  if (user.startingWorkspaceId) await payStartingCredits(rt, user.id);
  if (check.outdated) {
    const proved = { id: user.id, passwordHash: user.passwordHash };
    const passwordHash = await unlessBusy(rt.passwords.hash(password));
    if ((await em.nativeUpdate(User, proved, { passwordHash })) === 1) user.passwordHash = passwordHash;
  }
  const workspace = await homeWorkspace(rt, user);
  return { user: presentUser(user), workspace, ...(await startSession(rt, user, workspace, device)) };
}

/** The caller and the workspace they work in. */
export async function readMe(rt: Pick<Runtime, 'orm'>, auth: Auth): Promise<MeView> {
  const [user, workspace] = await Promise.all([
    rt.orm.em.fork().findOne(User, { id: auth.userId }),
    readWorkspace(rt.orm, auth),
  ]);
  if (!user) throw unauthenticated('The account no longer exists.');
  return { ...presentUser(user), workspace };
}

/** Changes the caller's own name or language. */
export async function updateMe(
  rt: Pick<Runtime, 'orm'>,
  auth: Auth,
  patch: { name?: string | undefined; locale?: string | undefined },
  actor: Actor,
): Promise<MeView> {
  const changed = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
  await inWorkspaceTx(rt.orm, auth, async (em) => {
    const user = await em.findOne(User, { id: auth.userId });
    if (!user) throw unauthenticated('The account no longer exists.');
    const before = { name: user.name, locale: user.locale };
    em.assign(user, changed);
    await em.flush();
    const after = { name: user.name, locale: user.locale };
    await appendAudit(em, actor, { action: 'profile.changed', target: { type: 'user', id: user.id }, before, after });
  });
  return readMe(rt, auth);
}

function presentUser(user: User): UserView {
  return {
    id: user.id,
    email: user.email,
    name: user.name,
    locale: user.locale,
    emailVerified: Boolean(user.emailVerifiedAt),
    totpEnabled: Boolean(user.totpEnabledAt),
    createdAt: user.createdAt.toISOString(),
    updatedAt: user.updatedAt.toISOString(),
  };
}
