import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EmailVerification, PasswordReset } from '#src/modules/auth/one-time-token.entity.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { aUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { anSmtpServer, deliver, tokenIn, type SmtpServer } from '#test/mail.ts';

let test: TestApp;
let smtp: SmtpServer;
beforeAll(async () => {
  smtp = await anSmtpServer();
  test = await openTestApp({
    SMTP_URL: smtp.url,
    MAIL_FROM: 'WhatsHybrid <mail@whatshybrid.example>',
    PUBLIC_URL: 'https://app.example.com/',
  });
});
afterAll(async () => {
  await test.close();
  await smtp.close();
});

const post = (path: string, payload?: object, headers: Record<string, string> = {}) =>
  test.app.inject({ method: 'POST', url: `/api/auth/${path}`, headers, ...(payload ? { payload } : {}) });
const answer = async (path: string, payload?: object, headers?: Record<string, string>) => {
  const { statusCode, body } = await post(path, payload, headers);
  const { code } = JSON.parse(body);
  return code ? `${statusCode} ${code}` : String(statusCode);
};
const login = (email: string, password: string) => answer('login', { email, password });
const me = async (headers: Record<string, string>) => (await test.app.inject({ url: '/api/auth/me', headers })).json();
/** Delivers what is queued. @returns the newest mail to an address */
const newest = async (email: string) => {
  await deliver(test.rt);
  return smtp.to(email).at(-1);
};
const resetToken = async (email: string) => {
  expect(await answer('forgot-password', { email })).toBe('202');
  return tokenIn(await newest(email));
};
const ago = (ms: number) => new Date(Date.now() - ms);

describe('the e-mail address', () => {
  it('is confirmed with the token of the mail that registering sends, once', async () => {
    const { email, headers } = await aUser(test.rt);
    expect(await me(headers)).toMatchObject({ emailVerified: false });
    const mail = await newest(email);
    expect(mail?.from).toBe('mail@whatshybrid.example');
    expect(mail?.text).toContain('Confirme que este endereço é seu');
    expect(mail?.text).toContain('\nhttps://app.example.com/verify-email#token=');
    expect(mail?.text).toContain('<a href="https://app.example.com/verify-email#token=');
    const token = tokenIn(mail);
    expect(await answer('verify-email', { token })).toBe('200');
    expect(await me(headers)).toMatchObject({ emailVerified: true });
    expect(await answer('verify-email', { token })).toBe('400 invalid_verification_token');
    expect(await answer('resend-verification', undefined, headers)).toBe('409 email_already_verified');
  });

  it('is asked for again on request, in the language of the user', async () => {
    const { email, headers } = await aUser(test.rt);
    await test.app.inject({ method: 'PATCH', url: '/api/auth/me', headers, payload: { locale: 'en-US' } });
    expect(await answer('resend-verification', undefined, headers)).toBe('202');
    const mail = await newest(email);
    expect(smtp.to(email)).toHaveLength(2);
    expect(mail?.text).toContain('Subject: Confirm your e-mail address\n');
    expect(await answer('verify-email', { token: tokenIn(mail) })).toBe('200');
  });

  it('is not confirmed by a token that expired, or that was never sent', async () => {
    const { email, user } = await aUser(test.rt);
    const token = tokenIn(await newest(email));
    await test.rt.orm.em.fork().nativeUpdate(EmailVerification, { user: user.id }, { expiresAt: ago(1) });
    for (const bad of [token, '', 'A'.repeat(43), `${token}A`]) {
      expect(await answer('verify-email', { token: bad })).toBe('400 invalid_verification_token');
    }
    const { emailVerifiedAt } = await test.rt.orm.em.fork().findOneOrFail(User, { id: user.id });
    expect(emailVerifiedAt).toBeNull();
  });

  it('gets no mail with words of whoever registered it', async () => {
    const { email } = await aUser(test.rt, { name: 'Win at https://evil.example' });
    expect((await newest(email))?.text).not.toContain('evil');
  });
});

const timeOfForgot = async (email: string) => {
  const start = performance.now();
  await post('forgot-password', { email });
  return performance.now() - start;
};
const median = (times: number[]) => times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0;

describe('a forgotten password', () => {
  it('is replaced with the token of the mail: all sessions end, nobody is signed in, and the owner is told', async () => {
    const { email, password, headers, refreshToken, user } = await aUser(test.rt);
    const token = await resetToken(email);
    const reset = await post('reset-password', { token, password: 'uma-senha-nova' });
    expect(reset.statusCode).toBe(200);
    expect(reset.json()).toEqual({ changed: true });
    expect(await answer('refresh', { refreshToken })).toBe('401 session_ended');
    await expect.poll(async () => (await test.app.inject({ url: '/api/auth/me', headers })).statusCode).toBe(401);
    expect(await login(email, password)).toBe('401 invalid_credentials');
    expect(await login(email, 'uma-senha-nova')).toBe('200');
    expect((await newest(email))?.text).toContain('A senha da sua conta foi alterada');
    const { emailVerifiedAt } = await test.rt.orm.em.fork().findOneOrFail(User, { id: user.id });
    expect(emailVerifiedAt).toBeInstanceOf(Date);
  });

  it('is replaced by one of ten who use the token at once', async () => {
    const { email } = await aUser(test.rt);
    const token = await resetToken(email);
    const tries = Array.from({ length: 10 }, (_, at) => `parallel-password-${at}`);
    const outcomes = await Promise.all(tries.map((password) => answer('reset-password', { token, password })));
    expect(outcomes.toSorted()).toEqual(['200', ...Array.from({ length: 9 }, () => '400 invalid_reset_token')]);
    const winner = tries[outcomes.indexOf('200')] ?? '';
    const logins = await Promise.all(tries.map((password) => login(email, password)));
    expect(tries.filter((_, at) => logins[at] === '200')).toEqual([winner]);
  });

  it('is not replaced by a token that expired, was used up by another change, or was never sent', async () => {
    const { email, password, headers, user } = await aUser(test.rt);
    const expired = await resetToken(email);
    await test.rt.orm.em.fork().nativeUpdate(PasswordReset, { user: user.id }, { expiresAt: ago(1) });
    const overtaken = await resetToken(email);
    const changed = { currentPassword: password, newPassword: 'changed-meanwhile' };
    expect(await answer('change-password', changed, headers)).toBe('200');
    for (const token of [expired, overtaken, '', 'A'.repeat(43)]) {
      expect(await answer('reset-password', { token, password: 'uma-senha-nova' })).toBe('400 invalid_reset_token');
    }
    expect(await login(email, 'changed-meanwhile')).toBe('200');
  });

  it('is not replaced by a common one, and the token stays good', async () => {
    const { email } = await aUser(test.rt);
    const token = await resetToken(email);
    const refused = await post('reset-password', { token, password: 'Senha123' });
    expect(refused.json()).toMatchObject({
      status: 400,
      code: 'validation_failed',
      errors: [{ path: 'password', code: 'password_too_common' }],
    });
    expect(await answer('reset-password', { token, password: 'uma-senha-nova' })).toBe('200');
  });

  it('is answered alike, with the same writes, whether there is an account or not, and sends a stranger nothing', async () => {
    const { email, user } = await aUser(test.rt);
    const disabled = await aUser(test.rt);
    await test.rt.orm.em.fork().nativeUpdate(User, { id: disabled.user.id }, { status: 'disabled' });
    await deliver(test.rt);
    const before = smtp.mails.length;
    const rows = async () => {
      const counts =
        'select (select count(*) from password_reset)::int as tokens, count(*)::int as mails from outgoing_mail';
      return (await test.rt.pool.query<{ tokens: number; mails: number }>(counts)).rows[0] ?? { tokens: 0, mails: 0 };
    };
    for (const address of [email, 'nobody@example.com', disabled.email, 'no address at all']) {
      const then = await rows();
      const { statusCode, body } = await post('forgot-password', { email: address });
      expect({ statusCode, body }).toEqual({ statusCode: 202, body: '{"accepted":true}' });
      expect(await rows()).toEqual({ tokens: then.tokens + 1, mails: then.mails + 1 });
    }
    await deliver(test.rt);
    expect(smtp.mails.slice(before).map(({ to }) => to)).toEqual([[email]]);
    expect(await test.rt.orm.em.fork().count(PasswordReset, { user: user.id })).toBe(1);
  });

  it('is answered after the same time whether there is an account or not', { retry: 3 }, async () => {
    const { email } = await aUser(test.rt);
    const known: number[] = [];
    const unknown: number[] = [];
    for (let round = 0; round < 40; round += 1) {
      known.push(await timeOfForgot(email));
      unknown.push(await timeOfForgot('nobody@example.com'));
    }
    const ratio = median(unknown) / median(known);
    expect(ratio).toBeGreaterThan(0.7);
    expect(ratio).toBeLessThan(1.4);
  });

  it('gets five mails an hour at most, which its answer does not show', async () => {
    const strict = await openTestApp({ SMTP_URL: smtp.url, RATE_LIMIT_SCALE: '1' });
    try {
      const { email, headers } = await aUser(strict.rt);
      // Each from a network of its own, which has a limit of its own.
      const ask = (path: string, at: number, more: object) =>
        strict.app.inject({ method: 'POST', url: `/api/auth/${path}`, remoteAddress: `10.0.0.${at}`, ...more });
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, at) => ask('forgot-password', at, { payload: { email } })),
      );
      expect(new Set(answers.map(({ statusCode, body }) => `${statusCode} ${body}`)).size).toBe(1);
      await deliver(strict.rt);
      expect(smtp.to(email).filter(({ text }) => text.includes('/reset-password#'))).toHaveLength(5);
      const resend = await ask('resend-verification', 9, { headers });
      expect(resend.json()).toMatchObject({ status: 429, code: 'mail_throttled' });
      expect(Number(resend.headers['retry-after'])).toBeGreaterThan(3000);
    } finally {
      await strict.close();
    }
  });
});

describe('POST /api/auth/change-password', () => {
  it('takes the current password, ends the other sessions, and tells the owner', async () => {
    const { email, password, headers, refreshToken } = await aUser(test.rt);
    const other = (await post('login', { email, password })).json();
    const change = (currentPassword: string, newPassword: string) =>
      answer('change-password', { currentPassword, newPassword }, headers);
    expect(await change('not-this-one', 'uma-senha-nova')).toBe('403 wrong_password');
    expect(await change(password, 'short')).toBe('400 validation_failed');
    expect(await change(password, 'uma-senha-nova')).toBe('200');
    expect(await answer('refresh', { refreshToken: other.refreshToken })).toBe('401 session_ended');
    expect(await answer('refresh', { refreshToken })).toBe('200');
    expect(await login(email, password)).toBe('401 invalid_credentials');
    expect(await login(email, 'uma-senha-nova')).toBe('200');
    expect((await newest(email))?.text).toContain('as outras sessões foram encerradas');
  });

  it('names its field when the new one is common', async () => {
    const { password, headers } = await aUser(test.rt);
    const refused = await post('change-password', { currentPassword: password, newPassword: 'password1' }, headers);
    expect(refused.json()).toMatchObject({ errors: [{ path: 'newPassword', code: 'password_too_common' }] });
  });
});

describe('a password anybody would try', () => {
  it.each([
    'password',
    'PassWord',
    '123456789',
    'senha123',
    'Senha@123',
    'flamengo',
    'iloveyou',
    'WhatsHybrid',
    'whatshybrid2026!',
    'joana.prado@example.com',
    'joana.prado',
    'JoanaPrado77',
    'joana silva prado',
  ])('cannot be chosen: %s', async (password) => {
    const body = { email: 'joana.prado@example.com', name: 'Joana Silva Prado', password };
    const refused = await post('register', body);
    expect(refused.statusCode).toBe(400);
    expect(refused.json()).toMatchObject({
      code: 'validation_failed',
      errors: [{ path: 'password', code: 'password_too_common' }],
    });
  });
});

describe('a disabled account', () => {
  it('cannot sign in, refresh or go on, and says so only to who has the password', async () => {
    const { email, password, headers, refreshToken, user } = await aUser(test.rt);
    expect((await test.app.inject({ url: '/api/auth/me', headers })).statusCode).toBe(200);
    await test.rt.orm.em.fork().nativeUpdate(User, { id: user.id }, { status: 'disabled' });
    expect(await login(email, 'not-this-one')).toBe('401 invalid_credentials');
    expect(await login(email, password)).toBe('401 account_disabled');
    expect(await answer('refresh', { refreshToken })).toBe('401 account_disabled');
    await expect.poll(async () => (await test.app.inject({ url: '/api/auth/me', headers })).statusCode).toBe(401);
    await test.rt.orm.em.fork().nativeUpdate(User, { id: user.id }, { status: 'active' });
    expect(await answer('refresh', { refreshToken })).toBe('200');
  });
});

describe('sessions', () => {
  it('are ten at most: signing in ends the oldest, also when many sign in at once', async () => {
    const { email, password, refreshToken } = await aUser(test.rt);
    const signIn = async () => (await post('login', { email, password })).json().refreshToken;
    const tokens: string[] = [refreshToken];
    for (let count = 1; count < 10; count += 1) tokens.push(await signIn());
    tokens.push(await signIn());
    expect(await answer('refresh', { refreshToken: tokens[0] })).toBe('401 session_ended');
    expect(await answer('refresh', { refreshToken: tokens[1] })).toBe('200');
    await Promise.all(Array.from({ length: 8 }, signIn));
    const open =
      'select 1 from session where user_id = (select id from app_user where email = $1) and revoked_at is null';
    expect((await test.rt.pool.query(open, [email])).rowCount).toBe(10);
  });

  it('are not opened for a password that was changed while they were', async () => {
    const { email, password } = await aUser(test.rt);
    const token = await resetToken(email);
    const signIns = Array.from({ length: 6 }, () => post('login', { email, password }));
    const reset = post('reset-password', { token, password: 'uma-senha-nova' });
    await Promise.all([...signIns, reset]);
    const left = `select 1 from session s join app_user u on u.id = s.user_id where u.email = $1 and s.revoked_at is null`;
    expect((await reset).statusCode).toBe(200);
    expect((await test.rt.pool.query(left, [email])).rowCount).toBe(0);
  });
});

describe('the pages of the links', () => {
  it.each(['/verify-email', '/reset-password'])('%s runs its own script and nothing else', async (url) => {
    const page = await test.app.inject({ url });
    expect(page.statusCode).toBe(200);
    expect(page.headers['content-type']).toContain('text/html');
    expect(page.headers['content-security-policy']).toMatch(/default-src 'none'; script-src 'sha256-[^']+';/);
    expect(page.headers['referrer-policy']).toBe('no-referrer');
    expect(page.body).toContain(`data-api="/api/auth${url}"`);
  });
});
