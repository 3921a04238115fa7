import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createUser } from '#src/modules/auth/auth.service.ts';
import { aMember, aUser } from '../../../test/factories.ts';
import { openTestApp } from '../../../test/harness.ts';
import type { TestApp } from '../../../test/harness.ts';

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp();
});
afterAll(() => test.close());

const get = (url: string, headers: Record<string, string>) => test.app.inject({ url, headers });

describe('GET /api/workspaces', () => {
  it("lists the caller's workspaces by pages, each once, with the caller's role, and nobody else's", async () => {
    const ana = await aUser(test.rt);
    const shared: string[] = [];
    for (let index = 0; index < 4; index += 1) {
      const body = { email: `owner${index}@example.com`, password: 'segredo-longo', name: `Loja ${index}` };
      const { workspace } = await createUser(test.rt, body);
      shared.push(workspace.id);
      await aMember(test.rt, workspace.id, ana.user.id, 'viewer');
    }
    const first = await get('/api/workspaces?limit=3', ana.headers);
    expect(first.statusCode).toBe(200);
    expect(first.json().page).toMatchObject({ hasMore: true, nextCursor: expect.any(String) });
    const second = await get(`/api/workspaces?limit=3&cursor=${first.json().page.nextCursor}`, ana.headers);
    expect(second.json().page).toEqual({ hasMore: false, nextCursor: null });
    const seen = [...first.json().data, ...second.json().data];
    expect(seen.map(({ id }) => id)).toEqual([ana.workspace.id, ...shared]);
    expect(seen.map(({ role }) => role)).toEqual(['owner', 'viewer', 'viewer', 'viewer', 'viewer']);
  });

  it.each([
    ['limit=0', 'query.limit'],
    ['limit=101', 'query.limit'],
    ['limit=many', 'query.limit'],
    ['limit=3.5', 'query.limit'],
    ['cursor=nonsense', 'query.cursor'],
    [`cursor=${Buffer.from('["x"]').toString('base64url')}`, 'query.cursor'],
    ['sort=name', 'query.sort'],
    ['cursor=%00', 'query.cursor'],
    ['cursor=a&cursor=b', 'query.cursor'],
  ])('refuses ?%s and names %s', async (query, path) => {
    const { headers } = await aUser(test.rt);
    const answer = await get(`/api/workspaces?${query}`, headers);
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ code: 'validation_failed', errors: [{ path }] });
  });
});

describe('GET /api/workspaces/:id', () => {
  it("shows the caller's own; anybody else's, a missing one and a wrong id are not found or not valid", async () => {
    const ana = await aUser(test.rt);
    const bia = await aUser(test.rt);
    expect((await get(`/api/workspaces/${ana.workspace.id}`, ana.headers)).json()).toEqual(ana.workspace);
    const others = await get(`/api/workspaces/${bia.workspace.id}`, ana.headers);
    const missing = await get(`/api/workspaces/${crypto.randomUUID()}`, ana.headers);
    expect(others.statusCode).toBe(404);
    expect(missing.statusCode).toBe(404);
    expect(others.json().detail).toBe(missing.json().detail);
    const wrong = await get('/api/workspaces/17', ana.headers);
    expect(wrong.json()).toMatchObject({ status: 400, errors: [{ path: 'params.id' }] });
  });
});

describe('naming the workspace of a request', () => {
  it('works by header and by query, with the role the caller has there', async () => {
    const ana = await aUser(test.rt);
    const bia = await aUser(test.rt);
    await aMember(test.rt, bia.workspace.id, ana.user.id, 'admin');
    const wanted = { id: bia.workspace.id, role: 'admin' };
    const byHeader = await get('/api/auth/me', { ...ana.headers, 'x-workspace-id': bia.workspace.id });
    expect(byHeader.json().workspace).toMatchObject(wanted);
    const byQuery = await get(`/api/auth/me?workspaceId=${bia.workspace.id.toUpperCase()}`, ana.headers);
    expect(byQuery.json().workspace).toMatchObject(wanted);
    const onStrictQuery = await get(`/api/workspaces?limit=1&workspaceId=${bia.workspace.id}`, ana.headers);
    expect(onStrictQuery.statusCode).toBe(200);
  });

  it("answers 404 for one that is not the caller's, whatever it looks like", async () => {
    const ana = await aUser(test.rt);
    const bia = await aUser(test.rt);
    for (const id of [bia.workspace.id, crypto.randomUUID(), 'nonsense', "' or 1=1 --", '']) {
      const answer = await get('/api/auth/me', { ...ana.headers, 'x-workspace-id': id });
      expect(`${id}: ${answer.statusCode}`).toBe(`${id}: 404`);
    }
    const twice = `workspaceId=${ana.workspace.id}&workspaceId=${bia.workspace.id}`;
    expect((await get(`/api/auth/me?${twice}`, ana.headers)).statusCode).toBe(404);
  });
});
