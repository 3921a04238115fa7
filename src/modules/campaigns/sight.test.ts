import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { aCampaigner, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { aDeniedMember, type TestUser } from '#test/factories.ts';

let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
let limited: TestUser;
let contacts: string[];
beforeAll(async () => {
  test = await openCampaignTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  me = await aCampaigner(test);
  contacts = await me.contacts(somePeople(3));
  limited = await aDeniedMember(test.rt, me.workspaceId, ['contacts:all']);
  await test.systemPool.query('update contact set owner_id = $1 where workspace_id = $2 and id = $3', [
    limited.user.id,
    me.workspaceId,
    contacts[0],
  ]);
  test.receiver.answers(() => ({ text: '{"messageId":"m"}' }));
});
const asLimited = (method: 'GET' | 'POST', url: string, body?: object) => me.call(method, url, body, limited.headers);

it('a member who sees only their own contacts sees nothing of campaigns that go to others’', async () => {
  const { id: channelId } = await me.channel();
  const others = await me.campaign(channelId);
  await me.start(others);
  await test.flow();
  const [item] = await me.items(others);
  for (const path of ['', '/items', `/items/${item.id}/attempts`, '/progress', '/report', '/report.csv'])
    expect(`${path} ${(await asLimited('GET', `/api/campaigns/${others}${path}`)).status}`).toBe(`${path} 404`);
  expect(await asLimited('POST', `/api/campaigns/${others}/duplicate`)).toMatchObject({ status: 404 });
  expect(await asLimited('POST', `/api/campaigns/${others}/test`, { to: ['+5511980000000'] })).toMatchObject({
    status: 404,
  });
  const own = await asLimited('POST', '/api/campaigns', {
    name: 'Minha',
    channelId,
    audience: { all: true },
    content: { text: 'Oi' },
  });
  expect((await asLimited('GET', '/api/campaigns')).body.data).toMatchObject([{ id: own.body.id }]);
  expect(await asLimited('GET', `/api/campaigns/${own.body.id}`)).toMatchObject({ status: 200 });
  expect((await me.call('GET', '/api/campaigns')).body.data).toHaveLength(2);
  test.receiver.answers(() => ({ text: '{"messageId":"m"}' }));
  const to = ['+5511980000000', '+5511980000001', '+5511911112222'];
  const tried = await asLimited('POST', `/api/campaigns/${own.body.id}/test`, { to });
  expect(tried.body.results).toMatchObject([
    { outcome: 'sent' },
    { outcome: 'skipped', code: 'contact_of_others' },
    { outcome: 'sent' },
  ]);
  expect(test.receiver.received).toHaveLength(2);
});

it('their phone is given messages of their own campaigns alone', async () => {
  const pacing = { minDelayMs: 0, maxDelayMs: 0, pauseEvery: null, windows: [] };
  const made = await me.call('POST', '/api/channels', { name: 'Celular', kind: 'extension', pacing });
  const channelId = made.body.id;
  const others = await me.campaign(channelId, { audience: { contactIds: contacts.slice(1) } });
  await me.start(others);
  const own = await asLimited('POST', '/api/campaigns', {
    name: 'Minha',
    channelId,
    audience: { all: true },
    content: { text: 'Minha' },
  });
  await me.call('POST', `/api/campaigns/${own.body.id}/start`, undefined, {
    ...limited.headers,
    'idempotency-key': randomUUID(),
  });
  for (const jobId of [others, own.body.id]) await test.run({ workspaceId: me.workspaceId, jobId });
  const sessionId = randomUUID();
  const { items } = (await asLimited('POST', '/api/delivery/claim', { channelId, sessionId, max: 5 })).body;
  expect(items).toMatchObject([{ to: '+5511980000000', text: 'Minha' }]);
  await asLimited('POST', `/api/delivery/items/${items[0].itemId}/release`, {
    attemptId: items[0].attemptId,
    fence: items[0].fence,
  });
  await test.systemPool.query('update channel_flow set session_id = null where channel_id = $1', [channelId]);
  const all = (await me.call('POST', '/api/delivery/claim', { channelId, sessionId, max: 5 })).body.items;
  expect(all).toHaveLength(3);
});

it('a key for campaigns reaches whom its maker may see, and changes no channel', async () => {
  const { id: channelId } = await me.channel({ url: `${test.receiver.url}/a-secret-path` });
  const key = (await me.call('POST', '/api/api-keys', { name: 'k', scopes: ['campaigns:read', 'campaigns:run'] })).body;
  const headers = { authorization: `Bearer ${key.secret}` };
  const preview = await me.call('POST', '/api/campaigns/preview-audience', { audience: { all: true } }, headers);
  expect(preview.body).toMatchObject({ count: 3 });
  expect(await me.call('PATCH', `/api/channels/${channelId}`, { name: 'x' }, headers)).toMatchObject({
    status: 403,
    body: { detail: expect.stringContaining('channels:write') },
  });
  const seen = await me.call('GET', `/api/channels/${channelId}`, undefined, headers);
  expect(seen.body.url).toBe(new URL(test.receiver.url).origin);
  expect((await me.call('GET', '/api/channels', undefined, headers)).body.data[0].url).not.toContain('secret');
  expect((await me.call('GET', `/api/channels/${channelId}`)).body.url).toContain('a-secret-path');
  const writer = (await me.call('POST', '/api/api-keys', { name: 'w', scopes: ['channels:write'] })).body;
  const answer = await me.call(
    'PATCH',
    `/api/channels/${channelId}`,
    { name: 'x' },
    {
      authorization: `Bearer ${writer.secret}`,
    },
  );
  expect(answer).toMatchObject({ status: 200, body: { name: 'x' } });
});

it('who lost the right to see deals starts nothing that chooses people by them', async () => {
  const deny = (denies: string[]) =>
    test.systemPool.query('update member set denies = $1 where workspace_id = $2 and user_id = $3', [
      denies,
      me.workspaceId,
      limited.user.id,
    ]);
  await deny(['deals:all']);
  const { body: pipelines } = await me.call('GET', '/api/pipelines');
  const filter = { inPipeline: pipelines.data[0].id };
  const segmentId = (await me.call('POST', '/api/segments', { name: 'Negócios', filter })).body.id;
  const { id: channelId } = await me.channel();
  const others = await me.campaign(channelId, { audience: { segmentId } });
  const body = { name: 'Minha', channelId, audience: { segmentId }, content: { text: 'Oi' } };
  const { id } = (await asLimited('POST', '/api/campaigns', body)).body;
  await deny(['deals:read', 'deals:all']);
  const start = (campaignId: string) =>
    me.call('POST', `/api/campaigns/${campaignId}/start`, undefined, {
      ...limited.headers,
      'idempotency-key': randomUUID(),
    });
  const scheduledAt = new Date(Date.now() + 60_000).toISOString();
  await expect.poll(async () => (await asLimited('GET', '/api/deals')).status).toBe(403);
  expect(await start(id)).toMatchObject({ status: 403, body: { detail: expect.stringContaining('deals:read') } });
  expect(await asLimited('POST', `/api/campaigns/${id}/schedule`, { scheduledAt })).toMatchObject({ status: 403 });
  expect(await asLimited('POST', `/api/campaigns/${id}/duplicate`)).toMatchObject({ status: 403 });
  expect(await start(others)).toMatchObject({ status: 404 });
});
