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
  test.receiver.answers(() => ({ text: '{"messageId":"m"}' }));
});

const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();

describe('the time of a campaign', () => {
  it('is waited for, however many say start', async () => {
    await me.contacts(somePeople(1));
    const id = await me.campaign((await me.channel()).id, { scheduledAt: inHours(1) });
    for (const key of ['mine', 'theirs']) {
      const started = await me.start(id, `${id}-${key}`);
      expect(started).toMatchObject({ status: 202, body: { status: 'scheduled' } });
    }
    await test.flow();
    expect(test.receiver.received).toHaveLength(0);
    const unset = await me.call('PATCH', `/api/campaigns/${id}`, { scheduledAt: null });
    expect(unset).toMatchObject({ status: 200, body: { status: 'draft', scheduledAt: null } });
    expect(await me.start(id)).toMatchObject({ body: { status: 'preparing' } });
  });

  it.each([
    '9999-12-31T23:59:59-14:00',
    '9999-12-31T23:59:59.999999999999999Z',
    '0000-01-01T00:00:00Z',
    '0001-01-01T00:00:00+14:00',
    '2020-01-01T00:00:00Z',
  ])('is not %s', async (scheduledAt) => {
    const channelId = (await me.channel()).id;
    const id = await me.campaign(channelId);
    const refused = { status: 400, body: { errors: [{ path: 'scheduledAt' }] } };
    const body = { name: 'Natal', channelId, content: { text: 'Oi' }, audience: { all: true }, scheduledAt };
    expect(await me.call('POST', '/api/campaigns', body)).toMatchObject(refused);
    expect(await me.call('PATCH', `/api/campaigns/${id}`, { scheduledAt })).toMatchObject(refused);
    expect(await me.call('POST', `/api/campaigns/${id}/schedule`, { scheduledAt })).toMatchObject(refused);
    expect(await me.call('GET', '/api/campaigns')).toMatchObject({ status: 200 });
  });

  it('is by clocks that Postgres knows', async () => {
    const { id } = await me.channel();
    const refused = { status: 400, body: { errors: [{ path: 'timeZone' }] } };
    for (const timeZone of ['CTT', 'IST', 'US/Pacific-New'])
      expect(await me.call('PATCH', `/api/channels/${id}`, { timeZone })).toMatchObject(refused);
    expect(await me.call('PATCH', `/api/channels/${id}`, { timeZone: 'Asia/Kolkata' })).toMatchObject({ status: 200 });
  });
});

describe('whom a campaign keeps out', () => {
  it('stays out when they went into somebody else', async () => {
    const [winner = '', loser = '', other = ''] = await me.contacts(somePeople(3));
    const people = { audience: { contactIds: [winner, other] }, exclude: { contactIds: [loser] } };
    const id = await me.campaign((await me.channel()).id, people);
    await me.call('POST', '/api/contacts/merge', { winnerId: winner, loserIds: [loser] });
    await me.start(id);
    await test.flow();
    const items = await me.items(id);
    expect(items.map(({ contactId }: { contactId: string }) => contactId)).toEqual([other]);
  });

  it('is not let in by the end of the label that kept them out', async () => {
    const [one = ''] = await me.contacts(somePeople(2));
    await me.call('POST', `/api/contacts/${one}/labels`, { labels: ['Não'] });
    const id = await me.campaign((await me.channel()).id, { exclude: { labels: ['não'] } });
    const { exclude } = await me.read(id);
    await me.call('DELETE', `/api/labels/${exclude.labels[0]}`);
    await me.start(id);
    await test.flow();
    expect(await me.read(id)).toMatchObject({ status: 'failed', pauseReason: 'audience_gone', counters: { total: 0 } });
    expect(test.receiver.received).toHaveLength(0);
  });

  it('are people there are', async () => {
    const [one = ''] = await me.contacts(somePeople(1));
    const ids = [one, '01990000-0000-7000-8000-000000000001'];
    for (const [people, path] of [
      [{ audience: { contactIds: ids } }, 'audience.contactIds.1'],
      [{ audience: { all: true }, exclude: { contactIds: ids } }, 'exclude.contactIds.1'],
      [{ audience: { all: true }, channelId: ids[1] }, 'channelId'],
    ] as const)
      expect(await me.call('POST', '/api/campaigns/preview-audience', people)).toMatchObject({
        status: 400,
        body: { errors: [{ path }] },
      });
  });
});

it('what nobody knew the end of, and everybody knows now, is complete', async () => {
  await me.contacts(somePeople(2));
  const channel = await me.channel();
  test.receiver.answers(() => ({ status: 500 }));
  const [said, told] = [await me.campaign(channel.id), await me.campaign(channel.id)];
  for (const id of [said, told]) {
    await me.start(id);
    await test.flow();
    await test.systemPool.query(`update campaign set resumed_at = now() where id = $1`, [id]);
    expect(await me.read(id)).toMatchObject({ status: 'completed_with_unknown', counters: { unknown: 2 } });
  }
  expect(await me.call('POST', `/api/campaigns/${said}/resolve-unknown`, { as: 'sent' })).toMatchObject({
    status: 200,
  });
  expect(await me.read(said)).toMatchObject({ status: 'completed', counters: { unknown: 0, sent: 2 } });
  await test.systemPool.query(`update campaign_item set status = 'delivered' where campaign_id = $1`, [told]);
  await test.tend();
  expect(await me.read(told)).toMatchObject({ status: 'completed', counters: { unknown: 0, delivered: 2 } });
  expect(await checkCounters(test.systemPool)).toEqual([]);
});
