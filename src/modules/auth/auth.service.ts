import { UniqueConstraintViolationException } from '@mikro-orm/postgresql';
import type { Runtime } from '#src/runtime.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { MeView, RegisterBody, SignedInView, UserView } from '#src/modules/auth/auth.schemas.ts';
import type { Device } from '#src/modules/auth/auth.session.ts';
import type { WorkspaceView } from '#src/modules/workspaces/workspaces.schemas.ts';
import { conflict, unauthenticated, unavailable } from '#src/errors.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { newId } from '#src/lib/ids.ts';
import { QueueFullError } from '#src/lib/limit.ts';
import { startSession } from '#src/modules/auth/auth.session.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { CreditAccount, MICRO_CREDITS_PER_CREDIT } from '#src/modules/workspaces/credit-account.entity.ts';
import { Member } from '#src/modules/workspaces/member.entity.ts';
import { Workspace } from '#src/modules/workspaces/workspace.entity.ts';
import { defaultWorkspace, presentWorkspace, readWorkspace } from '#src/modules/workspaces/workspaces.service.ts';

const BUSY_RETRY_MS = 5000;

/**
 * Makes a user with a workspace of their own, which they own, and its starting credits, all or nothing.
 * @throws AppError 409 `email_taken`, 503 `busy`
 */
export async function createUser(
  rt: Pick<Runtime, 'orm' | 'config' | 'passwords'>,
  body: RegisterBody,
): Promise<{ user: UserView; workspace: WorkspaceView }> {
  const passwordHash = await unlessBusy(rt.passwords.hash(body.password));
  const scope = { workspaceId: newId(), userId: newId() };
  const made = inWorkspaceTx(rt.orm, scope, async (em) => {
    const user = em.create(User, { id: scope.userId, email: body.email, name: body.name, passwordHash });
    const workspace = em.create(Workspace, { id: scope.workspaceId, name: body.workspaceName ?? body.name });
    em.create(Member, { user, workspace, role: 'owner' });
    em.create(CreditAccount, { workspace, balance: rt.config.STARTING_CREDITS * MICRO_CREDITS_PER_CREDIT });
    await em.flush();
    return { user: presentUser(user), workspace: presentWorkspace(workspace, 'owner') };
  });
  return made.catch((error: unknown) => {
    if (!(error instanceof UniqueConstraintViolationException)) throw error;
    throw conflict('email_taken', 'There is an account with this e-mail address already.');
  });
}

/** Makes a user (see `createUser`) and signs them in. */
export async function register(rt: Runtime, body: RegisterBody, device: Device): Promise<SignedInView> {
  const { user, workspace } = await createUser(rt, body);
  return { user, workspace, ...(await startSession(rt, user.id, workspace, device)) };
}

/**
 * Signs a user in. A wrong password and an unknown address are answered alike, and after the same time.
 * @throws AppError 401 `invalid_credentials`, 503 `busy`
 */
export async function login(
  rt: Runtime,
  { email, password }: { email: string; password: string },
  device: Device,
): Promise<SignedInView> {
  const em = rt.orm.em.fork();
  const user = await em.findOne(User, { email });
  const check = await unlessBusy(
    user ? rt.passwords.verify(user.passwordHash, password) : rt.passwords.verifyDecoy(password),
  );
  if (!user || !check.ok) throw unauthenticated('The e-mail address or the password is wrong.', 'invalid_credentials');
  if (check.outdated) {
    user.passwordHash = await unlessBusy(rt.passwords.hash(password));
    await em.flush();
  }
  const workspace = await defaultWorkspace(rt.orm, user.id);
  return { user: presentUser(user), workspace, ...(await startSession(rt, user.id, workspace, device)) };
}

/** The caller and the workspace they work in. */
export async function readMe(rt: Pick<Runtime, 'orm'>, auth: Auth): Promise<MeView> {
  const [user, workspace] = await Promise.all([
    rt.orm.em.fork().findOne(User, { id: auth.userId }),
    readWorkspace(rt.orm, auth, auth.workspaceId),
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
    createdAt: user.createdAt.toISOString(),
    updatedAt: user.updatedAt.toISOString(),
  };
}

/** Hashing takes what it takes: when too many wait, saying so at once is better than a time-out. */
async function unlessBusy<Result>(hashing: Promise<Result>): Promise<Result> {
  try {
    return await hashing;
  } catch (error) {
    if (!(error instanceof QueueFullError)) throw error;
    throw unavailable('busy', 'Too many people are signing in at this moment. Try again.', BUSY_RETRY_MS, error);
  }
}
