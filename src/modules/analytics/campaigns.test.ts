import { afterAll, beforeAll, expect, it } from 'vitest';
import { aCampaigner, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { aDeniedMember, aMember, aUser } from '#test/factories.ts';

let test: CampaignTest;
beforeAll(async () => {
  test = await openCampaignTest();
});
afterAll(() => test.close());

it('counts what became of recipients, in all, by channel and of each campaign, for those who see them', async () => {
  const me = await aCampaigner(test);
  const contacts = await me.contacts(somePeople(4));
  const [one, other] = [(await me.channel()).id, (await me.channel()).id];
  const run = async (channelId: string, contactIds: string[], answer: object) => {
    test.receiver.answers(() => answer);
    const id = await me.campaign(channelId, { audience: { contactIds } });
    await me.start(id);
    await test.flow();
    return id;
  };
  const ok = { text: '{"messageId":"m"}' };
  const sent = await run(one, contacts.slice(0, 3), ok);
  const failed = await run(other, contacts.slice(3), { status: 422 });
  await me.campaign(one);
  const read = async (query = '', headers = {}) =>
    me.call('GET', `/api/analytics/campaigns${query}`, undefined, headers);
  const { body } = await read();
  expect(body).toMatchObject({
    scope: 'workspace',
    total: { campaigns: 2, recipients: 4, sent: 3, delivered: 0, read: 0, failed: 1, skipped: 0, unknown: 0 },
    data: [
      { campaignId: failed, channelId: other, recipients: 1, sent: 0, failed: 1, status: 'completed' },
      { campaignId: sent, channelId: one, recipients: 3, sent: 3, failed: 0, status: 'completed' },
    ],
  });
  const byChannel = new Map(body.byChannel.map((row: { channelId: string }) => [row.channelId, row]));
  expect(byChannel.get(one)).toMatchObject({ campaigns: 1, recipients: 3, sent: 3 });
  await test.systemPool.query(`update campaign_item set status = 'read' where campaign_id = $1 and contact_id = $2`, [
    sent,
    contacts[0],
  ]);
  expect((await read()).body.total).toMatchObject({ sent: 3, delivered: 1, read: 1 });
  expect((await read('?from=2026-01-01&to=2026-02-01')).body).toMatchObject({ total: { campaigns: 0 }, data: [] });

  const bia = await aUser(test.rt);
  await aMember(test.rt, me.workspaceId, bia.user.id, 'member');
  const asBia = { ...bia.headers, 'x-workspace-id': me.workspaceId };
  expect((await read('', asBia)).body).toMatchObject({ scope: 'own', total: { campaigns: 0 } });
  const own = await me.call(
    'POST',
    '/api/campaigns',
    { name: 'Dela', channelId: one, audience: { all: true }, content: { text: 'Oi' } },
    asBia,
  );
  await me.start(own.body.id);
  await test.flow();
  expect((await read('', asBia)).body.data).toMatchObject([{ campaignId: own.body.id }]);
  const limited = await aDeniedMember(test.rt, me.workspaceId, ['contacts:all']);
  expect((await read('', limited.headers)).body.data).toEqual([]);
  const blind = await aDeniedMember(test.rt, me.workspaceId, ['campaigns:read']);
  expect((await read('', blind.headers)).status).toBe(403);
});
