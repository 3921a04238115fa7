import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Simulator } from '../../../simulator/server.ts';
import { aCampaigner, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { cloudChannel, content, CREDENTIALS, known, NUMBER, openCloudTest } from '#test/cloud.ts';

let cloud: Awaited<ReturnType<typeof openCloudTest>>;
let simulator: Simulator;
let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
let channelId: string;
let contacts: string[];
beforeAll(async () => {
  cloud = await openCloudTest();
  ({ simulator, test } = cloud);
});
afterAll(() => cloud.close());
beforeEach(async () => {
  simulator.clear();
  me = await aCampaigner(test);
  contacts = await me.contacts(known(somePeople(4)));
  channelId = (await me.call('POST', '/api/channels', cloudChannel)).body.id;
  simulator.cloud.script(NUMBER, {
    accessToken: CREDENTIALS.accessToken,
    webhook: { url: `${cloud.base}/api/hooks/meta/${channelId}`, appSecret: CREDENTIALS.appSecret },
  });
});

it('keeps out who said no before they were a contact, and who tapped a button that says no', async () => {
  const metadata = { display_phone_number: '1', phone_number_id: NUMBER };
  const stranger = { wa_id: '551188887777', category: 'marketing_messages', value: 'stop' };
  simulator.cloud.tell(NUMBER, 'user_preferences', { metadata, user_preferences: [stranger] });
  const button = { text: 'Não, obrigado', payload: 'STOP' };
  const tapped = { from: '5511980000003', id: 'wamid.no', timestamp: '1790000000', type: 'button', button };
  simulator.cloud.tell(NUMBER, 'messages', { metadata, messages: [tapped] });
  await simulator.cloud.idle();
  expect((await me.call('GET', `/api/contacts/${contacts[3]}`)).body.consent).toBe('denied');
  const late = (await me.call('POST', '/api/contacts', { name: 'Depois', phone: '+5511988887777' })).body;
  const audience = { contactIds: [late.id, contacts[3]] };
  const preview = await me.call('POST', '/api/campaigns/preview-audience', { audience });
  expect(preview.body).toMatchObject({ count: 0, excluded: { suppressed: 1, opted_out: 1 } });
});

it('takes a webhook whose times nobody can write for what else it says', async () => {
  const id = await me.campaign(channelId, { content });
  await me.start(id);
  await test.flow();
  await simulator.cloud.idle();
  const [one] = simulator.cloud.journal;
  const said = (timestamp: string | number, status: string) => ({
    id: one?.messageId,
    status,
    timestamp,
    biz_opaque_callback_data: one?.callback,
  });
  cloud.tellStatuses([
    ...[253_402_300_800, 1e30, 'abc', -1].map((at) => said(at, 'read')),
    said('1790000000', 'delivered'),
  ]);
  await simulator.cloud.idle();
  expect((await me.items(id)).map(({ status }: { status: string }) => status)).toContain('delivered');
});
