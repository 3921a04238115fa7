import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '#src/lib/ids.ts';
import { aContact } from '#test/deals.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
let contactId: string;
let dealId: string;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
  contactId = await aContact(test.rt, ana);
  dealId = (await call('POST', '/api/deals', { title: 'x', contactId })).json().id;
});
afterAll(() => test.close());

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
const call = (method: Method, url: string, payload?: object, headers: Record<string, string> = {}, who = ana) =>
  test.app.inject({ method, url, headers: { ...who.headers, ...headers }, ...(payload ? { payload } : {}) });
const typesOf = async (query: string, who?: TestUser): Promise<string[]> => {
  const answer = await call('GET', `/api/activities?${query}`, undefined, { 'x-workspace-id': ana.workspace.id }, who);
  expect(answer.statusCode).toBe(200);
  return answer.json().data.map(({ type }: { type: string }) => type);
};

describe('a timeline', () => {
  it('has what was written down by hand beside what happened, each at its time', async () => {
    const call1 = {
      type: 'call',
      dealId,
      text: 'Quer desconto',
      durationMinutes: 12,
      occurredAt: '2026-01-02T03:04:05-03:00',
    };
    const made = await call('POST', '/api/activities', call1);
    expect([made.statusCode, made.json()]).toEqual([
      201,
      {
        id: expect.any(String),
        type: 'call',
        contactId,
        dealId,
        actorId: ana.user.id,
        payload: { text: 'Quer desconto', durationMinutes: 12 },
        occurredAt: '2026-01-02T06:04:05.000Z',
      },
    ]);
    await call('POST', '/api/activities', { type: 'note', contactId, text: 'Prefere à tarde\nLigar' });
    await call('POST', `/api/deals/${dealId}/won`);
    expect(await typesOf(`dealId=${dealId}`)).toEqual(['deal.won', 'deal.created', 'call']);
    expect(await typesOf(`contactId=${contactId}`)).toEqual(['deal.won', 'note', 'deal.created', 'call']);
    expect(await typesOf(`contactId=${contactId}&dealId=${dealId}`)).toEqual(['deal.won', 'deal.created', 'call']);
  });

  it('is paged by key, also where much happened at one moment', async () => {
    const person = await aContact(test.rt, ana);
    const occurredAt = '2026-02-03T04:05:06Z';
    for (let at = 0; at < 7; at += 1)
      await call('POST', '/api/activities', { type: 'note', contactId: person, text: `n${at}`, occurredAt });
    const seen: string[] = [];
    let cursor = '';
    do {
      const { data, page } = (await call('GET', `/api/activities?limit=3&contactId=${person}${cursor}`)).json();
      seen.push(...data.map(({ payload }: { payload: { text: string } }) => payload.text));
      cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`;
    } while (cursor !== '');
    expect(seen).toEqual(['n6', 'n5', 'n4', 'n3', 'n2', 'n1', 'n0']);
  });

  it('tells a member who sees their own alone nothing of the deals of others', async () => {
    // Each somebody else: what a member may is remembered for a moment.
    const without = async (denies: string): Promise<TestUser> => {
      const user = await aUser(test.rt);
      await aMember(test.rt, ana.workspace.id, user.user.id, 'member');
      await test.rt.systemPool.query('update member set denies = $3 where user_id = $1 and workspace_id = $2', [
        user.user.id,
        ana.workspace.id,
        denies,
      ]);
      return user;
    };
    const [bia, caio, davi] = [
      await without('{deals:all}'),
      await without('{deals:read}'),
      await without('{deals:all,contacts:all}'),
    ];
    const person = await aContact(test.rt, ana);
    const give = async (ownerId: string): Promise<string> =>
      (await call('POST', '/api/deals', { title: 'x', contactId: person, ownerId })).json().id;
    await give(ana.user.id);
    await call('POST', `/api/deals/${await give(bia.user.id)}/won`);
    const his = await give(davi.user.id);
    expect(await typesOf(`contactId=${person}`, bia)).toEqual(['deal.won', 'deal.created']);
    expect(await typesOf(`contactId=${person}`, caio)).toEqual([]);
    const headers = { 'x-workspace-id': ana.workspace.id };
    expect((await call('GET', `/api/activities?contactId=${person}`, undefined, headers, davi)).statusCode).toBe(404);
    expect((await call('GET', `/api/activities?dealId=${his}`, undefined, headers, caio)).statusCode).toBe(403);
    expect(await typesOf(`dealId=${his}`, davi)).toEqual(['deal.created']);
  });

  it.each([
    [{ type: 'deal.won', text: 'x' }, 400, 'type'],
    [{ type: 'note', text: ' ' }, 400, 'text'],
    [{ type: 'note', text: 'x', occurredAt: '2099-01-01T00:00:00Z' }, 400, 'occurredAt'],
    [{ type: 'note', text: 'x', contactId: undefined }, 400, 'contactId'],
    [{ type: 'note', text: 'x', contactId: newId() }, 404, undefined],
    [{ type: 'note', text: 'x', dealId: newId() }, 404, undefined],
  ])('refuses %j', async (fields, status, path) => {
    const answer = await call('POST', '/api/activities', { contactId, ...fields });
    expect([answer.statusCode, answer.json().errors?.[0].path]).toEqual([status, path]);
  });
});
