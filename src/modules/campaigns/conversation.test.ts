import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { kinds } from '#src/modules/bulk/kinds.ts';
import { runOperation } from '#src/modules/bulk/run.ts';
import { purgeUnsent } from '#src/modules/messages/purge.query.ts';
import { readSecret, signatureHeaders } from '#src/modules/webhooks/signature.ts';
import { aCampaigner, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';

let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
let contacts: string[];
beforeAll(async () => {
  test = await openCampaignTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  me = await aCampaigner(test);
  contacts = await me.contacts(somePeople(3));
  let sent = 0;
  test.receiver.answers(() => ({ text: JSON.stringify({ messageId: `wamid-${(sent += 1)}` }) }));
});

const messagesOf = async (contactId: string | undefined) =>
  (await me.call('GET', `/api/contacts/${contactId}/messages`)).body.data;
const conversationsOf = async (contactId: string | undefined) =>
  (await me.call('GET', `/api/conversations?contactId=${contactId}`)).body.data;
const events = async (): Promise<string[]> => {
  const { rows } = await test.systemPool.query<{ type: string }>(
    `select type from outbox_event where workspace_id = $1 and type like 'message.%' order by id`,
    [me.workspaceId],
  );
  return rows.map(({ type }) => type);
};

/** What a gateway says of a message. */
async function callBack(channel: { id: string; secret: string }, data: object): Promise<{ changed: boolean }> {
  const payload = JSON.stringify({ type: 'campaign.item.status', data });
  const key = readSecret({ secret: channel.secret, privateKey: null });
  const headers = signatureHeaders([key], randomUUID(), Math.floor(Date.now() / 1000), payload);
  const answer = await test.app.inject({
    method: 'POST',
    url: `/api/delivery/callbacks/${channel.id}`,
    headers: { ...headers, 'content-type': 'application/json' },
    payload,
  });
  expect(answer.statusCode).toBe(200);
  return answer.json();
}

/** A campaign of which one item was begun, and of whose end nobody told. */
async function begin(channelId: string, body: object = {}, text: string | null = 'Oi, Pessoa!') {
  const id = await me.campaign(channelId, { audience: { contactIds: contacts.slice(0, 1) }, ...body });
  await me.start(id);
  await test.run({ workspaceId: me.workspaceId, jobId: id });
  const claim = { channelId, max: 5, holder: 'test', horizonMs: 60_000 };
  const { items } = await test.items.claim(me.workspaceId, claim);
  const [item] = items;
  if (!item) throw new Error('Nothing was claimed');
  const attempt = { itemId: item.itemId, attemptId: item.attemptId, fence: item.fence };
  const begun = await test.items.begin(me.workspaceId, [{ ...attempt, ...(text !== null && { text }) }]);
  expect(begun.size).toBe(1);
  const sent = { retryable: false, isChannels: false, code: null, retryAfterMs: null, result: 'sent' } as const;
  return { id, attempt, sent: { ...attempt, ...sent, messageId: 'wamid-late' } };
}

describe('what a campaign sends through a gateway', () => {
  it('stands in the conversation of whom it was sent to, once, and says whose it is', async () => {
    const channel = await me.channel();
    const id = await me.campaign(channel.id);
    await me.start(id);
    await test.flow();
    const [item] = await me.items(id);
    const [message, ...more] = await messagesOf(item.contactId);
    expect(more).toEqual([]);
    expect(message).toMatchObject({
      direction: 'outbound',
      type: 'text',
      body: 'Oi, Pessoa!',
      status: 'sent',
      channelId: channel.id,
      providerId: item.messageId,
      campaignId: id,
      campaignItemId: item.id,
    });
    expect(new Date(message.sentAt).getTime()).toBeLessThanOrEqual(new Date(item.sentAt).getTime());
    // It is nobody's business until somebody answers.
    expect(await conversationsOf(item.contactId)).toMatchObject([
      {
        status: 'closed',
        unreadCount: 0,
        lastMessageId: message.id,
        lastOutboundAt: message.sentAt,
        lastInboundAt: null,
      },
    ]);
    const contact = (await me.call('GET', `/api/contacts/${item.contactId}`)).body;
    expect(new Date(contact.lastOutboundAt).toISOString()).toBe(message.sentAt);
    const timeline = (await me.call('GET', `/api/contacts/${item.contactId}/timeline`)).body.data;
    expect(timeline.filter(({ type }: { type: string }) => type === 'conversation.started')).toMatchObject([
      { payload: { conversationId: message.conversationId, direction: 'outbound', campaignId: id } },
    ]);
    const found = (await me.call('GET', '/api/messages/search?q=pessoa')).body.data;
    expect(found.map((one: { campaignId: string }) => one.campaignId)).toEqual([id, id, id]);
    // A campaign tells of itself, and not once for each of its messages.
    expect(await events()).toEqual([]);
  });

  it('rises with what the gateway says, and never falls', async () => {
    const channel = await me.channel();
    const id = await me.campaign(channel.id, { audience: { contactIds: contacts.slice(0, 1) } });
    await me.start(id);
    await test.flow();
    const [{ id: itemId, messageId }] = await me.items(id);
    const status = async () => (await messagesOf(contacts[0]))[0].status;
    await callBack(channel, { messageId, status: 'read' });
    expect(await status()).toBe('read');
    await callBack(channel, { itemId, status: 'delivered' });
    await callBack(channel, { itemId, status: 'failed' });
    expect(await status()).toBe('read');
    expect(await events()).toEqual([]);
  });

  it('says that it failed where the gateway takes it back', async () => {
    const channel = await me.channel();
    const { id } = await begin(channel.id);
    const [{ id: itemId }] = await me.items(id);
    await callBack(channel, { itemId, messageId: 'm1', status: 'sent' });
    await callBack(channel, { itemId, status: 'failed' });
    expect(await messagesOf(contacts[0])).toMatchObject([{ status: 'failed', errorCode: 'channel', providerId: 'm1' }]);
  });

  it('is written once by whoever makes it known, however late', async () => {
    const channel = await me.channel();
    const { id, attempt, sent } = await begin(channel.id);
    await test.systemPool.query(
      `update campaign_item set lease_expires_at = now() - interval '1 second' where id = $1`,
      [attempt.itemId],
    );
    await test.tend();
    expect(await me.items(id)).toMatchObject([{ status: 'unknown' }]);
    expect(await messagesOf(contacts[0])).toEqual([]);
    const url = `/api/campaigns/${id}/items/${attempt.itemId}/resolve`;
    expect((await me.call('POST', url, { as: 'sent' })).status).toBe(200);
    await test.items.ack(me.workspaceId, [sent]);
    await callBack(channel, { itemId: attempt.itemId, status: 'delivered' });
    expect(await messagesOf(contacts[0])).toMatchObject([{ status: 'delivered', body: 'Oi, Pessoa!' }]);
    const { rows } = await test.systemPool.query('select rendered from campaign_item where id = $1', [attempt.itemId]);
    expect(rows).toEqual([{ rendered: null }]);
  });

  it('is not written where it reached nobody', async () => {
    test.receiver.answers(() => ({ status: 400, text: '{}' }));
    const id = await me.campaign((await me.channel()).id);
    await me.start(id);
    await test.flow();
    expect(await me.read(id)).toMatchObject({ counters: { failed: 3 } });
    expect(await messagesOf(contacts[0])).toEqual([]);
    expect(await conversationsOf(contacts[0])).toEqual([]);
  });

  it('goes to whom its contact went into while it was under way', async () => {
    const { sent } = await begin((await me.channel()).id);
    const [loser, winner] = contacts;
    const merged = await me.call('POST', '/api/contacts/merge', { winnerId: winner, loserIds: [loser] });
    expect(merged.status).toBe(200);
    await test.items.ack(me.workspaceId, [sent]);
    expect(await messagesOf(winner)).toMatchObject([{ body: 'Oi, Pessoa!', contactId: winner }]);
    expect(await conversationsOf(winner)).toHaveLength(1);
  });

  it('is two where two campaigns’ messages to one person are noted at once', async () => {
    const channel = await me.channel();
    const first = await begin(channel.id);
    const second = await begin(channel.id, {}, 'Oi de novo');
    await test.items.ack(me.workspaceId, [first.sent, { ...second.sent, messageId: 'wamid-2' }]);
    expect((await messagesOf(contacts[0])).map(({ body }: { body: string }) => body)).toEqual([
      'Oi de novo',
      'Oi, Pessoa!',
    ]);
    expect(await conversationsOf(contacts[0])).toHaveLength(1);
  });
});

describe('a message that tries a campaign out', () => {
  it('stands in the conversation of a contact, told like any other, and makes no contact', async () => {
    const channel = await me.channel();
    const id = await me.campaign(channel.id);
    const to = ['+5511980000000', '+5511970000000'];
    const tested = await me.call('POST', `/api/campaigns/${id}/test`, { to });
    expect(tested.body.results).toMatchObject([{ outcome: 'sent' }, { outcome: 'sent' }]);
    const messages = await messagesOf(contacts[0]);
    expect(messages).toMatchObject([{ body: 'Oi, Pessoa!', status: 'sent', campaignId: null, direction: 'outbound' }]);
    expect(messages[0].providerId).toBe(tested.body.results[0].messageId);
    expect(await events()).toEqual(['message.sent']);
    expect((await me.call('GET', '/api/contacts?limit=10')).body.data).toHaveLength(3);
    expect(await callBack(channel, { messageId: messages[0].providerId, status: 'read' })).toEqual({ changed: true });
    expect(await messagesOf(contacts[0])).toMatchObject([{ status: 'read' }]);
  });

  it('is pending while nobody knows its end, and known by its item', async () => {
    test.receiver.answers(() => ({ status: 500, text: 'x' }));
    const channel = await me.channel();
    const id = await me.campaign(channel.id);
    const tested = await me.call('POST', `/api/campaigns/${id}/test`, { to: ['+5511980000000'] });
    expect(tested.body.results).toMatchObject([{ outcome: 'unknown' }]);
    expect(await messagesOf(contacts[0])).toMatchObject([{ status: 'pending' }]);
    const { itemId } = Object(test.receiver.received.at(-1)?.body['data']);
    await callBack(channel, { itemId, status: 'delivered' });
    expect(await messagesOf(contacts[0])).toMatchObject([{ status: 'delivered' }]);
  });
});

const CHAT = { waId: '5511980000000@c.us' };
const sync = (message: object) =>
  me.call('POST', '/api/messages/sync', {
    channel: { externalId: 'phone' },
    messages: [
      { chat: CHAT, direction: 'outbound', body: 'Oi, Pessoa!', sentAt: new Date().toISOString(), ...message },
    ],
  });
const aPhone = async (): Promise<string> => {
  const made = await sync({ clientId: randomUUID(), body: 'antes' });
  const { channelId } = made.body;
  await me.call('PUT', `/api/channels/${channelId}/pacing`, {
    minDelayMs: 0,
    maxDelayMs: 0,
    windows: [],
    warmUp: false,
    perContactDay: null,
    perContactWeek: null,
  });
  return channelId;
};
const ours = async () => (await messagesOf(contacts[0])).filter(({ body }: { body: string }) => body !== 'antes');
const ack = ({ sent }: Awaited<ReturnType<typeof begin>>) =>
  me.call('POST', `/api/delivery/items/${sent.itemId}/ack`, {
    attemptId: sent.attemptId,
    fence: sent.fence,
    outcome: 'sent',
    messageId: sent.messageId,
  });

describe('what goes through a phone', () => {
  it('stands there once, as the phone brings it, and is its item’s: whichever comes first', async () => {
    const channelId = await aPhone();
    const orders = [
      async (one: Awaited<ReturnType<typeof begin>>) => {
        await ack(one);
        await sync({ providerId: one.sent.messageId });
      },
      async (one: Awaited<ReturnType<typeof begin>>) => {
        await sync({ providerId: one.sent.messageId });
        await ack(one);
      },
      async (one: Awaited<ReturnType<typeof begin>>) => {
        await sync({ clientId: 'c-1' });
        await ack(one);
        await sync({ clientId: 'c-1', providerId: one.sent.messageId });
      },
    ];
    for (const [at, order] of orders.entries()) {
      const one = await begin(channelId, {}, null);
      await order({ ...one, sent: { ...one.sent, messageId: `wamid-${at}` } });
      const messages = await ours();
      expect(messages).toHaveLength(at + 1);
      expect(messages[0]).toMatchObject({ campaignId: one.id, campaignItemId: one.attempt.itemId });
    }
  });

  it('is its item’s also where both come at once', async () => {
    const channelId = await aPhone();
    for (let turn = 0; turn < 8; turn += 1) {
      const one = await begin(channelId, {}, null);
      const messageId = `wamid-${turn}`;
      await Promise.all([ack({ ...one, sent: { ...one.sent, messageId } }), sync({ providerId: messageId })]);
      expect((await ours()).find((m: { providerId: string }) => m.providerId === messageId)).toMatchObject({
        campaignItemId: one.attempt.itemId,
      });
    }
    expect(await ours()).toHaveLength(8);
  });
});

it('who is forgotten while a message to them is under way has none, and their item says nothing of them', async () => {
  const channel = await me.channel();
  const [before, underWay] = [await begin(channel.id), await begin(channel.id)];
  await test.items.ack(me.workspaceId, [{ ...before.sent, messageId: 'wamid-before' }]);
  expect(await messagesOf(contacts[0])).toHaveLength(1);
  const { operationId } = (await me.call('POST', `/api/contacts/${contacts[0]}/erasure`)).body;
  const { rt, config } = test;
  const resources = { orm: rt.orm, kinds, appSecret: config.APP_SECRET, log: rt.log, stopping: test.worker.stopping };
  const query = async (sql: string, values: unknown[]) => (await test.systemPool.query(sql, values)).rows;
  const statusOf = async () =>
    (await query('select status from bulk_operation where id = $1', [operationId]))[0]?.status;
  while (!['completed', 'failed'].includes(await statusOf()))
    await runOperation(resources, me.workspaceId, operationId);
  expect(await statusOf()).toBe('completed');
  await test.items.ack(me.workspaceId, [underWay.sent]);
  await callBack(channel, { itemId: before.attempt.itemId, status: 'read' });
  expect(await query('select 1 from message where workspace_id = $1', [me.workspaceId])).toEqual([]);
  expect(
    await query('select distinct rendered, own_message_id from campaign_item where contact_id = $1', [contacts[0]]),
  ).toEqual([{ rendered: null, own_message_id: null }]);
});

it('what never became a message is kept no longer than messages are', async () => {
  const { attempt } = await begin((await me.channel()).id);
  const kept = async () => {
    while ((await purgeUnsent(test.systemPool, 730)) > 0);
    const { rows } = await test.systemPool.query('select rendered from campaign_item where id = $1', [attempt.itemId]);
    return rows[0].rendered;
  };
  const lapse = (days: number) =>
    test.systemPool.query(
      `update campaign_item set status = 'unknown', lease_expires_at = null, dispatch_started_at = now() - $2 * interval '1 day' where id = $1`,
      [attempt.itemId, days],
    );
  await lapse(729);
  expect(await kept()).toBe('Oi, Pessoa!');
  await lapse(731);
  expect(await kept()).toBeNull();
});
