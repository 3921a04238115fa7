import type { EntityManager } from '@mikro-orm/postgresql';
import type { Runtime } from '#src/runtime.ts';
import type { Auth } from '#src/http/access-token.ts';
import { conflict } from '#src/errors.ts';
import { sha256 } from '#src/lib/secrets.ts';
import { refuseCommonPassword } from '#src/modules/auth/common-passwords.ts';
import { invalidToken, newToken, reauthenticate, unlessBusy } from '#src/modules/auth/credentials.ts';
import { PasswordReset } from '#src/modules/auth/one-time-token.entity.ts';
import { endSessions } from '#src/modules/auth/sessions.service.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { payStartingCredits } from '#src/modules/billing/starting-credits.ts';
import { queueMail } from '#src/modules/mail/outbox.ts';

/**
 * ASVS 6.5.5 would have ten minutes, which is less than mail takes where servers greylist new senders (five to fifteen); an hour is the
 * most that is common. The token has 256 bits and works once, so the time only bounds how long a mailbox that was left open is a danger.
 */
const RESET_MS = 30 * 60_000;
/** The language of the mail that nobody gets. */
const DECOY_LOCALE = 'pt-BR';

/**
 * Sends a link with which a new password can be set, if there is an account. It never says whether there is one: for an address without an
 * account, a disabled one, or one that got enough mails already, the same statements write rows of the same size that lead nowhere.
 */
export async function forgotPassword(rt: Pick<Runtime, 'orm' | 'config' | 'throttle'>, email: string): Promise<void> {
  const isEnough = (await rt.throttle.mail(email)) > 0;
  const em = rt.orm.em.fork();
  const found = await em.findOne(User, { email });
  const user = found?.status === 'active' && !isEnough ? found : null;
  const { token, hash } = newToken();
  em.create(PasswordReset, { tokenHash: hash, user, expiresAt: new Date(Date.now() + RESET_MS) });
  const to = { email, locale: user?.locale ?? DECOY_LOCALE };
  queueMail(em, rt.config, { kind: 'reset_password', to, token }, user === null);
  await em.flush();
}

/**
 * Sets a new password with the token of a mail, which then is used up, and ends all sessions. Signs nobody in: the second factor is asked
 * for as ever.
 * @throws AppError 400 `invalid_reset_token`: never issued, used, or expired; 400 `validation_failed` for a common password, which leaves
 * the token good; 503 `busy`
 */
export async function resetPassword(
  rt: Pick<Runtime, 'orm' | 'config' | 'passwords' | 'throttle'>,
  { token, password }: { token: string; password: string },
): Promise<void> {
  const tokenHash = sha256(token);
  const good = () => ({ tokenHash, usedAt: null, expiresAt: { $gt: new Date() }, user: { status: 'active' as const } });
  const issued = await rt.orm.em.fork().findOne(PasswordReset, good(), { populate: ['user'] });
  const owner = issued?.user?.$;
  if (!owner) throw invalidToken('invalid_reset_token');
  refuseCommonPassword(password, owner, 'password');
  const passwordHash = await unlessBusy(rt.passwords.hash(password));
  await rt.orm.em.fork().transactional(async (em) => {
    const now = new Date();
    // First of all: of two that use it at once, one waits here for the other and then finds it used.
    const unused = { tokenHash, usedAt: null, expiresAt: { $gt: now } };
    if ((await em.nativeUpdate(PasswordReset, unused, { usedAt: now })) !== 1)
      throw invalidToken('invalid_reset_token');
    const user = { id: owner.id, status: 'active' as const };
    // Who reads the mailbox has proved the address as well.
    const emailVerifiedAt = owner.emailVerifiedAt ?? now;
    const changed = await em.nativeUpdate(User, user, { passwordHash, emailVerifiedAt, updatedAt: now });
    if (changed !== 1) throw invalidToken('invalid_reset_token');
    await afterChange(em, rt.config, owner);
  });
  await payStartingCredits(rt, owner.id);
  await rt.throttle.forget(owner.email);
}

/**
 * Changes the signed-in user's password and ends their other sessions.
 * @throws AppError 403 `wrong_password`; 400 `validation_failed` for a common password; 409 `password_changed_meanwhile`; 429, 503
 */
export async function changePassword(
  rt: Pick<Runtime, 'orm' | 'config' | 'passwords' | 'throttle'>,
  auth: Auth,
  { currentPassword, newPassword }: { currentPassword: string; newPassword: string },
): Promise<void> {
  const user = await reauthenticate(rt, auth, currentPassword);
  refuseCommonPassword(newPassword, user, 'newPassword');
  const passwordHash = await unlessBusy(rt.passwords.hash(newPassword));
  await rt.orm.em.fork().transactional(async (em) => {
    const before = { id: user.id, passwordHash: user.passwordHash };
    const changed = await em.nativeUpdate(User, before, { passwordHash, updatedAt: new Date() });
    if (changed !== 1) throw conflict('password_changed_meanwhile', 'The password was changed at the same moment.');
    await afterChange(em, rt.config, user, auth.sessionId);
  });
}

/** What the old password opened is closed: sessions, and links that would set another one. Its owner is told. */
async function afterChange(
  em: EntityManager,
  config: Runtime['config'],
  user: User,
  keptSessionId?: string,
): Promise<void> {
  await endSessions(em, user.id, keptSessionId);
  await em.nativeUpdate(PasswordReset, { user: user.id, usedAt: null }, { usedAt: new Date() });
  queueMail(em, config, { kind: 'password_changed', to: user });
}
