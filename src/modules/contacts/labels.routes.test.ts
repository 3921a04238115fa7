import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
let eve: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  [ana, eve] = [await aUser(test.rt), await aUser(test.rt)];
});
afterAll(() => test.close());

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
const call = (method: Method, url: string, payload?: object, headers: Record<string, string> = {}, who = ana) =>
  test.app.inject({ method, url, headers: { ...who.headers, ...headers }, ...(payload ? { payload } : {}) });
const VIP = { name: 'VIP', color: '#25d366' };

describe('a plain resource', () => {
  it('is made, read, listed, changed and deleted, and every change is in the audit log', async () => {
    const made = await call('POST', '/api/labels', VIP);
    expect(made.statusCode).toBe(201);
    const label = made.json();
    expect(label).toEqual({
      ...VIP,
      id: expect.any(String),
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
    });
    const url = `/api/labels/${label.id}`;
    expect((await call('GET', url)).json()).toEqual(label);
    const changed = await call('PATCH', url, { color: '#000000' });
    expect(changed.json()).toMatchObject({ name: 'VIP', color: '#000000' });
    expect((await call('GET', '/api/labels')).json().data).toEqual([changed.json()]);
    expect((await call('DELETE', url)).json()).toEqual({ id: label.id, deleted: true });
    expect((await call('GET', url)).statusCode).toBe(404);
    const { data } = (await call('GET', '/api/audit?limit=10')).json();
    const actions = data
      .map(({ action }: { action: string }) => action)
      .filter((action: string) => action.startsWith('label'));
    expect(actions).toEqual(['label.deleted', 'label.changed', 'label.created']);
  });

  it('refuses a name that is taken, in any case, and a change made on the ground of an older state', async () => {
    const { id } = (await call('POST', '/api/labels', { ...VIP, name: 'Novo' })).json();
    const again = await call('POST', '/api/labels', { ...VIP, name: 'NOVO' });
    expect([again.statusCode, again.json().code]).toEqual([409, 'label_exists']);
    const etag = String((await call('GET', `/api/labels/${id}`)).headers['etag']);
    expect((await call('PATCH', `/api/labels/${id}`, { name: 'Mais novo' }, { 'if-match': etag })).statusCode).toBe(
      200,
    );
    const late = await call('PATCH', `/api/labels/${id}`, { name: 'Outro' }, { 'if-match': etag });
    expect([late.statusCode, late.json().code]).toEqual([412, 'version_mismatch']);
  });

  it('pages by key, each once', async () => {
    for (let at = 0; at < 7; at += 1) await call('POST', '/api/labels', { ...VIP, name: `p${at}` }, {}, eve);
    const names: string[] = [];
    let cursor = '';
    do {
      const { data, page } = (await call('GET', `/api/labels?limit=3${cursor}`, undefined, {}, eve)).json();
      names.push(...data.map(({ name }: { name: string }) => name));
      cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`;
    } while (cursor !== '');
    expect(names).toEqual(['p0', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6']);
  });

  it.each([
    [{ ...VIP, color: 'green' }, 'color'],
    [{ ...VIP, name: ' ' }, 'name'],
    [{ color: '#000000' }, 'name'],
    [{ ...VIP, size: 3 }, 'size'],
  ])('says what is wrong with %j', async (body, path) => {
    const answer = await call('POST', '/api/labels', body);
    expect(answer.statusCode).toBe(400);
    expect(answer.json().errors[0].path).toBe(path);
  });
});
