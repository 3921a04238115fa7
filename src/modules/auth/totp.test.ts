import { Secret, TOTP } from 'otpauth';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hashRecoveryCode, newRecoveryCodes, newSeed, stepOf } from '#src/modules/auth/totp.ts';
import { RecoveryCode } from '#src/modules/auth/one-time-token.entity.ts';
import { User } from '#src/modules/auth/user.entity.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { anSmtpServer, deliver, tokenIn, type SmtpServer } from '#test/mail.ts';

let test: TestApp;
let smtp: SmtpServer;
beforeAll(async () => {
  smtp = await anSmtpServer();
  test = await openTestApp({ SMTP_URL: smtp.url });
});
afterAll(async () => {
  await test.close();
  await smtp.close();
});

const post = (path: string, payload: object, headers: Record<string, string> = {}) =>
  test.app.inject({ method: 'POST', url: `/api/auth/${path}`, payload, headers });
const answer = async (path: string, payload: object, headers?: Record<string, string>) => {
  const { statusCode, body } = await post(path, payload, headers);
  const { code } = JSON.parse(body);
  return code ? `${statusCode} ${code}` : String(statusCode);
};
/** The code of an authenticator now, or some steps of 30 s away. */
const codeOf = (secret: string, steps = 0) =>
  new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: Date.now() + steps * 30_000 });
/** A code that is not the authenticator's around now. */
const wrongCode = (secret: string) => {
  const near = new Set([-2, -1, 0, 1, 2].map((steps) => codeOf(secret, steps)));
  return ['000000', '111111', '222222', '333333', '444444', '555555'].find((code) => !near.has(code)) ?? '';
};
/** As if the latest code had been used long ago, so that a test need not wait for the next one. */
const rewind = ({ user }: TestUser) => test.rt.orm.em.fork().nativeUpdate(User, { id: user.id }, { totpLastStep: 1 });

async function withTotp() {
  const user = await aUser(test.rt);
  const setup = await post('totp/setup', { password: user.password }, user.headers);
  const { secret } = setup.json();
  const used = codeOf(secret);
  const enabled = await post('totp/enable', { code: used }, user.headers);
  expect(enabled.statusCode).toBe(200);
  const recoveryCodes: string[] = enabled.json().recoveryCodes;
  const login = (totp?: string, password = user.password) =>
    answer('login', { email: user.email, password, ...(totp === undefined ? {} : { totp }) });
  return { user, secret: String(secret), used, recoveryCodes, login };
}

describe('codes', () => {
  it('are those of RFC 6238, good one step early and late', () => {
    // Appendix B: the seed "12345678901234567890" at 59 s; eight digits there, the last six here.
    const seed = new Secret({ buffer: new TextEncoder().encode('12345678901234567890').buffer }).base32;
    expect(stepOf(seed, '287082', 59_000)).toBe(1);
    expect(stepOf(seed, '287082', 29_000)).toBe(1);
    expect(stepOf(seed, '287082', 89_000)).toBe(1);
    expect(stepOf(seed, '287082', 90_000)).toBeUndefined();
    expect(stepOf(seed, '081804', 1_111_111_109_000)).toBe(37_037_036);
    for (const text of ['', '28708', '2870820', '28708a', '２８７０８２', ' 287082']) {
      expect(stepOf(seed, text, 59_000)).toBeUndefined();
    }
  });

  it('come from seeds of 160 bits', () => {
    expect(newSeed()).toMatch(/^[A-Z2-7]{32}$/);
  });

  it('for recovery are ten, of 120 bits each, read with or without their dashes', () => {
    const codes = newRecoveryCodes();
    expect(new Set(codes).size).toBe(10);
    for (const code of codes) expect(code).toMatch(/^([a-z2-7]{6}-){3}[a-z2-7]{6}$/);
    const [code = ''] = codes;
    expect(hashRecoveryCode(` ${code.toUpperCase().replaceAll('-', ' ')}`)).toEqual(hashRecoveryCode(code));
  });
});

describe('turning two-step verification on', () => {
  it('takes the password and then a code', async () => {
    const { headers, password, email } = await aUser(test.rt);
    expect(await answer('totp/enable', { code: '123456' }, headers)).toBe('409 totp_not_set_up');
    expect(await answer('totp/setup', { password: 'not-this-one' }, headers)).toBe('403 wrong_password');
    const { secret, uri } = (await post('totp/setup', { password }, headers)).json();
    const read = new URL(uri);
    expect(`${read.protocol}//${read.host}${decodeURIComponent(read.pathname)}`).toBe(
      `otpauth://totp/WhatsHybrid:${email}`,
    );
    expect(read.searchParams.get('secret')).toBe(secret);
    expect(await answer('totp/enable', { code: wrongCode(secret) }, headers)).toBe('403 totp_invalid');
    // Not on yet: nobody is locked out by a seed they never put into an authenticator.
    expect(await answer('login', { email, password })).toBe('200');
    expect(await answer('totp/enable', { code: codeOf(secret) }, headers)).toBe('200');
    expect((await test.app.inject({ url: '/api/auth/me', headers })).json()).toMatchObject({ totpEnabled: true });
    expect(await answer('totp/enable', { code: codeOf(secret, 1) }, headers)).toBe('409 totp_already_enabled');
    expect(await answer('totp/setup', { password }, headers)).toBe('409 totp_already_enabled');
    await deliver(test.rt);
    expect(smtp.to(email).at(-1)?.text).toContain('A verificação em duas etapas foi ativada');
  });

  it('gives recovery codes to one of several who enable at once', async () => {
    const { headers, password, user } = await aUser(test.rt);
    const { secret } = (await post('totp/setup', { password }, headers)).json();
    const code = codeOf(secret);
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => answer('totp/enable', { code }, headers)));
    expect(outcomes.filter((outcome) => outcome === '200')).toHaveLength(1);
    expect(await test.rt.orm.em.fork().count(RecoveryCode, { user: user.id })).toBe(10);
  });
});

describe('signing in with two-step verification', () => {
  it('asks for a code only after a right password', async () => {
    const { secret, login } = await withTotp();
    expect(await login(undefined, 'not-this-one')).toBe('401 invalid_credentials');
    expect(await login(wrongCode(secret), 'not-this-one')).toBe('401 invalid_credentials');
    expect(await login()).toBe('401 totp_required');
    expect(await login(wrongCode(secret))).toBe('401 totp_invalid');
    expect(await login(codeOf(secret, 1))).toBe('200');
  });

  it('takes each code once: not again, not the one that enabled it, not an older one, and once of five at a time', async () => {
    const { user, secret, used, login } = await withTotp();
    expect(await login(used)).toBe('401 totp_invalid');
    const next = codeOf(secret, 1);
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => login(next)));
    expect(outcomes.toSorted()).toEqual(['200', ...Array.from({ length: 4 }, () => '401 totp_invalid')]);
    expect(await login(used)).toBe('401 totp_invalid');
    await rewind(user);
    expect(await login(codeOf(secret))).toBe('200');
  });

  it('takes each recovery code once', async () => {
    const { recoveryCodes, login } = await withTotp();
    const [first = '', second = ''] = recoveryCodes;
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => login(first)));
    expect(outcomes.toSorted()).toEqual(['200', ...Array.from({ length: 4 }, () => '401 totp_invalid')]);
    expect(await login(second.toUpperCase().replaceAll('-', ''))).toBe('200');
    const other = await withTotp();
    expect(await other.login(recoveryCodes[2])).toBe('401 totp_invalid');
  });

  it('is not got around by a password reset', async () => {
    const { user, secret, login } = await withTotp();
    await post('forgot-password', { email: user.email });
    await deliver(test.rt);
    const token = tokenIn(smtp.to(user.email).findLast(({ text }) => text.includes('/reset-password#')));
    expect(await answer('reset-password', { token, password: 'uma-senha-nova' })).toBe('200');
    expect(await login(undefined, 'uma-senha-nova')).toBe('401 totp_required');
    expect(await login(codeOf(secret, 1), 'uma-senha-nova')).toBe('200');
  });
});

describe('turning two-step verification off', () => {
  it('takes the password and a code', async () => {
    const { user, secret, login } = await withTotp();
    const { headers, password } = user;
    const disable = (body: object) => answer('totp/disable', body, headers);
    expect(await disable({ password: 'not-this-one', code: codeOf(secret, 1) })).toBe('403 wrong_password');
    expect(await disable({ password, code: wrongCode(secret) })).toBe('403 totp_invalid');
    expect(await login()).toBe('401 totp_required');
    expect(await disable({ password, code: codeOf(secret, 1) })).toBe('200');
    expect(await login()).toBe('200');
    expect(await disable({ password, code: '123456' })).toBe('409 totp_not_enabled');
    expect(await test.rt.orm.em.fork().count(RecoveryCode, { user: user.user.id })).toBe(0);
  });
});

describe('the database', () => {
  it('holds no seed, code, token or address of a mail in clear, and a seed opens in its own row only', async () => {
    const { user, secret, recoveryCodes, login } = await withTotp();
    await post('forgot-password', { email: user.email });
    const queued = await dump();
    await deliver(test.rt);
    const sent = smtp.to(user.email).map((mail) => mail.text);
    const tokens = sent.flatMap((text) => /#token=([\w-]+)/.exec(text)?.[1] ?? []);
    expect(tokens).toHaveLength(2);
    const secrets = [user.password, user.refreshToken, secret, ...recoveryCodes, ...tokens];
    // Both as it is written and as bytes: a dump shows bytea in hexadecimal.
    const spellings = secrets.flatMap((text) => [text, Buffer.from(text).toString('hex')]);
    const hexOfSeed = Buffer.from(Secret.fromBase32(secret).bytes).toString('hex');
    for (const text of [queued, await dump()]) {
      for (const spelling of [...spellings, hexOfSeed]) expect(text).not.toContain(spelling);
    }
    const mails = await test.rt.pool.query('select recipient, body from outgoing_mail where sent_at is not null');
    for (const row of mails.rows) expect(row).toEqual({ recipient: null, body: null });
    expect(
      queued
        .split('\n')
        .filter((line) => line.startsWith('outgoing_mail'))
        .join(),
    ).not.toContain(user.email);

    const other = await withTotp();
    const em = test.rt.orm.em.fork();
    const { totpSeed } = await em.findOneOrFail(User, { id: user.user.id });
    await em.nativeUpdate(User, { id: other.user.user.id }, { totpSeed });
    expect(
      (await post('login', { email: other.user.email, password: other.user.password, totp: codeOf(secret, 1) }))
        .statusCode,
    ).toBe(500);
    expect(await login(codeOf(secret, 1))).toBe('200');
  });
});

/** All rows of all tables as text, a line each. */
async function dump(): Promise<string> {
  const tables = await test.rt.systemPool.query<{ name: string }>(
    `select table_name as name from information_schema.tables where table_schema = 'public' and table_name not like 'mikro%'`,
  );
  const parts = await Promise.all(
    tables.rows.map(async ({ name }) => {
      const { rows } = await test.rt.systemPool.query<{ row: string }>(`select t::text as row from ${name} t`);
      return rows.map(({ row }) => `${name}: ${row}`);
    }),
  );
  const lines = parts.flat();
  if (lines.length < 10) throw new Error('The dump is empty');
  return lines.join('\n');
}
