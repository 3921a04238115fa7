import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownedDeals } from '#test/deals.ts';
import { aDeniedMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
let dealless: TestUser;
let asked: object[];
let segmentId: string;
beforeAll(async () => {
  test = await openTestApp({ DEFAULT_PLAN: 'enterprise' });
  ana = await aUser(test.rt);
  dealless = await aDeniedMember(test.rt, ana.workspace.id, ['deals:read']);
  const { pipelineId, stageId } = await ownedDeals(test.rt.systemPool, ana, [ana.user.id, dealless.user.id]);
  asked = [
    { dealStage: stageId },
    { not: { and: [{ inPipeline: pipelineId, status: 'open' }] } },
    // That there is none is not told either.
    { dealStage: randomUUID() },
    { inPipeline: randomUUID() },
  ];
  segmentId = (await call('POST', 'segments', { name: 'Negócios', filter: asked[0] })).body.id;
});
afterAll(() => test.close());

async function call(method: 'GET' | 'POST' | 'PATCH', path: string, payload?: object, headers = ana.headers) {
  const answer = await test.app.inject({ method, url: `/api/${path}`, headers, ...(payload && { payload }) });
  return { status: answer.statusCode, body: answer.json() };
}
const refusal = (permission: string) => ({
  status: 403,
  body: { code: 'forbidden', detail: expect.stringContaining(permission) },
});
async function aKey(scopes: string[], headers: TestUser['headers']) {
  const { body } = await call('POST', 'api-keys', { name: 'Chave', scopes }, headers);
  return { authorization: `Bearer ${body.secret}` };
}
const campaign = (people: object) => ({ name: 'Oi', channelId: randomUUID(), content: { text: 'Oi' }, ...people });

describe('who may not see deals', () => {
  it('asks for contacts by them nowhere', async () => {
    const kept = (await call('POST', 'segments', { name: 'Todos', filter: { and: [] } }, dealless.headers)).body.id;
    for (const filter of asked) {
      const requests = [
        ['POST', 'contacts/search', { filter }],
        ['POST', 'segments/preview', { filter }],
        ['POST', 'segments', { name: `S ${randomUUID()}`, filter }],
        ['PATCH', `segments/${kept}`, { filter }],
        ['POST', 'contacts/bulk', { filter, action: 'archive' }],
        ['POST', 'exports', { filter }],
      ] as const;
      for (const [method, path, body] of requests) {
        const answer = await call(method, path, body, dealless.headers);
        expect(`${path} ${answer.status} ${answer.body.detail}`).toMatch(`${path} 403`);
        expect(answer).toMatchObject(refusal('deals:read'));
      }
    }
    const found = await call('POST', 'contacts/search', { filter: { and: [] } }, dealless.headers);
    expect(found.body.data).toHaveLength(2);
  });

  it('uses no segment of others that asks for them', async () => {
    const requests = [
      ['GET', `segments/${segmentId}/contacts`, undefined],
      ['POST', 'exports', { segmentId }],
      ['POST', 'campaigns', campaign({ audience: { segmentId } })],
      ['POST', 'campaigns', campaign({ audience: { all: true }, exclude: { segmentId } })],
      ['POST', 'campaigns/preview-audience', { audience: { segmentId } }],
      ['POST', 'campaigns/preview-audience', { audience: { all: true }, exclude: { segmentId } }],
    ] as const;
    for (const [method, path, body] of requests) {
      const refused = await call(method, path, body, dealless.headers);
      expect([path, refused]).toMatchObject([path, refusal('deals:read')]);
      expect([path, (await call(method, path, body)).status]).not.toEqual([path, 403]);
    }
    const all = await call('POST', 'campaigns/preview-audience', { audience: { all: true } }, dealless.headers);
    expect(all.status).toBe(200);
  });

  it('has no key that asks for them; who may has one that does by the scopes it has', async () => {
    const [filter] = asked;
    const ask = async (scopes: string[], { headers }: TestUser) => {
      const key = await aKey(scopes, headers);
      const found = await call('POST', 'contacts/search', { filter }, key);
      const previewed = await call('POST', 'campaigns/preview-audience', { audience: { segmentId } }, key);
      return [found.status, previewed.status];
    };
    expect(await ask(['contacts:read', 'campaigns:run'], dealless)).toEqual([403, 403]);
    expect(await ask(['contacts:read'], ana)).toEqual([200, 403]);
    expect(await ask(['campaigns:run'], ana)).toEqual([403, 200]);
  });
});

it('who may not see contacts finds none by other ways', async () => {
  const { headers } = await aDeniedMember(test.rt, ana.workspace.id, ['contacts:read']);
  const bakers = { field: 'company', op: 'eq', value: 'Padaria' };
  const contactId = (await call('POST', 'contacts', { name: 'Bia', company: 'Padaria' })).body.id;
  const template = { name: 'Oi', category: 'marketing', language: 'pt-BR', body: '{{contact.company|"?"}}' };
  const { id } = (await call('POST', 'templates', template)).body;
  const requests = [
    ['GET', 'conversations?q=Padaria', undefined],
    ['POST', `templates/${id}/preview`, { contactId }],
    ['POST', 'contacts/bulk', { filter: bakers, action: 'archive' }],
    ['POST', 'campaigns/preview-audience', { audience: { all: true } }],
    ['POST', 'campaigns', campaign({ audience: { all: true } })],
  ] as const;
  for (const [method, path, body] of requests)
    expect([path, await call(method, path, body, headers)]).toMatchObject([path, refusal('contacts:read')]);
  expect((await call('GET', 'conversations?status=open', undefined, headers)).status).toBe(200);
});
