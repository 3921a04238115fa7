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

const close = async ({ workspace, headers }: TestUser) =>
  expect(
    (await test.app.inject({ method: 'DELETE', url: `/api/workspaces/${workspace.id}`, headers })).statusCode,
  ).toBe(200);
const balance = async (id: string) => (await findCredits(test.rt.pool, id))?.balance;
const make = async ({ headers }: Pick<TestUser, 'headers'>) =>
  (await test.app.inject({ method: 'POST', url: '/api/workspaces', payload: { name: 'Outra' }, headers })).json().id;
const login = async ({ email, password }: TestUser) =>
  (await test.app.inject({ method: 'POST', url: '/api/auth/login', payload: { email, password } })).json();

it('of a workspace that was closed before come with the next one, or to another that there is, once', async () => {
  const user = await aUser(test.rt);
  await close(user);
  expect(await post('auth/verify-email', { token: await mailed(user.email) })).toBe(200);
  expect(await creditsOf(user)).toEqual(NOTHING);
  const home = (await login(user)).workspace.id;
  expect(await balance(home)).toBe(GIVEN.balance);
  await login(user);
  expect(await balance(home)).toBe(GIVEN.balance);

  // Where they have another one, with the confirmation; what is made then has none.
  const other = await aUser(test.rt);
  const second = await make(other);
  await close(other);
  expect(await post('auth/verify-email', { token: await mailed(other.email) })).toBe(200);
  expect(await balance(second)).toBe(GIVEN.balance);
  const { token } = await login(other);
  const third = await make({ headers: { authorization: `Bearer ${token}` } });
  expect(await balance(third)).toBe(0);

  // Who is in another's workspace, with the next one that is their own.
  const guest = await aUser(test.rt);
  await test.rt.systemPool.query(`insert into member (workspace_id, user_id, role) values ($1, $2, 'admin')`, [
    second,
    guest.user.id,
  ]);
  await close(guest);
  expect(await post('auth/verify-email', { token: await mailed(guest.email) })).toBe(200);
  const signedIn = await login(guest);
  expect(signedIn.workspace.id).toBe(second);
  const own = await make({ headers: { authorization: `Bearer ${signedIn.token}` } });
  expect([await balance(own), await balance(second)]).toEqual([GIVEN.balance, GIVEN.balance]);
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
