import { randomBytes } from 'node:crypto';
import type { Runtime } from '#src/runtime.ts';
import type { Auth } from '#src/http/access-token.ts';
import { AppError, badRequest, unauthenticated, unavailable } from '#src/errors.ts';
import { QueueFullError } from '#src/lib/limit.ts';
import { sha256 } from '#src/lib/secrets.ts';
import { User } from '#src/modules/auth/user.entity.ts';

const BUSY_RETRY_MS = 5000;
const TOKEN_BYTES = 32;

/** A token to send by mail, and the digest to store. 256 random bits need no slow hash. */
export function newToken(): { token: string; hash: Buffer } {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  return { token, hash: sha256(token) };
}

/** A token of a mail that does nothing: never issued, used up, or expired. Which of them it is is not told. */
export function invalidToken(code: 'invalid_reset_token' | 'invalid_verification_token'): AppError {
  const detail = 'The link is not valid any more. Ask for a new one.';
  return badRequest(code, detail, [{ path: 'token', code: 'not_valid', message: 'is not valid any more' }]);
}

/** Hashing takes what it takes: when too many wait, saying so at once (503 `busy`) is better than a time-out. */
export async function unlessBusy<Result>(hashing: Promise<Result>): Promise<Result> {
  try {
    return await hashing;
  } catch (error) {
    if (!(error instanceof QueueFullError)) throw error;
    throw unavailable('busy', 'Too many people are signing in at this moment. Try again.', BUSY_RETRY_MS, error);
  }
}

/**
 * Has a signed-in caller prove once more who they are, before something that a stolen session must not do. The attempt is counted like a
 * sign-in; where there is a second factor, call `rt.throttle.forget` once that is proved too.
 * @throws AppError 403 `wrong_password`, 429 `login_throttled`, 503 `busy`
 */
export async function reauthenticate(
  rt: Pick<Runtime, 'orm' | 'throttle' | 'passwords'>,
  auth: Auth,
  password: string,
): Promise<User> {
  const user = await rt.orm.em.fork().findOne(User, { id: auth.userId });
  if (!user) throw unauthenticated('The account no longer exists.');
  await rt.throttle.attempt(user.email);
  const { ok } = await unlessBusy(rt.passwords.verify(user.passwordHash, password));
  // Not 401: the access token is good, and a client must not think it has to refresh it.
  if (!ok) throw new AppError(403, 'wrong_password', 'The password is wrong.');
  // With a second factor the password is half of the proof, and guesses at the other half stay counted.
  if (!user.totpEnabledAt) await rt.throttle.forget(user.email);
  return user;
}
