import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { aCampaigner, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { cloudChannel, CREDENTIALS } from '#test/cloud.ts';

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

const aPhone = async (phone: string): Promise<string> =>
  (await me.call('POST', '/api/channels', { name: phone, kind: 'extension', phone })).body.id;
const flowOf = async (channelId: string) =>
  (
    await test.systemPool.query<{ notBefore: number; warmUpFrom: string | null }>(
      `select (extract(epoch from not_before - now()))::float as "notBefore", warm_up_from::text as "warmUpFrom" from channel_flow where channel_id = $1`,
      [channelId],
    )
  ).rows[0];

it('a number is one channel’s, also where a channel is given it later', async () => {
  const [one, two] = [await aPhone('+5511911110001'), await aPhone('+5511911110002')];
  const taken = { status: 409, body: { code: 'channel_exists' } };
  expect(await me.call('PATCH', `/api/channels/${two}`, { phone: '+5511911110001' })).toMatchObject(taken);
  expect(await me.call('PATCH', `/api/channels/${one}`, { phone: '+5511911110003' })).toMatchObject({ status: 200 });
  expect(
    await me.call('POST', '/api/channels', { name: 'x', kind: 'extension', phone: '+5511911110003' }),
  ).toMatchObject(taken);
  expect(await me.call('PATCH', `/api/channels/${two}`, { phone: '+5511911110001' })).toMatchObject({ status: 200 });
});

it('a number of the Cloud API is one channel’s, whatever it is called', async () => {
  expect(await me.call('POST', '/api/channels', cloudChannel)).toMatchObject({ status: 201 });
  const again = { ...cloudChannel, phone: '+551133335555' };
  expect(await me.call('POST', '/api/channels', again)).toMatchObject({
    status: 409,
    body: { code: 'channel_exists' },
  });
  const other = await me.call('POST', '/api/channels', {
    ...again,
    credentials: { ...CREDENTIALS, phoneNumberId: '999999' },
  });
  const { phoneNumberId } = CREDENTIALS;
  expect(await me.call('PATCH', `/api/channels/${other.body.id}`, { credentials: { phoneNumberId } })).toMatchObject({
    status: 409,
  });
});

it('says which field is for channels of another kind', async () => {
  const { id: gateway } = await me.channel();
  const phone = (await me.call('POST', '/api/channels', { name: 'Celular', kind: 'extension' })).body.id;
  const patch = (id: string, body: object) => me.call('PATCH', `/api/channels/${id}`, body);
  expect(await patch(gateway, { credentials: {} })).toMatchObject({
    status: 400,
    body: { errors: [{ path: 'credentials', code: 'wrong_kind' }] },
  });
  expect(await patch(phone, { url: 'https://example.com/' })).toMatchObject({
    status: 400,
    body: { errors: [{ path: 'url', code: 'wrong_kind' }] },
  });
});

it('only a new pace moves a channel’s clock', async () => {
  await me.contacts(somePeople(3));
  const { id } = await me.channel({ pacing: { minDelayMs: 600_000, maxDelayMs: 600_000 } });
  const campaignId = await me.campaign(id);
  await me.start(campaignId);
  await test.run({ workspaceId: me.workspaceId, jobId: campaignId });
  await test.items.claim(me.workspaceId, { channelId: id, max: 1, holder: 'test', horizonMs: 0 });
  await test.systemPool.query(
    `update channel_flow set not_before = now() + interval '50 minutes' where channel_id = $1`,
    [id],
  );
  await me.call('PATCH', `/api/channels/${id}`, { name: 'Outro' });
  await me.call('PUT', `/api/channels/${id}/pacing`, { minDelayMs: 600_000 });
  expect((await flowOf(id))?.notBefore).toBeGreaterThan(2000);
  await me.call('PUT', `/api/channels/${id}/pacing`, { minDelayMs: 1000, maxDelayMs: 1000 });
  expect((await flowOf(id))?.notBefore).toBeLessThan(10);
});

it('warms up from the first message that is sent, and not from the first that was taken', async () => {
  await me.contacts(somePeople(3));
  const { id } = await me.channel({ pacing: { warmUp: true } });
  const campaignId = await me.campaign(id);
  await me.start(campaignId);
  await test.run({ workspaceId: me.workspaceId, jobId: campaignId });
  const claim = async () =>
    (await test.items.claim(me.workspaceId, { channelId: id, max: 1, holder: 'test', horizonMs: 0 })).items;
  const items = await claim();
  expect((await flowOf(id))?.warmUpFrom).toBeNull();
  await test.items.begin(me.workspaceId, items);
  expect(await claim()).toHaveLength(1);
  expect((await flowOf(id))?.warmUpFrom).toMatch(/^\d{4}-/);
});

it('messages that try a campaign out have their room in the hour and the day', async () => {
  const { id } = await me.channel({ pacing: { perHour: 3 } });
  const campaignId = await me.campaign(id);
  const attempt = (to: string[]) => me.call('POST', `/api/campaigns/${campaignId}/test`, { to });
  expect(await attempt(['+5511980000000', '+5511980000001'])).toMatchObject({ status: 200 });
  expect(await attempt(['+5511980000000', '+5511980000001'])).toMatchObject({
    status: 409,
    body: { code: 'channel_full' },
  });
  expect(await attempt(['+5511980000000'])).toMatchObject({ status: 200 });
  expect(test.receiver.received).toHaveLength(3);
  expect((await me.call('GET', `/api/channels/${id}/limits`)).body).toMatchObject({
    hour: { limit: 3, sent: 3 },
    day: { limit: null, sent: 3 },
    room: 0,
    fullUntil: expect.stringMatching(/Z$/),
  });
});

const limitsOf = async (pacing: object) => {
  const { id } = await me.channel({ pacing });
  return (await me.call('GET', `/api/channels/${id}/limits`)).body;
};

it('says what it may send, also before it has sent anything', async () => {
  const none = { limit: null, sent: 0 };
  expect(await limitsOf({})).toEqual({ hour: none, day: none, room: null, fullUntil: null });
  expect(await limitsOf({ perHour: 60, perDay: 200, warmUp: true })).toEqual({
    hour: { limit: 60, sent: 0 },
    day: { limit: 50, sent: 0 },
    room: 50,
    fullUntil: null,
  });
});
