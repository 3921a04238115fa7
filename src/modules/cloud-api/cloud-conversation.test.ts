import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { CloudScriptInput } from '../../../simulator/cloud-script.ts';
import type { Simulator } from '../../../simulator/server.ts';
import { aCampaigner, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { cloudChannel, content, CREDENTIALS, known, NUMBER, openCloudTest } from '#test/cloud.ts';

let cloud: Awaited<ReturnType<typeof openCloudTest>>;
let simulator: Simulator;
let test: CampaignTest;
beforeAll(async () => {
  cloud = await openCloudTest();
  ({ simulator, test } = cloud);
});
afterAll(() => cloud.close());

let me: Awaited<ReturnType<typeof aCampaigner>>;
let channelId: string;
let contacts: string[];
const script = (more: CloudScriptInput = {}) =>
  simulator.cloud.script(NUMBER, {
    accessToken: CREDENTIALS.accessToken,
    webhook: { url: `${cloud.base}/api/hooks/meta/${channelId}`, appSecret: CREDENTIALS.appSecret },
    ...more,
  });
beforeEach(async () => {
  simulator.clear();
  me = await aCampaigner(test);
  contacts = await me.contacts(known(somePeople(2)));
  channelId = (await me.call('POST', '/api/channels', cloudChannel)).body.id;
  script();
});

async function send(body: object = { content }): Promise<string> {
  const id = await me.campaign(channelId, body);
  await me.start(id);
  await test.flow();
  await simulator.cloud.idle();
  return id;
}
const messagesOf = async (contactId: string | undefined) =>
  (await me.call('GET', `/api/contacts/${contactId}/messages`)).body.data;

it('who answers a template is read below what they were asked, in one conversation that opens by it', async () => {
  script({ read: 1 });
  const header = { ...content, cloudTemplate: { ...content.cloudTemplate, header: 'Olá, {{contact.name|"você"}}' } };
  const id = await send({ content: header });
  const conversations = async () => (await me.call('GET', `/api/conversations?contactId=${contacts[0]}`)).body.data;
  expect(await conversations()).toMatchObject([{ status: 'closed', channelId }]);
  simulator.cloud.say(NUMBER, { from: '5511980000000', name: 'Ana', text: 'Quanto custa?', at: Date.now() + 1000 });
  await simulator.cloud.idle();
  const [answer, question, ...more] = await messagesOf(contacts[0]);
  expect(more).toEqual([]);
  expect(answer).toMatchObject({ direction: 'inbound', body: 'Quanto custa?', campaignId: null });
  expect(question).toMatchObject({
    direction: 'outbound',
    body: 'Olá, Pessoa 0\n\nOi, Pessoa!',
    status: 'read',
    campaignId: id,
    conversationId: answer.conversationId,
  });
  expect(question.providerId).toMatch(/^wamid\./);
  expect(await conversations()).toMatchObject([{ status: 'open', unreadCount: 1, lastMessageId: answer.id }]);
  const { rows } = await test.systemPool.query(
    `select type from outbox_event where workspace_id = $1 and type like 'message.%'`,
    [me.workspaceId],
  );
  expect(rows).toEqual([{ type: 'message.received' }]);
});

it('what Meta refuses after all has failed, with its code', async () => {
  script({ fates: [{ share: 1, code: 131049 }] });
  await send();
  expect(await messagesOf(contacts[0])).toMatchObject([{ status: 'failed', errorCode: 'cloud_131049' }]);
});

it('what was sent and nobody heard of is written by the first status that comes', async () => {
  script({ faults: [{ share: 1, lost: 'cut' }], read: 0 });
  const id = await send();
  const items = await me.items(id);
  const [message, ...more] = await messagesOf(items[0].contactId);
  expect([message, ...more]).toMatchObject([{ body: 'Oi, Pessoa!', status: 'delivered', campaignItemId: items[0].id }]);
  expect(message.providerId).toMatch(/^wamid\./);
});

it('a campaign that is tried out stands there too, and rises with what Meta says', async () => {
  script({ read: 1 });
  const id = await me.campaign(channelId, { content });
  const tested = await me.call('POST', `/api/campaigns/${id}/test`, { to: ['+5511980000000'] });
  expect(tested.body.results).toMatchObject([{ outcome: 'sent' }]);
  await simulator.cloud.idle();
  expect(await messagesOf(contacts[0])).toMatchObject([
    { body: 'Oi, Pessoa!', status: 'read', providerId: tested.body.results[0].messageId },
  ]);
});
