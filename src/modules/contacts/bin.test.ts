import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
let eve: TestUser;
/** Members of ana's workspace; one sees their own contacts alone. */
let viewer: TestUser;
let limited: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  eve = await aUser(test.rt);
});
afterAll(() => test.close());
beforeEach(async () => {
  ana = await aUser(test.rt);
  const join = async (role: 'viewer' | 'member'): Promise<TestUser> => {
    const user = await aUser(test.rt);
    await aMember(test.rt, ana.workspace.id, user.user.id, role);
    return { ...user, headers: { ...user.headers, 'x-workspace-id': ana.workspace.id } as TestUser['headers'] };
  };
  [viewer, limited] = [await join('viewer'), await join('member')];
  await rows(`update member set denies = '{contacts:all}' where workspace_id = $w and user_id = '${limited.user.id}'`);
});

const rows = async (sql: string): Promise<Record<string, unknown>[]> =>
  (await test.rt.systemPool.query(sql.replaceAll('$w', `'${ana.workspace.id}'`))).rows;
const call = (method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) =>
  test.app.inject({ method, url, headers: ana.headers, ...(payload ? { payload } : {}) });
const make = async (payload: object) => (await call('POST', '/api/contacts', payload)).json();
const bin = async (who = ana, more: Record<string, string> = {}) => {
  const query = { deleted: 'true', ...more };
  return test.app.inject({ url: '/api/contacts', query, headers: who.headers });
};
const inBin = async (who = ana): Promise<string[]> => {
  const seen: string[] = [];
  let cursor: Record<string, string> | null = {};
  while (cursor !== null) {
    const answer = await bin(who, { limit: '3', ...cursor });
    const { data, page }: { data: { name: string }[]; page: { nextCursor: string | null } } = answer.json();
    seen.push(...data.map(({ name }) => name));
    cursor = page.nextCursor === null ? null : { cursor: page.nextCursor };
  }
  return seen;
};

describe('the bin', () => {
  it('is listed by who may restore, the last that went into it first, until they come back', async () => {
    const ids = new Map<string, string>();
    for (let at = 0; at < 8; at += 1) ids.set(`p${at}`, (await make({ name: `p${at}` })).id);
    for (const id of ids.values()) await call('DELETE', `/api/contacts/${id}`);
    // At one moment, too.
    await rows(
      `update contact set deleted_at = date_trunc('hour', now()) where workspace_id = $w and name in ('p3', 'p4', 'p5')`,
    );
    const all = await inBin();
    expect(all.slice(0, 5)).toEqual(['p7', 'p6', 'p2', 'p1', 'p0']);
    expect(all.slice(5).toSorted()).toEqual(['p3', 'p4', 'p5']);
    const [first] = (await bin()).json().data;
    expect(first).toMatchObject({ id: ids.get('p7'), deletedAt: expect.any(String) });
    expect((await call('POST', `/api/contacts/${first.id}/restore`)).json()).toMatchObject({ deletedAt: null });
    expect(await inBin()).not.toContain('p7');
    expect((await call('GET', '/api/contacts')).json().data).toHaveLength(1);
    const refused = await bin(viewer);
    expect([refused.statusCode, refused.json().code]).toEqual([403, 'forbidden']);
    expect(await inBin(limited)).toEqual([]);
    expect(await inBin(eve)).toEqual([]);
    await rows(`update contact set owner_id = '${limited.user.id}' where workspace_id = $w and name = 'p1'`);
    expect(await inBin(limited)).toEqual(['p1']);
  });

  it('holds nobody who was merged or is to be forgotten', async () => {
    const [winner, loser, gone] = [await make({ name: 'w' }), await make({ name: 'l' }), await make({ name: 'g' })];
    await call('POST', '/api/contacts/merge', { winnerId: winner.id, loserIds: [loser.id] });
    await call('POST', `/api/contacts/${gone.id}/erasure`);
    await rows(`update contact set deleted_at = now() where workspace_id = $w and name = 'g'`);
    await call('DELETE', `/api/contacts/${winner.id}`);
    expect(await inBin()).toEqual(['w']);
  });

  it('has no filters and no cursor of another list', async () => {
    for (const name of ['q', 'label', 'ownerId', 'sort', 'archived'] as const) {
      const value = { q: 'x', label: 'x', ownerId: ana.user.id, sort: 'name', archived: 'any' }[name];
      const answer = await bin(ana, { [name]: value });
      expect([answer.statusCode, answer.json().errors[0].path]).toEqual([400, `query.${name}`]);
    }
    await make({ name: 'a' });
    await make({ name: 'b' });
    const { nextCursor } = (await call('GET', '/api/contacts?limit=1')).json().page;
    expect((await bin(ana, { cursor: nextCursor })).statusCode).toBe(400);
  });
});
