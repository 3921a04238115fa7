import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Ack, ClaimedItem } from '#src/modules/campaigns/items.query.ts';
import { judgeAnswer } from '#src/modules/campaigns/post.ts';
import { aCampaigner, checkCounters, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';

let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
let contacts: string[];
beforeAll(async () => {
  test = await openCampaignTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  me = await aCampaigner(test);
  contacts = await me.contacts(somePeople(8));
  test.receiver.answers(() => ({ text: JSON.stringify({ messageId: randomUUID() }) }));
});

async function running(channelId: string, contactIds: readonly string[] = contacts): Promise<string> {
  const id = await me.campaign(channelId, { audience: { contactIds } });
  await me.start(id);
  await test.run({ workspaceId: me.workspaceId, jobId: id });
  return id;
}
const due = () => test.systemPool.query(`update campaign_item set next_attempt_at = now() where status = 'pending'`);
const claim = async (channelId: string, max = 1): Promise<ClaimedItem[]> => {
  await due();
  return (await test.items.claim(me.workspaceId, { channelId, max, holder: 'test', horizonMs: 0 })).items;
};
const begun = async (channelId: string, max = 1): Promise<ClaimedItem[]> => {
  const items = await claim(channelId, max);
  expect((await test.items.begin(me.workspaceId, items)).size).toBe(max);
  return items;
};
const ack = ({ itemId, attemptId, fence }: ClaimedItem, how: Partial<Ack> = {}) => {
  const nothing = { retryable: false, isChannels: false, code: null, messageId: null, retryAfterMs: null };
  return test.items.ack(me.workspaceId, [{ itemId, attemptId, fence, result: 'sent', ...nothing, ...how }]);
};
const only = <One>([one]: readonly One[]): One => {
  if (one === undefined) throw new Error('There was none');
  return one;
};
const lose = async (): Promise<void> => {
  await test.systemPool.query(
    `update campaign_item set lease_expires_at = now() - interval '1 second' where lease_expires_at is not null`,
  );
  await test.tend();
};

describe('a late word of a gateway', () => {
  it.each(['dispatching', 'unknown'])(
    'that it failed settles what is %s, and nothing of a later attempt',
    async (from) => {
      const { id: channelId } = await me.channel();
      const id = await running(channelId, contacts.slice(0, 1));
      const item = only(await begun(channelId));
      if (from === 'unknown') await ack(item, { result: 'unknown' });
      const about = { itemId: item.itemId, messageId: null, status: 'failed' as const };
      const told = (attemptId: string) => test.items.status(me.workspaceId, channelId, [{ ...about, attemptId }]);
      expect((await told(randomUUID())).size).toBe(0);
      expect((await told(item.attemptId)).size).toBe(1);
      expect(await me.items(id)).toMatchObject([{ status: 'failed', errorCode: 'channel', sentAt: null }]);
      expect((await me.call('POST', `/api/campaigns/${id}/retry-failed`)).body).toEqual({ retried: 0 });
      await test.items.status(me.workspaceId, channelId, [{ ...about, status: 'delivered' }]);
      expect(await me.items(id)).toMatchObject([{ status: 'delivered' }]);
      expect(await checkCounters(test.systemPool)).toEqual([]);
    },
  );

  it.each(['cancel', 'opt-out'])(
    'that it arrived counts, though it was to be sent again and then not (%s)',
    async (how) => {
      const { id: channelId } = await me.channel({ pacing: { perContactDay: 1 } });
      const id = await running(channelId, contacts.slice(0, 1));
      const item = only(await claim(channelId));
      await test.items.begin(me.workspaceId, [{ ...item, text: 'Oi, Pessoa!' }]);
      await ack(item, { result: 'unknown' });
      await me.call('POST', `/api/campaigns/${id}/items/${item.itemId}/resolve`, { as: 'resend' });
      if (how === 'cancel') await me.call('POST', `/api/campaigns/${id}/cancel`);
      else await test.systemPool.query(`update contact set consent = 'denied' where id = $1`, [contacts[0]]);
      const said = { itemId: item.itemId, messageId: 'wamid', status: 'delivered' as const };
      await test.items.status(me.workspaceId, channelId, [said]);
      expect(await me.items(id)).toMatchObject([{ status: 'delivered', skipReason: null }]);
      const { rows } = await test.systemPool.query('select body, status from message where campaign_item_id = $1', [
        item.itemId,
      ]);
      expect(rows).toEqual([{ body: 'Oi, Pessoa!', status: 'delivered' }]);
      await test.systemPool.query(`update contact set consent = 'unknown' where id = $1`, [contacts[0]]);
      const other = await running(channelId, contacts.slice(0, 1));
      expect(await claim(channelId)).toEqual([]);
      expect(await me.items(other)).toMatchObject([{ status: 'skipped', skipReason: 'frequency_cap' }]);
      expect(await checkCounters(test.systemPool)).toEqual([]);
    },
  );
});

describe('a cap', () => {
  it('waits for what is only under way elsewhere, which may come to nothing', async () => {
    const [a, b] = [
      await me.channel({ pacing: { perContactDay: 1 } }),
      await me.channel({ pacing: { perContactDay: 1 } }),
    ];
    const [first, second] = [await running(a.id, contacts.slice(0, 1)), await running(b.id, contacts.slice(0, 1))];
    expect(await claim(a.id)).toHaveLength(1);
    expect(await claim(b.id)).toEqual([]);
    expect(await me.items(second)).toMatchObject([{ status: 'pending' }]);
    await me.call('POST', `/api/campaigns/${first}/cancel`);
    expect(await claim(b.id)).toHaveLength(1);
  });

  it('is a number’s, also where its contact was made anew', async () => {
    const { id: channelId } = await me.channel({ pacing: { perContactDay: 1 } });
    await running(channelId, contacts.slice(0, 1));
    await ack(only(await begun(channelId)));
    await me.call('DELETE', `/api/contacts/${contacts[0]}`);
    const again = await me.call('POST', '/api/contacts', { name: 'Outra vez', phone: '+5511980000000' });
    const id = await running(channelId, [again.body.id]);
    expect(await claim(channelId)).toEqual([]);
    expect(await me.items(id)).toMatchObject([{ status: 'skipped', skipReason: 'frequency_cap' }]);
  });
});

it('goes to whom its contact was merged into, where the number is among theirs', async () => {
  const { id: channelId } = await me.channel();
  const [loser, winner, other, stranger] = contacts;
  const id = await running(channelId, [loser ?? '', other ?? '']);
  for (const [winnerId, loserId] of [
    [winner, loser],
    [stranger, other],
  ])
    expect(await me.call('POST', '/api/contacts/merge', { winnerId, loserIds: [loserId] })).toMatchObject({
      status: 200,
    });
  await test.systemPool.query('delete from contact_identity where contact_id = $1 and value = $2', [
    stranger,
    '+5511980000002',
  ]);
  expect(await claim(channelId, 2)).toMatchObject([{ contactId: winner, to: '+5511980000000' }]);
  const items = await me.items(id);
  expect(items.map((item: Record<string, unknown>) => [item['status'], item['skipReason']]).toSorted()).toEqual([
    ['claimed', null],
    ['skipped', 'identity_changed'],
  ]);
});

describe('a campaign', () => {
  it('goes on though a worker was lost with what it had begun, where others sent after that', async () => {
    const { id: channelId } = await me.channel();
    const id = await running(channelId);
    await begun(channelId, 3);
    await ack(only(await begun(channelId)));
    await lose();
    expect(await me.read(id)).toMatchObject({ status: 'running', counters: { unknown: 3, sent: 1 } });
    expect(await me.items(id)).toContainEqual(expect.objectContaining({ status: 'unknown', errorCode: 'lease_lost' }));
  });

  it('is paused where what was lost is the last that was begun', async () => {
    const { id: channelId } = await me.channel();
    const id = await running(channelId);
    await ack(only(await begun(channelId)));
    await begun(channelId, 3);
    await lose();
    expect(await me.read(id)).toMatchObject({ status: 'paused', pauseReason: 'unknown_in_a_row' });
  });

  it('is judged by what was begun last, in whatever order the ends come', async () => {
    const { id: channelId } = await me.channel();
    const id = await running(channelId);
    const [one, two, three, last] = await begun(channelId, 4);
    if (!one || !two || !three || !last) throw new Error('Four were there');
    await ack(last);
    for (const item of [one, two, three]) await ack(item, { result: 'unknown' });
    await test.tend();
    expect(await me.read(id)).toMatchObject({ status: 'running' });
  });
});

const answer = (status: number, headers: Record<string, string>, text: string) =>
  judgeAnswer({ status, headers, body: Buffer.from(text) });

describe('a gateway that is asked too fast', () => {
  it.each([
    [429, {}, '', { result: 'deferred', code: 'status_429', slowMs: 1000 }],
    [429, { 'retry-after': '20' }, '', { result: 'deferred', waitMs: 20_000, slowMs: 20_000 }],
    [429, { 'retry-after': '99999999' }, '', { result: 'deferred', slowMs: 3_600_000 }],
    [503, { 'retry-after': '20' }, '{"effect":"none"}', { result: 'deferred', slowMs: 20_000 }],
    [503, { 'retry-after': '20' }, 'busy', { result: 'unknown' }],
    [500, { 'retry-after': '20' }, '{"effect":"none"}', { result: 'failed', retryable: true, retryAfterMs: 20_000 }],
  ])('by %s %j %s', (status, headers, text, end) => expect(answer(status, headers, text)).toMatchObject(end));

  it('is left alone for as long as it says, and no try is used', async () => {
    test.receiver.answers(() => ({ status: 429, headers: { 'retry-after': '60' } }));
    const { id: channelId } = await me.channel();
    const id = await running(channelId, contacts.slice(0, 1));
    await test.run({ workspaceId: me.workspaceId, jobId: channelId });
    expect(await me.items(id)).toMatchObject([{ status: 'pending', attempts: 0, errorCode: 'status_429' }]);
    await due();
    await test.run({ workspaceId: me.workspaceId, jobId: channelId });
    expect(test.receiver.received).toHaveLength(1);
    const { body } = await me.call('GET', `/api/channels/${channelId}/health`);
    expect(new Date(body.slowedUntil).getTime()).toBeGreaterThan(Date.now() + 30_000);
    // Neither a name nor a new pace ends that.
    await me.call('PATCH', `/api/channels/${channelId}`, { name: 'Outro' });
    await me.call('PUT', `/api/channels/${channelId}/pacing`, { perHour: 1000 });
    expect(await claim(channelId)).toEqual([]);
  });
});
