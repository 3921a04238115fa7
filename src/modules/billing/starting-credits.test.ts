import { afterAll, beforeAll, expect, it } from 'vitest';
import { findCredits } from '#src/modules/jobs/jobs.query.ts';
import { payStartingCredits } from '#src/modules/billing/starting-credits.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { anSmtpServer, deliver, tokenIn, type SmtpServer } from '#test/mail.ts';

const GIVEN = { balance: 25_000_000, held: 0 };
const NOTHING = { balance: 0, held: 0 };

let test: TestApp;
let smtp: SmtpServer;
beforeAll(async () => {
  smtp = await anSmtpServer();
  test = await openTestApp({ SMTP_URL: smtp.url, STARTING_CREDITS: '25' });
});
afterAll(async () => {
  await test.close();
  await smtp.close();
});

const post = async (url: string, payload: object, { headers }: Partial<TestUser> = {}) =>
  (await test.app.inject({ method: 'POST', url: `/api/${url}`, payload, ...(headers && { headers }) })).statusCode;
const mailed = async (email: string) => {
  await deliver(test.rt);
  return tokenIn(smtp.to(email).at(-1));
};
const creditsOf = ({ workspace }: TestUser) => findCredits(test.rt.pool, workspace.id);

it('come with the confirmed address, once, however often and by whatever it is confirmed', async () => {
  const user = await aUser(test.rt);
  expect(await creditsOf(user)).toEqual(NOTHING);
  const first = await mailed(user.email);
  await post('auth/resend-verification', {}, user);
  const tokens = [first, await mailed(user.email)];
  expect(await creditsOf(user)).toEqual(NOTHING);
  expect(await Promise.all(tokens.map((token) => post('auth/verify-email', { token })))).toEqual([200, 200]);
  expect(await creditsOf(user)).toEqual(GIVEN);

  expect(await post('auth/forgot-password', { email: user.email })).toBe(202);
  const reset = { token: await mailed(user.email), password: 'another one that nobody knows' };
  expect(await post('auth/reset-password', reset)).toBe(200);
  expect(await post('auth/login', { email: user.email, password: reset.password })).toBe(200);
  expect(await creditsOf(user)).toEqual(GIVEN);
});

it('come with a new password and with an invite, which prove the address too', async () => {
  const [owner, user] = [await aUser(test.rt), await aUser(test.rt)];
  expect(await post('auth/forgot-password', { email: user.email })).toBe(202);
  const reset = { token: await mailed(user.email), password: 'another one that nobody knows' };
  expect(await post('auth/reset-password', reset)).toBe(200);
  expect(await creditsOf(user)).toEqual(GIVEN);

  const guest = await aUser(test.rt);
  const invite = { email: guest.email, role: 'member' };
  expect(await post(`workspaces/${owner.workspace.id}/invites`, invite, owner)).toBe(201);
  const accepted = { ...guest, headers: { ...guest.headers, 'idempotency-key': 'accepted-once' } };
  await deliver(test.rt);
  const [, token] = /#token=([\w-]+)/.exec(smtp.to(guest.email).at(-1)?.text ?? '') ?? [];
  expect(await post('invites/accept', { token }, accepted)).toBe(200);
  expect(await creditsOf(guest)).toEqual(GIVEN);
  expect(await creditsOf(owner)).toEqual(NOTHING);
});

it('are paid with the next login, once, where the process had ended before it could', async () => {
  const user = await aUser(test.rt);
  await test.rt.systemPool.query('update app_user set email_verified_at = now() where id = $1', [user.user.id]);
  const pay = () => payStartingCredits(test.rt, user.user.id);
  const { email, password } = user;
  await Promise.all([pay(), post('auth/login', { email, password }), pay(), pay()]);
  expect(await creditsOf(user)).toEqual(GIVEN);
});

it('are there at once where no mail is sent', async () => {
  const other = await openTestApp({ STARTING_CREDITS: '25' });
  try {
    const { workspace } = await aUser(other.rt);
    expect(await findCredits(other.rt.pool, workspace.id)).toEqual(GIVEN);
  } finally {
    await other.close();
  }
});
