import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { aMember, aUser, type TestUser } from '../../../test/factories.ts';
import { openTestApp, type TestApp } from '../../../test/harness.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { makeApiKey, readApiKey } from '#src/http/api-key-text.ts';
import { Member } from '#src/modules/workspaces/member.entity.ts';

let test: TestApp;
let owner: TestUser;
beforeAll(async () => {
  test = await openTestApp({ DEFAULT_PLAN: 'enterprise' });
  owner = await aUser(test.rt);
});
afterAll(() => test.close());

type Body = Record<string, unknown>;
const as = (secret: string) => ({ authorization: `Bearer ${secret}` });
const send = (method: 'GET' | 'POST' | 'DELETE', path: string, headers: Record<string, string>, payload?: Body) =>
  test.app.inject({ method, url: `/api/${path}`, headers, ...(payload ? { payload } : {}) });
const make = async (body: Body = {}, headers: Record<string, string> = owner.headers) =>
  (await send('POST', 'api-keys', headers, { name: 'Campanhas', scopes: ['*'], ...body })).json();
const statusOf = async (secret: string, path = 'jobs') => (await send('GET', path, as(secret))).statusCode;

describe('an API key', () => {
  it('is shown once, works at once, and is kept as a digest only', async () => {
    const key = await make({ scopes: ['ai:run', 'jobs:read'] });
    expect(key).toMatchObject({
      name: 'Campanhas',
      scopes: ['ai:run', 'jobs:read'],
      lastUsedAt: null,
      revokedAt: null,
    });
    expect(key.secret).toMatch(/^wh_live_[\w-]{91}$/);
    const run = await send('POST', 'ai/sentiment', as(key.secret), { text: 'Adorei!' });
    expect(run.statusCode).toBe(202);
    expect(await statusOf(key.secret, `jobs/${run.json().jobId}`)).toBe(200);
    const read = await send('GET', `api-keys/${key.id}`, owner.headers);
    expect(read.body).not.toContain(key.secret);
    await vi.waitFor(async () => {
      expect((await send('GET', `api-keys/${key.id}`, owner.headers)).json().lastUsedAt).not.toBeNull();
    }, 60_000);
    const stored = await test.rt.systemPool.query('select t::text from api_key t');
    const redis = (await test.rt.redis.keys('*')).join('\n');
    expect(JSON.stringify(stored.rows) + redis).not.toContain(key.secret.slice(20, 60));
  });

  it('can do what its scopes say and nothing else', async () => {
    const reader = await make({ scopes: ['jobs:read'] });
    const answer = await send('POST', 'ai/sentiment', as(reader.secret), { text: 'Bom.' });
    expect(answer.statusCode).toBe(403);
    expect(answer.json().detail).toContain('ai:run');
    const all = await make();
    for (const path of ['auth/me', 'auth/sessions', 'api-keys']) expect(await statusOf(all.secret, path)).toBe(403);
    expect(await statusOf(all.secret)).toBe(200);
  });

  it('never has more than the member who made it, and ends with their membership', async () => {
    const admin = await aUser(test.rt);
    await aMember(test.rt, owner.workspace.id, admin.user.id, 'admin');
    const key = await make({}, { ...admin.headers, 'x-workspace-id': owner.workspace.id });
    const run = () => send('POST', 'ai/sentiment', as(key.secret), { text: 'Bom.' });
    expect((await run()).statusCode).toBe(202);
    const scope = { workspaceId: owner.workspace.id };
    await inWorkspaceTx(test.rt.orm, scope, (em) =>
      em.nativeUpdate(Member, { user: admin.user.id }, { role: 'viewer' }),
    );
    await vi.waitFor(async () => expect((await run()).statusCode).toBe(403), 60_000);
    await inWorkspaceTx(test.rt.orm, scope, (em) => em.nativeDelete(Member, { user: admin.user.id }));
    await vi.waitFor(async () => expect((await run()).statusCode).toBe(404), 60_000);
  });

  it('stays in its workspace', async () => {
    const key = await make();
    const other = await aUser(test.rt);
    const elsewhere = { ...as(key.secret), 'x-workspace-id': other.workspace.id };
    expect((await send('GET', 'jobs', elsewhere)).statusCode).toBe(404);
    expect((await send('GET', `api-keys/${key.id}`, other.headers)).statusCode).toBe(404);
    expect((await send('DELETE', `api-keys/${key.id}`, other.headers)).statusCode).toBe(404);
    expect((await send('POST', `api-keys/${key.id}/rotate`, other.headers, {})).statusCode).toBe(404);
    expect(await statusOf(key.secret)).toBe(200);
  });

  it('ends when it is revoked, within two seconds, and when its time is up', async () => {
    const key = await make();
    expect(await statusOf(key.secret)).toBe(200);
    expect((await send('DELETE', `api-keys/${key.id}`, owner.headers)).json()).toEqual({ id: key.id, deleted: true });
    await vi.waitFor(async () => expect(await statusOf(key.secret)).toBe(401), 60_000);
    const expiresAt = Date.now() + 700;
    const brief = await make({ expiresAt: new Date(expiresAt).toISOString() });
    const status = await statusOf(brief.secret);
    // Answered later, it may be either.
    if (Date.now() < expiresAt) expect(status).toBe(200);
    await vi.waitFor(async () => expect(await statusOf(brief.secret)).toBe(401), 60_000);
  });

  it('is replaced by another while it goes on for a while', async () => {
    const old = await make({ scopes: ['jobs:read'] });
    const rotatedAt = Date.now();
    const fresh = (await send('POST', `api-keys/${old.id}/rotate`, owner.headers, { overlapSeconds: 1 })).json();
    expect(fresh).toMatchObject({ name: old.name, scopes: ['jobs:read'], expiresAt: null });
    const status = await statusOf(old.secret);
    // Answered later, it may be either.
    if (Date.now() < rotatedAt + 1000) expect(status).toBe(200);
    expect(await statusOf(fresh.secret)).toBe(200);
    const again = await send('POST', `api-keys/${old.id}/rotate`, owner.headers, {});
    expect([again.statusCode, again.json().code]).toEqual([409, 'key_rotated']);
    await vi.waitFor(async () => expect(await statusOf(old.secret)).toBe(401), 60_000);
    expect(await statusOf(fresh.secret)).toBe(200);
    expect((await send('POST', `api-keys/${old.id}/rotate`, owner.headers, {})).statusCode).toBe(409);
  });

  it.each([
    [{ scopes: [] }, 'scopes'],
    [{ scopes: ['everything'] }, 'scopes[0]'],
    [{ scopes: ['*', '*'] }, 'scopes'],
    [{ name: '' }, 'name'],
    [{ expiresAt: '2020-01-01T00:00:00Z' }, 'expiresAt'],
    [{ expiresAt: '9999-12-31T23:59:59-12:00' }, 'expiresAt'],
    [{ userId: 'x' }, 'userId'],
  ])('is not made of %j', async (body, path) => {
    expect(await make(body)).toMatchObject({ code: 'validation_failed', errors: [{ path }] });
  });

  it('is listed by pages, newest first', async () => {
    const { headers } = await aUser(test.rt);
    const ids: string[] = [];
    for (let at = 0; at < 3; at += 1) ids.unshift((await make({ name: `k${at}` }, headers)).id);
    const first = (await send('GET', 'api-keys?limit=2', headers)).json();
    const second = (await send('GET', `api-keys?limit=2&cursor=${first.page.nextCursor}`, headers)).json();
    expect([...first.data, ...second.data].map((key: { id: string }) => key.id)).toEqual(ids);
  });
});

it('refuses every key that was changed or made up', async () => {
  const key = await make();
  const { workspaceId = '', keyId = '' } = readApiKey(key.secret) ?? {};
  expect([workspaceId, keyId]).toEqual([owner.workspace.id, key.id]);
  const forged = [
    makeApiKey(workspaceId, keyId).text,
    makeApiKey(workspaceId, crypto.randomUUID()).text,
    makeApiKey(crypto.randomUUID(), keyId).text,
    `${key.secret}A`,
    key.secret.slice(0, -1),
    key.secret.toUpperCase(),
    'wh_live_',
    `wh_live_${'A'.repeat(91)}`,
    `wh_test_${key.secret.slice(8)}`,
  ];
  for (const text of forged) expect(`${text.slice(0, 12)} ${await statusOf(text)}`).toMatch(/ 401$/);
  for (let at = 8; at < key.secret.length; at += 1) {
    const changed = key.secret.slice(0, at) + (key.secret[at] === 'A' ? 'B' : 'A') + key.secret.slice(at + 1);
    expect(readApiKey(changed)).toBeUndefined();
  }
  expect(await statusOf(key.secret)).toBe(200);
});
