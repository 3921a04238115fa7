import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { appendAudit, SYSTEM } from '#src/modules/audit/audit.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
});
beforeEach(async () => {
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

const get = (url: string, headers: Record<string, string> = ana.headers) => test.app.inject({ url, headers });
const append = (count: number, action = 'thing.changed', id = 't') =>
  inWorkspaceTx(test.rt.orm, { workspaceId: ana.workspace.id }, async (em) => {
    for (let index = 0; index < count; index += 1) {
      await appendAudit(em, SYSTEM, { action, target: { type: 'thing', id: `${id}${index}` }, after: { index } });
    }
  });

interface Entry {
  seq: number;
  action: string;
}

describe('GET /api/audit', () => {
  it('gives pages, newest first, each entry once, also when new ones come in between', async () => {
    await append(7);
    const seen: number[] = [];
    let cursor = '';
    do {
      const page = (await get(`/api/audit?limit=3${cursor}`)).json();
      seen.push(...page.data.map((entry: Entry) => entry.seq));
      cursor = page.page.nextCursor === null ? '' : `&cursor=${page.page.nextCursor}`;
      await append(1);
    } while (cursor !== '');
    expect(seen).toEqual([8, 7, 6, 5, 4, 3, 2, 1]);
  });

  it('filters by action, target, actor and time', async () => {
    await append(2, 'thing.made', 'a');
    await append(2, 'thing.gone', 'b');
    const actions = async (query: string) =>
      (await get(`/api/audit?${query}`)).json().data.map((entry: Entry) => entry.action);
    expect(await actions('action=thing.gone')).toEqual(['thing.gone', 'thing.gone']);
    expect(await actions('targetType=thing&targetId=a1')).toEqual(['thing.made']);
    expect(await actions(`actorId=${ana.user.id.toUpperCase()}`)).toEqual(['auth.login']);
    const { data } = (await get('/api/audit?targetId=b0')).json();
    const at = data[0].at.replace(/\d{3}Z$/, 'Z');
    expect(await actions(`to=${at}&action=thing.gone`)).toEqual([]);
    expect(await actions(`from=${at}&action=thing.made`)).toEqual([]);
    expect(await actions(`from=${at}&action=thing.gone`)).toHaveLength(2);
    expect(await actions('from=0000-01-01T00:00:00%2B23:59&to=9999-12-31T23:59:59-23:59')).toHaveLength(5);
  });

  it.each(['limit=0', 'cursor=x', 'actorId=1', 'from=yesterday', 'colour=red', 'action='])(
    'refuses ?%s',
    async (query) => {
      expect((await get(`/api/audit?${query}`)).json()).toMatchObject({ status: 400, code: 'validation_failed' });
    },
  );

  it('shows nothing of another workspace, and nothing at all to members and viewers', async () => {
    await append(1, 'only.hers');
    const bia = await aUser(test.rt);
    expect((await get('/api/audit', bia.headers)).json().data).toMatchObject([{ action: 'auth.login', seq: 1 }]);
    const there = { ...bia.headers, 'x-workspace-id': ana.workspace.id };
    const urls = ['/api/audit', '/api/audit/verify', '/api/audit/export'];
    for (const url of urls) expect((await get(url, there)).statusCode).toBe(404);
    await aMember(test.rt, ana.workspace.id, bia.user.id, 'member');
    const dora = await aUser(test.rt);
    await aMember(test.rt, ana.workspace.id, dora.user.id, 'member');
    const asMember = { ...dora.headers, 'x-workspace-id': ana.workspace.id };
    for (const url of urls) expect((await get(url, asMember)).statusCode).toBe(403);
  });
});

const call = (method: 'POST' | 'PATCH', url: string, payload: object, headers: Record<string, string>) =>
  test.app.inject({
    method,
    url,
    payload,
    headers: { 'user-agent': 'Mozilla/5.0', 'x-request-id': `r-${url.slice(10)}`, ...headers },
  });

describe('what is written down', () => {
  it('who signed in, changed their profile and signed out, and from where', async () => {
    const { email, password } = ana;
    const signedIn = (await call('POST', '/api/auth/login', { email, password }, {})).json();
    const headers = { authorization: `Bearer ${signedIn.token}` };
    await call('PATCH', '/api/auth/me', { name: 'Ana Souza' }, headers);
    await call('POST', '/api/auth/logout', {}, headers);
    const [logout, profile, login] = (await get('/api/audit')).json().data;
    const actor = { kind: 'session', id: ana.user.id };
    const from = { actor, ip: '127.0.0.1', userAgent: 'Mozilla/5.0' };
    expect(login).toMatchObject({ ...from, action: 'auth.login', target: { type: 'session' }, requestId: 'r-login' });
    expect(profile).toMatchObject({
      ...from,
      action: 'profile.changed',
      target: { type: 'user', id: ana.user.id },
      before: { name: 'Ana Lima' },
      after: { name: 'Ana Souza' },
      requestId: 'r-me',
    });
    expect(logout).toMatchObject({ ...from, action: 'auth.logout', target: login.target, requestId: 'r-logout' });
    expect((await get('/api/audit/verify')).json()).toMatchObject({ ok: true, entries: 4, firstBroken: null });
  });
});

describe('GET /api/audit/export', () => {
  it('gives the whole chain as NDJSON, with which anybody can check it', async () => {
    await append(1203);
    const answer = await get('/api/audit/export');
    expect(answer.headers['content-type']).toMatch('application/x-ndjson');
    expect(answer.headers['content-disposition']).toBe('attachment; filename="audit.ndjson"');
    const rows = answer.body
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows.map((row) => row.seq)).toEqual(Array.from({ length: 1204 }, (_, index) => index + 1));
    let previous = '';
    for (const { hash, ...row } of rows) {
      const canonical = `[${Object.values(row)
        .map((part) => JSON.stringify(part))
        .join(', ')}]`;
      expect(row.prev_hash).toBe(previous);
      expect(createHash('sha256').update(canonical).digest('hex')).toBe(hash);
      previous = hash;
    }
    expect((await get('/api/audit/verify')).json()).toEqual({
      ok: true,
      entries: 1204,
      firstBroken: null,
      headHash: previous,
    });
  });

  it('gives CSV that no spreadsheet runs, of a range of time', async () => {
    await append(1, '=cmd|calc', '+1');
    const { body, headers } = await get('/api/audit/export?format=csv');
    expect(headers['content-type']).toMatch('text/csv');
    const lines = body.trimEnd().split('\r\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toContain('"seq","id","at","actor_kind"');
    expect(lines[2]).toContain(`"'=cmd|calc","thing","'+10"`);
    const none = await get('/api/audit/export?format=csv&from=2090-01-01T00:00:00Z');
    expect(none.body.trimEnd().split('\r\n')).toHaveLength(1);
    expect((await get('/api/audit/export?from=2090-01-01T00:00:00Z')).body).toBe('');
    expect((await get('/api/audit/export?format=pdf')).statusCode).toBe(400);
  });
});
