import { LockMode } from '@mikro-orm/postgresql';
import type { Runtime } from '#src/runtime.ts';
import type { Auth } from '#src/http/access-token.ts';
import { AppError, conflict, unauthenticated } from '#src/errors.ts';
import { openText, sealText } from '#src/lib/sealed.ts';
import { reauthenticate } from '#src/modules/auth/credentials.ts';
import { RecoveryCode } from '#src/modules/auth/one-time-token.entity.ts';
import { hashRecoveryCode, newRecoveryCodes, newSeed, stepOf, uriOf } from '#src/modules/auth/totp.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { queueMail } from '#src/modules/mail/outbox.ts';

const placeOf = (userId: string) => `app_user.totp_seed:${userId}`;

/**
 * Makes a seed for the user's authenticator. Nothing changes for them before `enableTotp`; until then, a new seed replaces this one.
 * @throws AppError 409 `totp_already_enabled`, 403 `wrong_password`, 429, 503
 */
export async function setUpTotp(
  rt: Pick<Runtime, 'orm' | 'config' | 'throttle' | 'passwords'>,
  auth: Auth,
  password: string,
): Promise<{ secret: string; uri: string }> {
  const user = await reauthenticate(rt, auth, password);
  const secret = newSeed();
  const totpSeed = sealText(rt.config.APP_SECRET, placeOf(user.id), secret);
  const changed = await rt.orm.em.fork().nativeUpdate(User, { id: user.id, totpEnabledAt: null }, { totpSeed });
  if (changed !== 1) throw alreadyEnabled();
  return { secret, uri: uriOf(secret, user.email) };
}

/**
 * Turns the second factor on, once its owner has shown a code of it.
 * @returns ten recovery codes, which cannot be read again
 * @throws AppError 409 `totp_already_enabled` or `totp_not_set_up`, 403 `totp_invalid`, 429 `login_throttled`
 */
export async function enableTotp(
  rt: Pick<Runtime, 'orm' | 'config' | 'throttle'>,
  auth: Auth,
  code: string,
): Promise<string[]> {
  const known = await rt.orm.em.fork().findOne(User, { id: auth.userId });
  if (!known) throw unauthenticated('The account no longer exists.');
  await rt.throttle.attempt(known.email);
  const recoveryCodes = newRecoveryCodes();
  await rt.orm.em.fork().transactional(async (em) => {
    const user = await em.findOneOrFail(User, { id: auth.userId }, { lockMode: LockMode.PESSIMISTIC_WRITE });
    if (user.totpEnabledAt) throw alreadyEnabled();
    if (!user.totpSeed) throw conflict('totp_not_set_up', 'Ask for a seed first: POST /api/auth/totp/setup.');
    const step = stepOf(openText(rt.config.APP_SECRET, placeOf(user.id), user.totpSeed), code);
    if (step === undefined) throw invalidCode();
    user.totpEnabledAt = new Date();
    user.totpLastStep = step;
    await em.nativeDelete(RecoveryCode, { user: user.id });
    for (const recoveryCode of recoveryCodes) {
      em.create(RecoveryCode, { codeHash: hashRecoveryCode(recoveryCode), user });
    }
    queueMail(em, rt.config, { kind: 'totp_enabled', to: user });
  });
  await rt.throttle.forget(known.email);
  return recoveryCodes;
}

/**
 * Turns the second factor off. Takes both factors, or whoever finds a session open could do it.
 * @throws AppError 409 `totp_not_enabled`, 403 `wrong_password` or `totp_invalid`, 429, 503
 */
export async function disableTotp(
  rt: Pick<Runtime, 'orm' | 'config' | 'throttle' | 'passwords'>,
  auth: Auth,
  { password, code }: { password: string; code: string },
): Promise<void> {
  const user = await reauthenticate(rt, auth, password);
  if (!user.totpEnabledAt) throw conflict('totp_not_enabled', 'Two-step verification is off already.');
  if (!(await takeSecondFactor(rt, user, code))) throw invalidCode();
  await rt.throttle.forget(user.email);
  await rt.orm.em.fork().transactional(async (em) => {
    await em.nativeUpdate(User, { id: user.id }, { totpSeed: null, totpEnabledAt: null, totpLastStep: null });
    await em.nativeDelete(RecoveryCode, { user: user.id });
    queueMail(em, rt.config, { kind: 'totp_disabled', to: user });
  });
}

/**
 * Asks for the second factor of a user whose password was right, if they have one.
 * @throws AppError 401 `totp_required` without a code, 401 `totp_invalid` for one that is wrong or was used
 */
export async function proveSecondFactor(
  rt: Pick<Runtime, 'orm' | 'config'>,
  user: User,
  code: string | undefined,
): Promise<void> {
  if (!user.totpEnabledAt) return;
  if (code === undefined) throw unauthenticated('Send the code of your authenticator as `totp`.', 'totp_required');
  if (!(await takeSecondFactor(rt, user, code))) throw unauthenticated(WRONG_CODE, 'totp_invalid');
}

/** Uses up a code of the authenticator or a recovery code, by one conditional update: of two that send the same code, one has it. */
async function takeSecondFactor(rt: Pick<Runtime, 'orm' | 'config'>, user: User, code: string): Promise<boolean> {
  const em = rt.orm.em.fork();
  const step = user.totpSeed && stepOf(openText(rt.config.APP_SECRET, placeOf(user.id), user.totpSeed), code);
  if (typeof step === 'number') {
    const unused = { id: user.id, $or: [{ totpLastStep: null }, { totpLastStep: { $lt: step } }] };
    return (await em.nativeUpdate(User, unused, { totpLastStep: step })) === 1;
  }
  const unused = { user: user.id, codeHash: hashRecoveryCode(code), usedAt: null };
  return (await em.nativeUpdate(RecoveryCode, unused, { usedAt: new Date() })) === 1;
}

const WRONG_CODE = 'The code is wrong, or was used already.';
const invalidCode = () => new AppError(403, 'totp_invalid', WRONG_CODE);
const alreadyEnabled = () => conflict('totp_already_enabled', 'Two-step verification is on already.');
