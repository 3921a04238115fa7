import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { aCampaigner, checkCounters, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';

let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
beforeAll(async () => {
  test = await openCampaignTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  me = await aCampaigner(test);
  let sent = 0;
  test.receiver.answers(() => ({ text: JSON.stringify({ messageId: `wamid-${(sent += 1)}` }) }));
});

const [ANA, BIA] = ['+5511980000000', '+5511980000001'];
const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000);
const sentTo = () => test.receiver.received.map(({ body }) => Object(body['data']).to);
const preview = async () =>
  (await me.call('POST', '/api/campaigns/preview-audience', { audience: { all: true } })).body;
const eventsOf = async (type: string): Promise<number> => {
  const { rows } = await test.systemPool.query<{ n: number }>(
    'select count(*)::int as n from outbox_event where workspace_id = $1 and type = $2',
    [me.workspaceId, type],
  );
  return rows[0]?.n ?? 0;
};

async function sendToAll(channel?: string): Promise<string> {
  const id = await me.campaign(channel ?? (await me.channel()).id);
  await me.start(id);
  await test.flow();
  return id;
}

describe('somebody who got a campaign', () => {
  it('and answers is counted once, for what they got last', async () => {
    await me.contacts(somePeople(2));
    const first = await sendToAll();
    const second = await sendToAll();
    await me.receives(ANA, 'quanto custa?');
    await me.receives(ANA, 'ainda tem?');
    const report = async (id: string) => (await me.call('GET', `/api/campaigns/${id}/report`)).body;
    expect(await report(second)).toMatchObject({
      funnel: { reached: 2, replied: 1, optedOut: 0 },
      variants: [{ replied: 1 }],
    });
    expect(await report(first)).toMatchObject({ funnel: { replied: 0 } });
    expect(await checkCounters(test.systemPool)).toEqual([]);
  });

  it('and says no gets no more, on any way, until there is proof that they want it after all', async () => {
    const [ana] = await me.contacts(somePeople(2));
    const first = await sendToAll();
    await me.receives(ANA, 'SAIR');
    await me.receives(ANA, 'Parar!');
    expect(await eventsOf('contact.opted_out')).toBe(1);
    expect((await me.call('GET', `/api/contacts/${ana}`)).body).toMatchObject({ consent: 'denied' });
    expect((await me.call('GET', `/api/suppressions?phone=${encodeURIComponent(ANA)}`)).body.data).toMatchObject([
      { reason: 'opt_out', source: 'contact' },
    ]);
    expect((await me.call('GET', `/api/campaigns/${first}/report`)).body.funnel).toMatchObject({
      optedOut: 1,
      replied: 1,
    });
    test.receiver.answers(() => ({ text: '{"messageId":"m"}' }));
    await sendToAll();
    expect(sentTo()).toEqual([BIA]);
    expect(await me.call('POST', `/api/contacts/${ana}/opt-in`, {})).toMatchObject({ status: 400 });
    expect(await me.call('POST', `/api/contacts/${ana}/opt-in`, { proof: 'Formulário de 3 de março' })).toMatchObject({
      status: 200,
    });
    test.receiver.answers(() => ({ text: '{"messageId":"m"}' }));
    await sendToAll();
    expect(sentTo()).toHaveLength(2);
    expect(new Set(sentTo())).toEqual(new Set([ANA, BIA]));
  });

  it('and said no days ago, on a telephone without a connection, gets no more; who agreed since does', async () => {
    const [ana, bia] = await me.contacts(somePeople(2));
    expect(await me.call('POST', `/api/contacts/${bia}/opt-in`, { proof: 'Na loja' })).toMatchObject({ status: 200 });
    for (const phone of [ANA, BIA]) await me.receives(phone, 'Sair', daysAgo(3));
    await me.receives(ANA, 'quanto custa?', daysAgo(3));
    expect(await eventsOf('message.received')).toBe(2);
    expect((await me.call('GET', `/api/contacts/${ana}`)).body).toMatchObject({ consent: 'denied' });
    expect((await me.call('GET', `/api/contacts/${bia}`)).body).toMatchObject({ consent: 'granted' });
    await sendToAll();
    expect(sentTo()).toEqual([BIA]);
  });

  it('and says more than no is left to people', async () => {
    await me.contacts(somePeople(1));
    await sendToAll();
    await me.receives(ANA, 'quero cancelar o pedido 17');
    expect(await preview()).toMatchObject({ count: 1 });
    await me.call('PATCH', '/api/settings/workspace', { 'campaigns.optOutWords': ['chega'] });
    await me.receives(ANA, 'Chega.');
    expect(await preview()).toMatchObject({ count: 0, excluded: { opted_out: 1 } });
  });
});

it('what is claimed and not begun for somebody who says no cannot be begun', async () => {
  const [ana] = await me.contacts(somePeople(1));
  const channel = await me.channel();
  const id = await me.campaign(channel.id);
  await me.start(id);
  await test.run({ workspaceId: me.workspaceId, jobId: id });
  const claim = { channelId: channel.id, max: 5, holder: 'test', horizonMs: 0 };
  const { items } = await test.items.claim(me.workspaceId, claim);
  expect(items).toHaveLength(1);
  expect(await me.call('POST', `/api/contacts/${ana}/opt-out`, {})).toMatchObject({ status: 200 });
  expect((await test.items.begin(me.workspaceId, items)).size).toBe(0);
  expect(await me.items(id)).toMatchObject([{ status: 'skipped', skipReason: 'opted_out' }]);
  await test.tend();
  expect(await me.read(id)).toMatchObject({ status: 'completed', counters: { skipped: 1 } });
});

it('two channels that take messages to the same people at once keep their cap together', async () => {
  await me.contacts(somePeople(30));
  const channels = await Promise.all([1, 2, 3].map(() => me.channel({ pacing: { perContactDay: 1 } })));
  for (const { id: channelId } of channels) {
    const id = await me.campaign(channelId);
    await me.start(id);
    await test.run({ workspaceId: me.workspaceId, jobId: id });
  }
  const claimed = new Map<string, number>();
  const take = async (channelId: string): Promise<void> => {
    const { items } = await test.items.claim(me.workspaceId, { channelId, max: 4, holder: channelId, horizonMs: 0 });
    for (const { contactId } of items) claimed.set(contactId, (claimed.get(contactId) ?? 0) + 1);
  };
  for (let round = 0; round < 20; round += 1) await Promise.all(channels.map(({ id }) => take(id)));
  expect(claimed.size).toBe(30);
  expect([...claimed.values()].every((times) => times === 1)).toBe(true);
  expect(await checkCounters(test.systemPool)).toEqual([]);
});

const longAgo = (id: string) =>
  test.systemPool.query(
    `update campaign_item set updated_at = now() - interval '16 minutes' where campaign_id = $1 and status = 'unknown'`,
    [id],
  );
async function lose(onUnknown: string): Promise<string> {
  await me.contacts(somePeople(2));
  test.receiver.answers(() => ({ status: 500 }));
  const id = await me.campaign((await me.channel()).id, { onUnknown });
  await me.start(id);
  await test.flow();
  expect(await me.read(id)).toMatchObject({ status: 'completed_with_unknown', counters: { unknown: 2 } });
  return id;
}

describe('messages nobody knows the end of', () => {
  it('wait for somebody, who may say of all how they ended', async () => {
    const id = await lose('hold');
    await longAgo(id);
    await test.flow();
    expect(await me.read(id)).toMatchObject({ counters: { unknown: 2 }, onUnknown: 'hold' });
    expect(test.receiver.received).toHaveLength(2);
    const resolved = await me.call('POST', `/api/campaigns/${id}/resolve-unknown`, { as: 'sent' });
    expect(resolved.body).toEqual({ resolved: 2 });
    expect(await me.read(id)).toMatchObject({ counters: { unknown: 0, sent: 2 } });
  });

  it('count as sent a while later, where that was chosen', async () => {
    const id = await lose('assume_sent');
    await test.flow();
    expect(await me.read(id)).toMatchObject({ counters: { unknown: 2 } });
    await longAgo(id);
    await test.flow();
    expect(await me.read(id)).toMatchObject({ status: 'completed', counters: { unknown: 0, sent: 2 } });
    expect(test.receiver.received).toHaveLength(2);
  });

  it('are sent once more and never a third time, where that was chosen', async () => {
    const id = await lose('resend_once');
    for (let round = 0; round < 3; round += 1) {
      await longAgo(id);
      await test.flow();
    }
    expect(test.receiver.received).toHaveLength(4);
    expect(await me.read(id)).toMatchObject({ status: 'completed_with_unknown', counters: { unknown: 2 } });
    expect(await checkCounters(test.systemPool)).toEqual([]);
  });
});

describe('a test of a campaign', () => {
  it('goes to the numbers named, as their contacts would get it, and to nobody who said no', async () => {
    await me.contacts([{ name: 'Ana Souza', phone: ANA }]);
    await me.call('POST', '/api/suppressions', { phone: BIA });
    const id = await me.campaign((await me.channel()).id);
    const to = [ANA, '11 98000-0001', '+55 11 98000-0009'];
    const { body, status } = await me.call('POST', `/api/campaigns/${id}/test`, { to });
    expect(status).toBe(200);
    expect(body.results).toMatchObject([
      { to: ANA, text: 'Oi, Ana!', outcome: 'sent', messageId: expect.any(String) },
      { to: BIA, outcome: 'skipped', code: 'suppressed' },
      { to: '+5511980000009', text: 'Oi, amigo!', outcome: 'sent' },
    ]);
    expect(sentTo()).toHaveLength(2);
    expect(new Set(sentTo())).toEqual(new Set([ANA, '+5511980000009']));
    expect(await me.read(id)).toMatchObject({ status: 'draft', counters: { total: 0 } });
    expect(await me.call('POST', `/api/campaigns/${id}/test`, { to: ['x1234'] })).toMatchObject({ status: 400 });
  });

  it('of a phone’s channel is only rendered', async () => {
    const { body } = await me.call('POST', '/api/channels', { name: 'Celular', kind: 'extension' });
    const id = await me.campaign(body.id);
    const tested = await me.call('POST', `/api/campaigns/${id}/test`, { to: [ANA] });
    expect(tested.body.results).toMatchObject([{ text: 'Oi, amigo!', outcome: 'rendered' }]);
  });
});
