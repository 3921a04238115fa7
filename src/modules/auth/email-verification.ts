import type { EntityManager } from '@mikro-orm/postgresql';
import type { Config } from '#src/config.ts';
import type { Runtime } from '#src/runtime.ts';
import type { Auth } from '#src/http/access-token.ts';
import { AppError, conflict, unauthenticated } from '#src/errors.ts';
import { sha256 } from '#src/lib/secrets.ts';
import { invalidToken, newToken } from '#src/modules/auth/credentials.ts';
import { EmailVerification } from '#src/modules/auth/one-time-token.entity.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { payStartingCredits } from '#src/modules/billing/starting-credits.ts';
import { queueMail } from '#src/modules/mail/outbox.ts';

/** People read their mail the next morning; all the link can do is to confirm what its owner already claims. */
const VERIFY_MS = 24 * 60 * 60_000;

/** Queues the mail that asks a user to prove their address, in the transaction that `em` is in. */
export function queueVerification(em: EntityManager, config: Config, user: User): void {
  const { token, hash } = newToken();
  em.create(EmailVerification, { tokenHash: hash, user, expiresAt: new Date(Date.now() + VERIFY_MS) });
  queueMail(em, config, { kind: 'verify_email', to: user, token });
}

/**
 * Sends the signed-in user the mail once more; the links of earlier ones go on working.
 * @throws AppError 409 `email_already_verified`, 429 `mail_throttled`
 */
export async function resendVerification(rt: Pick<Runtime, 'orm' | 'config' | 'throttle'>, auth: Auth): Promise<void> {
  const em = rt.orm.em.fork();
  const user = await em.findOne(User, { id: auth.userId });
  if (!user) throw unauthenticated('The account no longer exists.');
  if (user.emailVerifiedAt) throw conflict('email_already_verified', 'The e-mail address is confirmed already.');
  const retryAfterMs = await rt.throttle.mail(user.email);
  if (retryAfterMs > 0) {
    throw new AppError(429, 'mail_throttled', 'This address got enough mails for now.', { retryAfterMs });
  }
  queueVerification(em, rt.config, user);
  await em.flush();
}

/**
 * Confirms the address of whoever the token was sent to, who then gets the starting credits that waited for it.
 * @throws AppError 400 `invalid_verification_token`: never issued, used, or expired
 */
export async function verifyEmail(rt: Pick<Runtime, 'orm' | 'config'>, token: string): Promise<void> {
  const tokenHash = sha256(token);
  const userId = await rt.orm.em.fork().transactional(async (em) => {
    const now = new Date();
    const unused = { tokenHash, usedAt: null, expiresAt: { $gt: now } };
    const used = await em.nativeUpdate(EmailVerification, unused, { usedAt: now });
    const issued = used === 1 ? await em.findOne(EmailVerification, { tokenHash }) : null;
    if (!issued) throw invalidToken('invalid_verification_token');
    await em.nativeUpdate(User, { id: issued.user.id, emailVerifiedAt: null }, { emailVerifiedAt: now });
    return issued.user.id;
  });
  await payStartingCredits(rt, userId);
}
