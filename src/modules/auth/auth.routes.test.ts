import { argon2Sync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { User } from '#src/modules/auth/user.entity.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { CreditAccount } from '#src/modules/workspaces/credit-account.entity.ts';
import { aUser } from '../../../test/factories.ts';
import { openTestApp } from '../../../test/harness.ts';
import type { TestApp } from '../../../test/harness.ts';

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp({ STARTING_CREDITS: '25' });
});
afterAll(() => test.close());

const post = (path: string, payload: object, headers: Record<string, string> = {}) =>
  test.app.inject({ method: 'POST', url: `/api/auth/${path}`, payload, headers });

const membersInAll = async () => (await test.rt.systemPool.query('select from member')).rowCount;

describe('POST /api/auth/register', () => {
  it('makes the user, a workspace they own, and its starting credits', async () => {
    const answer = await post('register', {
      email: '  Ana.Souza@Example.COM ',
      password: 'segredo-longo',
      name: ' Ana ',
      workspaceName: 'Loja da Ana',
    });
    expect(answer.statusCode).toBe(201);
    const body = answer.json();
    expect(body).toMatchObject({
      user: { email: 'ana.souza@example.com', name: 'Ana', locale: 'pt-BR' },
      workspace: { name: 'Loja da Ana', role: 'owner' },
      expiresIn: 900,
    });
    const em = test.rt.orm.em.fork();
    const account = await inWorkspaceTx(test.rt.orm, { workspaceId: body.workspace.id }, (own) =>
      own.findOneOrFail(CreditAccount, { workspace: body.workspace.id }),
    );
    expect(account).toMatchObject({ balance: 25_000_000, held: 0 });
    const stored = await em.findOneOrFail(User, { id: body.user.id });
    expect(stored.passwordHash).toMatch(/^\$argon2id\$/);
    expect(answer.body).not.toContain('argon2');
  });

  it('names the workspace after the user when they give it no name', async () => {
    const answer = await post('register', { email: 'b@example.com', password: 'segredo-longo', name: 'Bia' });
    expect(answer.json().workspace.name).toBe('Bia');
  });

  it('refuses an address that has an account, in any spelling, and leaves nothing behind', async () => {
    const { email } = await aUser(test.rt);
    const before = await membersInAll();
    const answer = await post('register', { email: email.toUpperCase(), password: 'segredo-longo', name: 'X' });
    expect(answer.statusCode).toBe(409);
    expect(answer.json().code).toBe('email_taken');
    expect(await membersInAll()).toBe(before);
  });

  it('gives one of twenty concurrent registrations of an address the account, and the others 409', async () => {
    const body = { email: 'race@example.com', password: 'segredo-longo', name: 'R' };
    const answers = await Promise.all(Array.from({ length: 20 }, () => post('register', body)));
    const statuses = answers.map(({ statusCode }) => statusCode).toSorted((a, b) => a - b);
    expect(statuses).toEqual([201, ...Array.from({ length: 19 }, () => 409)]);
  });

  it.each([
    [{ password: 'segredo-longo', name: 'X' }, 'email'],
    [{ email: 'nonsense', password: 'segredo-longo', name: 'X' }, 'email'],
    [{ email: 'x@example.com', password: 'seven77', name: 'X' }, 'password'],
    [{ email: 'x@example.com', password: 'x'.repeat(129), name: 'X' }, 'password'],
    [{ email: 'x@example.com', password: 'segredo\u0000longo', name: 'X' }, 'password'],
    [{ email: 'x@example.com', password: 'segredo-longo', name: ' ' }, 'name'],
    [{ email: 'x@example.com', password: 'segredo-longo', name: 'X', role: 'owner' }, 'role'],
  ])('refuses %j and names the field', async (body, path) => {
    const answer = await post('register', body);
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ code: 'validation_failed', errors: [{ path }] });
  });
});

const timeOfLogin = async (address: string) => {
  const start = performance.now();
  await post('login', { email: address, password: 'not-this-one' });
  return performance.now() - start;
};

describe('POST /api/auth/login', () => {
  it('signs in with the address in any spelling', async () => {
    const { email, password, user, workspace } = await aUser(test.rt);
    const answer = await post('login', { email: ` ${email.toUpperCase()} `, password });
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toMatchObject({ user: { id: user.id }, workspace: { id: workspace.id, role: 'owner' } });
    const me = await test.app.inject({
      url: '/api/auth/me',
      headers: { authorization: `Bearer ${answer.json().token}` },
    });
    expect(me.json()).toMatchObject({ id: user.id, email, workspace: { id: workspace.id } });
  });

  it('answers a wrong password and an unknown address alike', async () => {
    const { email } = await aUser(test.rt);
    const wrong = await post('login', { email, password: 'not-this-one' });
    const unknown = await post('login', { email: 'nobody@example.com', password: 'not-this-one' });
    expect(wrong.statusCode).toBe(401);
    expect(wrong.json()).toMatchObject({ code: 'invalid_credentials' });
    expect(unknown.statusCode).toBe(401);
    expect(unknown.json()).toEqual(wrong.json());
  });

  // Again when the machine was busy: without the decoy, no attempt could pass.
  it('takes as long for an unknown address as for a wrong password', { retry: 3 }, async () => {
    const { email } = await aUser(test.rt);
    const wrong: number[] = [];
    const unknown: number[] = [];
    for (let round = 0; round < 15; round += 1) {
      wrong.push(await timeOfLogin(email));
      unknown.push(await timeOfLogin('nobody@example.com'));
    }
    // The fastest of each is the least disturbed; without the decoy the second would be a twentieth of the first.
    const ratio = Math.min(...unknown) / Math.min(...wrong);
    expect(ratio).toBeGreaterThan(0.7);
    expect(ratio).toBeLessThan(1.4);
  });

  it('stores a new hash when the parameters have changed since', async () => {
    const { email, password, user } = await aUser(test.rt);
    const em = test.rt.orm.em.fork();
    const old = '$argon2id$v=19$m=8192,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$';
    const parameters = { nonce: Buffer.alloc(16, 7), parallelism: 1, tagLength: 32, memory: 8192, passes: 1 };
    const key = argon2Sync('argon2id', { message: password, ...parameters })
      .toString('base64')
      .replaceAll('=', '');
    await em.nativeUpdate(User, { id: user.id }, { passwordHash: old + key });
    expect((await post('login', { email, password })).statusCode).toBe(200);
    const stored = await test.rt.orm.em.fork().findOneOrFail(User, { id: user.id });
    expect(stored.passwordHash).toMatch(/m=19456,t=2,p=1/);
    expect((await post('login', { email, password })).statusCode).toBe(200);
  });
});

describe('the signed-in user', () => {
  it('changes their own name and language, nothing else', async () => {
    const { headers, email } = await aUser(test.rt);
    const patch = (payload: object) => test.app.inject({ method: 'PATCH', url: '/api/auth/me', headers, payload });
    expect((await patch({ name: ' Novo ', locale: 'en-US' })).json()).toMatchObject({
      name: 'Novo',
      locale: 'en-US',
      email,
    });
    expect((await patch({ locale: 'pt' })).json()).toMatchObject({ name: 'Novo', locale: 'pt' });
    for (const refused of [{}, { email: 'other@example.com' }, { name: '' }, { locale: 'not a tag' }, { id: 'x' }]) {
      expect((await patch(refused)).statusCode).toBe(400);
    }
  });

  it('signs out: the refresh token stops working, other sessions go on', async () => {
    const { headers, refreshToken, email, password } = await aUser(test.rt);
    const other = (await post('login', { email, password })).json();
    const out = await test.app.inject({
      method: 'POST',
      url: '/api/auth/logout',
      // Old clients send the type with no body on every call.
      headers: { ...headers, 'content-type': 'application/json' },
    });
    expect(out.statusCode).toBe(200);
    expect(out.json()).toEqual({ signedOut: true });
    const refused = await post('refresh', { refreshToken });
    expect(refused.statusCode).toBe(401);
    expect(refused.json().code).toBe('session_ended');
    expect((await post('refresh', { refreshToken: other.refreshToken })).statusCode).toBe(200);
  });

  it('is no one without a token', async () => {
    const answer = await test.app.inject({ url: '/api/auth/me' });
    expect(answer.statusCode).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Bearer');
    expect(answer.json()).toMatchObject({ code: 'unauthenticated', status: 401, instance: '/api/auth/me' });
  });
});
