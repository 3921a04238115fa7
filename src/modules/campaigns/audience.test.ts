import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { aCampaigner, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { ownedDeals } from '#test/deals.ts';
import { aDeniedMember } from '#test/factories.ts';

let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
beforeAll(async () => {
  test = await openCampaignTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  me = await aCampaigner(test);
  test.receiver.answers(() => ({ text: '{"messageId":"m"}' }));
});

const labelled = async (name: string, contactIds: readonly string[]): Promise<string> => {
  const { id } = (await me.call('POST', '/api/labels', { name, color: '#00aa88' })).body;
  for (const contactId of contactIds) await me.call('POST', `/api/contacts/${contactId}/labels`, { labels: [name] });
  return id;
};
const contactsOf = async (id: string) =>
  (await me.items(id)).map(({ contactId }: { contactId: string }) => contactId).toSorted();

it('by labels is for those who have them, whatever the labels are called later', async () => {
  const [one = '', two = '', three = ''] = await me.contacts(somePeople(3));
  const padaria = await labelled('Padaria', [one, two]);
  const vip = await labelled('VIP', [two]);
  const audience = { audience: { labels: ['PADARIA'] }, exclude: { labels: ['vip'] } };
  const id = await me.campaign((await me.channel()).id, audience);
  expect(await me.read(id)).toMatchObject({ audience: { labels: [padaria] }, exclude: { labels: [vip] } });
  expect((await me.call('POST', '/api/campaigns/preview-audience', audience)).body).toMatchObject({ count: 1 });
  await me.call('PATCH', `/api/labels/${padaria}`, { name: 'Confeitaria' });
  await me.call('PATCH', `/api/labels/${vip}`, { name: 'Clientes' });
  await labelled('VIP', [one]);
  await labelled('Padaria', [three]);
  await me.start(id);
  await test.flow();
  expect(await contactsOf(id)).toEqual([one]);
});

it('of labels or a segment that are not there is refused, with the place', async () => {
  await labelled('Padaria', []);
  const channelId = (await me.channel()).id;
  const id = await me.campaign(channelId);
  const nobody = '01990000-0000-7000-8000-000000000000';
  for (const [people, path] of [
    [{ audience: { labels: ['Padaria', 'Padarai'] } }, 'audience.labels.1'],
    [{ audience: { all: true }, exclude: { labels: [nobody] } }, 'exclude.labels.0'],
    [{ audience: { segmentId: nobody } }, 'audience.segmentId'],
    [{ audience: { all: true }, exclude: { segmentId: nobody } }, 'exclude.segmentId'],
  ] as const) {
    const refused = { status: 400, body: { code: 'validation_failed', errors: [{ path, code: 'not_found' }] } };
    const body = { name: 'Natal', channelId, content: { text: 'Oi' }, ...people };
    expect(await me.call('POST', '/api/campaigns', body)).toMatchObject(refused);
    expect(await me.call('PATCH', `/api/campaigns/${id}`, people)).toMatchObject(refused);
    expect(await me.call('POST', '/api/campaigns/preview-audience', people)).toMatchObject(refused);
  }
});

it("of a member who sees their own deals alone goes by those, when somebody else's worker prepares it too", async () => {
  const beto = await aDeniedMember(test.rt, me.workspaceId, ['deals:all']);
  const deals = await ownedDeals(test.rt.systemPool, me.owner, [me.owner.user.id, beto.user.id]);
  const { id: segmentId } = (
    await me.call('POST', '/api/segments', { name: 'Negócios', filter: { dealStage: deals.stageId } })
  ).body;
  const audience = { audience: { segmentId } };
  const asBeto = { headers: beto.headers };
  const channelId = (await me.channel()).id;
  const everybody = await me.campaign(channelId, audience);
  const body = { name: 'Meus', channelId, content: { text: 'Oi' }, ...audience };
  const { id } = (await me.call('POST', '/api/campaigns', body, asBeto.headers)).body;
  for (const [method, url] of [
    ['POST', `/api/campaigns/${everybody}/start`],
    ['POST', `/api/campaigns/${everybody}/pause`],
    ['DELETE', `/api/campaigns/${everybody}`],
  ] as const)
    expect(await me.call(method, url, undefined, { ...beto.headers, 'idempotency-key': 'k' })).toMatchObject({
      status: 404,
    });
  expect(await me.call('PATCH', `/api/campaigns/${everybody}`, { name: 'x' }, beto.headers)).toMatchObject({
    status: 404,
  });
  expect((await me.call('POST', '/api/campaigns/preview-audience', audience)).body.excluded).toEqual({
    no_identity: 2,
  });
  expect((await me.call('POST', '/api/campaigns/preview-audience', audience, beto.headers)).body.excluded).toEqual({
    no_identity: 1,
  });
  await me.start(id);
  await test.flow();
  expect(await me.read(id)).toMatchObject({ excluded: { no_identity: 1 } });
});
