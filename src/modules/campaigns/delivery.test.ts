import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readSecret, signatureHeaders } from '#src/modules/webhooks/signature.ts';
import { aCampaigner, checkCounters, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';

let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
beforeAll(async () => {
  test = await openCampaignTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  me = await aCampaigner(test);
});

const FAST = { minDelayMs: 0, maxDelayMs: 0, pauseEvery: null, windows: [], perContactDay: null, perContactWeek: null };

const act = (item: { itemId: string; attemptId: string; fence: number }, verb: string, more: object = {}) =>
  me.call('POST', `/api/delivery/items/${item.itemId}/${verb}`, {
    attemptId: item.attemptId,
    fence: item.fence,
    ...more,
  });

describe('a phone', () => {
  let channelId: string;
  let campaignId: string;
  const sessionId = randomUUID();
  const claim = (session = sessionId, max = 1) =>
    me.call('POST', '/api/delivery/claim', { channelId, sessionId: session, max });
  async function start(pacing: object = FAST, body: object = {}): Promise<void> {
    await me.contacts(somePeople(4));
    const made = await me.call('POST', '/api/channels', { name: 'Celular', kind: 'extension', pacing });
    channelId = made.body.id;
    campaignId = await me.campaign(channelId, body);
    await me.start(campaignId);
    await test.run({ workspaceId: me.workspaceId, jobId: campaignId });
  }

  it('claims, begins, acks; says what it cannot know; and gives back what it does not send', async () => {
    await start();
    const { items } = (await claim(sessionId, 4)).body;
    expect(items).toHaveLength(4);
    const [sent, failed, lost, back] = items;
    expect(sent).toMatchObject({ to: '+5511980000000', text: 'Oi, Pessoa!' });
    expect(await act(sent, 'ack', { outcome: 'sent' })).toMatchObject({ status: 409, body: { code: 'not_begun' } });
    expect(await act(sent, 'begin')).toMatchObject({ status: 200 });
    expect(await act(sent, 'begin')).toMatchObject({ status: 409 });
    expect(await act(sent, 'heartbeat')).toMatchObject({ status: 200 });
    for (const verdict of ['accepted', 'repeated'])
      expect(await act(sent, 'ack', { outcome: 'sent', messageId: 'true_1' })).toMatchObject({
        body: { verdict, status: 'sent' },
      });
    await act(failed, 'begin');
    const noWhatsApp = { outcome: 'failed', effect: 'none', kind: 'permanent', code: 'not_on_whatsapp' };
    expect(await act(failed, 'ack', noWhatsApp)).toMatchObject({ body: { status: 'failed' } });
    expect(await act(failed, 'ack', { outcome: 'failed', kind: 'permanent' })).toMatchObject({ status: 400 });
    await act(lost, 'begin');
    expect(await act(lost, 'ack', { outcome: 'unknown' })).toMatchObject({ body: { status: 'unknown' } });
    expect(await act(lost, 'ack', { outcome: 'sent' })).toMatchObject({
      body: { verdict: 'accepted', status: 'sent' },
    });
    expect(await act(back, 'release')).toMatchObject({ status: 200 });
    expect(await act(back, 'begin')).toMatchObject({ status: 409 });
    expect(await act(back, 'heartbeat')).toMatchObject({ status: 409 });
    expect((await claim()).body.items).toMatchObject([{ itemId: back.itemId, fence: back.fence + 1 }]);
    expect(await checkCounters(test.systemPool)).toEqual([]);
  });

  it('is one session’s at a time; another stands by until it is silent', async () => {
    await start();
    expect((await claim()).body.items).toHaveLength(1);
    const other = randomUUID();
    const refused = await claim(other);
    expect(refused).toMatchObject({ status: 409, body: { code: 'channel_standby' } });
    expect(refused.body.retryAfterMs).toBeLessThanOrEqual(30_000);
    await test.systemPool.query(
      `update channel_flow set session_until = now() - interval '1 second' where channel_id = $1`,
      [channelId],
    );
    expect((await claim(other)).body.items).toHaveLength(1);
    expect(await claim()).toMatchObject({ status: 409 });
  });

  it('is told when each may be sent, and may not begin before', async () => {
    await start({ ...FAST, minDelayMs: 10_000, maxDelayMs: 12_000 });
    const { items } = (await claim(sessionId, 4)).body;
    expect(items).toHaveLength(4);
    const at = items.map(({ notBefore }: { notBefore: string }) => new Date(notBefore).getTime());
    for (const [index, moment] of at.slice(1).entries()) {
      expect(moment - at[index]).toBeGreaterThanOrEqual(10_000);
      expect(moment - at[index]).toBeLessThanOrEqual(12_000);
    }
    expect(await act(items[1], 'begin')).toMatchObject({ status: 409 });
    expect(await act(items[0], 'begin')).toMatchObject({ status: 200 });
  });

  it('loses at once what a pause keeps it from beginning, and no more than that', async () => {
    await start({ ...FAST, minDelayMs: 10_000, maxDelayMs: 12_000 });
    const { items } = (await claim(sessionId, 2)).body;
    await me.call('POST', `/api/campaigns/${campaignId}/pause`);
    expect(await act(items[0], 'begin')).toMatchObject({ status: 409, body: { code: 'not_begun' } });
    expect(await me.read(campaignId)).toMatchObject({ status: 'paused', counters: { pending: 3, claimed: 1 } });
    expect(await act(items[0], 'heartbeat')).toMatchObject({ status: 409 });
    await me.call('POST', `/api/campaigns/${campaignId}/resume`);
    // Only too early.
    expect(await act(items[1], 'begin')).toMatchObject({ status: 409 });
    expect(await act(items[1], 'heartbeat')).toMatchObject({ status: 200 });
    await me.call('POST', `/api/channels/${channelId}/pause`);
    expect(await act(items[1], 'begin')).toMatchObject({ status: 409 });
    expect(await me.read(campaignId)).toMatchObject({ counters: { pending: 4, claimed: 0 } });
    expect(await checkCounters(test.systemPool)).toEqual([]);
  });

  it('gets each contact’s variant, the same one ever, and nothing for whom a text says nothing', async () => {
    const variants = [{ content: { text: 'A' } }, { content: { text: '{{contact.company|""}}' }, weight: 1 }];
    await start(FAST, { variants, content: undefined });
    const { items } = (await claim(sessionId, 5)).body;
    expect(items.every(({ text }: { text: string }) => text === 'A')).toBe(true);
    const all = await me.items(campaignId);
    for (const item of all) expect(item.status).toBe(item.variant === 'A' ? 'claimed' : 'skipped');
  });
});

it('a gateway says later what became of a message, signed; nobody else does', async () => {
  test.receiver.answers(() => ({ text: '{"messageId":"wamid.7"}' }));
  await me.contacts(somePeople(1));
  const channel = await me.channel();
  const id = await me.campaign(channel.id);
  await me.start(id);
  await test.flow();
  const post = (data: object, secret = channel.secret, atMs = Date.now()) => {
    const payload = JSON.stringify({ type: 'campaign.item.status', data });
    const key = readSecret({ secret, privateKey: null });
    const headers = signatureHeaders([key], 'msg_1', Math.floor(atMs / 1000), payload);
    const url = `/api/delivery/callbacks/${channel.id}`;
    return test.app.inject({
      method: 'POST',
      url,
      headers: { ...headers, 'content-type': 'application/json' },
      payload,
    });
  };
  const read = { messageId: 'wamid.7', status: 'read' };
  expect((await post(read, (await me.channel()).secret)).statusCode).toBe(401);
  expect((await post(read, channel.secret, Date.now() - 600_000)).statusCode).toBe(401);
  expect((await post({ status: 'read' })).statusCode).toBe(400);
  for (const messageId of ['a\0', '\ud800']) expect((await post({ messageId, status: 'read' })).statusCode).toBe(400);
  expect((await post(read)).json()).toEqual({ changed: true });
  expect((await post({ ...read, status: 'delivered' })).json()).toEqual({ changed: false });
  const counters = { sent: 0, delivered: 0, read: 1 };
  expect(await me.read(id)).toMatchObject({ counters });
  expect((await me.call('GET', `/api/campaigns/${id}/report`)).body.funnel).toEqual({
    reached: 1,
    delivered: 1,
    read: 1,
    replied: 0,
    optedOut: 0,
  });
});

it('is nobody’s of another workspace', async () => {
  await me.contacts(somePeople(1));
  const made = await me.call('POST', '/api/channels', { name: 'Celular', kind: 'extension', pacing: FAST });
  const id = await me.campaign(made.body.id);
  await me.start(id);
  await test.run({ workspaceId: me.workspaceId, jobId: id });
  const stranger = await aCampaigner(test);
  // A reference that names the wrong workspace finds nothing there.
  await test.run({ workspaceId: stranger.workspaceId, jobId: id });
  const body = { channelId: made.body.id, sessionId: randomUUID() };
  expect(await stranger.call('POST', '/api/delivery/claim', body)).toMatchObject({ status: 404 });
  const [item] = (await me.call('POST', '/api/delivery/claim', body)).body.items;
  const attempt = { attemptId: item.attemptId, fence: item.fence };
  for (const verb of ['begin', 'release', 'heartbeat'])
    expect(await stranger.call('POST', `/api/delivery/items/${item.itemId}/${verb}`, attempt)).toMatchObject({
      status: 409,
    });
  expect(
    await stranger.call('POST', `/api/delivery/items/${item.itemId}/ack`, { ...attempt, outcome: 'sent' }),
  ).toMatchObject({ status: 404 });
  expect(await stranger.start(id)).toMatchObject({ status: 404 });
});
