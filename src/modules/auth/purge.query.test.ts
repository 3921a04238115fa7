import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { EmailVerification, PasswordReset } from '#src/modules/auth/one-time-token.entity.ts';
import { purgeAccounts } from '#src/modules/auth/purge.query.ts';
import { Session } from '#src/modules/auth/session.entity.ts';
import { aUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

let test: TestRuntime;
beforeAll(async () => {
  test = await openTestRuntime();
});
afterAll(() => test.close());

it('drops sessions 30 days and tokens a day after they expired, and nothing earlier', async () => {
  const { user, auth } = await aUser(test.rt);
  const day = 86_400_000;
  const ago = (days: number) => new Date(Date.now() - days * day);
  const em = test.rt.orm.em.fork();
  const make = (expiresAt: Date) =>
    em.create(Session, { user: user.id, refreshKey: randomBytes(32), counter: 0, expiresAt });
  const kept = make(ago(29));
  make(ago(31));
  for (const days of [0.9, 1.1]) {
    const expiresAt = ago(days);
    em.create(PasswordReset, { tokenHash: randomBytes(32), user: null, expiresAt });
    em.create(EmailVerification, { tokenHash: randomBytes(32), user: user.id, expiresAt });
  }
  await em.flush();
  expect(await purgeAccounts(test.rt.systemPool)).toBe(3);
  expect(await purgeAccounts(test.rt.systemPool)).toBe(0);
  const left = await test.rt.orm.em.fork().find(Session, { user: user.id });
  expect(new Set(left.map(({ id }) => id))).toEqual(new Set([kept.id, auth.sessionId]));
  expect(await test.rt.orm.em.fork().count(PasswordReset)).toBe(1);
  // That of registering is good for a day.
  expect(await test.rt.orm.em.fork().count(EmailVerification)).toBe(2);
});
