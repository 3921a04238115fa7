import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { aUser, type TestUser } from '../../../test/factories.ts';
import { openTestApp, type TestApp } from '../../../test/harness.ts';

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp();
});
afterAll(() => test.close());

const signInAgain = async ({ email, password }: TestUser, agent: string) => {
  const headers = { 'user-agent': agent };
  const login = { method: 'POST', url: '/api/auth/login', headers, payload: { email, password } } as const;
  const { token, refreshToken } = (await test.app.inject(login)).json();
  return { headers: { authorization: `Bearer ${token}` }, refreshToken };
};
const sessionsOf = async (headers: { authorization: string }) =>
  (await test.app.inject({ url: '/api/auth/sessions', headers })).json().data;
const me = async (headers: { authorization: string }) =>
  (await test.app.inject({ url: '/api/auth/me', headers })).statusCode;
const refresh = async (refreshToken: string) =>
  (await test.app.inject({ method: 'POST', url: '/api/auth/refresh', payload: { refreshToken } })).statusCode;

it('lists where one is signed in, and signs out of one place within two seconds', async () => {
  const user = await aUser(test.rt);
  const phone = await signInAgain(user, 'Phone');
  const seen = await sessionsOf(user.headers);
  expect(seen).toHaveLength(2);
  expect(seen.find((one: { current: boolean }) => one.current).id).toBe(user.auth.sessionId);
  const other = seen.find((one: { userAgent: string }) => one.userAgent === 'Phone');
  expect(other).toMatchObject({ current: false, ip: '127.0.0.1' });
  expect(await me(phone.headers)).toBe(200);

  const stranger = await aUser(test.rt);
  const end = (headers: { authorization: string }) =>
    test.app.inject({ method: 'DELETE', url: `/api/auth/sessions/${other.id}`, headers });
  expect((await end(stranger.headers)).statusCode).toBe(404);
  expect((await end(user.headers)).json()).toEqual({ id: other.id, deleted: true });
  expect((await end(user.headers)).statusCode).toBe(404);
  await vi.waitFor(async () => expect(await me(phone.headers)).toBe(401), 60_000);
  expect(await refresh(phone.refreshToken)).toBe(401);
  expect(await me(user.headers)).toBe(200);
  expect(await sessionsOf(user.headers)).toHaveLength(1);
});

it('signs out everywhere', async () => {
  const user = await aUser(test.rt);
  const phone = await signInAgain(user, 'Phone');
  const out = await test.app.inject({ method: 'POST', url: '/api/auth/logout-all', headers: phone.headers });
  expect(out.json()).toEqual({ signedOut: true });
  for (const { headers, refreshToken } of [user, phone]) {
    await vi.waitFor(async () => expect(await me(headers)).toBe(401), 60_000);
    expect(await refresh(refreshToken)).toBe(401);
  }
});
