import { randomInt, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Ack, ClaimedItem } from '#src/modules/campaigns/items.query.ts';
import { createGateway, type Carrier } from '#src/modules/campaigns/carrier.ts';
import { sendChannel } from '#src/modules/campaigns/send.ts';
import { readSecret } from '#src/modules/webhooks/signature.ts';
import { aCampaigner, checkCounters, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { createRandom } from '#test/fuzz/random.ts';

let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
let channelId: string;
beforeAll(async () => {
  test = await openCampaignTest();
});
afterAll(() => test.close());

/** A campaign that runs, whose channel nobody sends for but the test. */
async function running(people: number, channel: object = {}): Promise<string> {
  me = await aCampaigner(test);
  await me.contacts(somePeople(people));
  channelId = (await me.channel(channel)).id;
  const id = await me.campaign(channelId);
  await me.start(id);
  await test.run({ workspaceId: me.workspaceId, jobId: id });
  return id;
}
const claim = async (max = 1) =>
  (await test.items.claim(me.workspaceId, { channelId, max, holder: 'test', horizonMs: 0 })).items;
const begin = async (items: readonly ClaimedItem[]) => (await test.items.begin(me.workspaceId, items)).size;
const ackOf = ({ itemId, attemptId, fence }: ClaimedItem, how: Partial<Ack> = {}): Ack => ({
  itemId,
  attemptId,
  fence,
  result: 'sent',
  retryable: false,
  isChannels: false,
  code: null,
  messageId: null,
  retryAfterMs: null,
  ...how,
});
const ack = async (item: ClaimedItem, how: Partial<Ack> = {}) => {
  const [acked] = await test.items.ack(me.workspaceId, [ackOf(item, how)]);
  return `${acked?.verdict} ${acked?.status}`;
};
const one = async (): Promise<ClaimedItem> => {
  const [item] = await claim();
  if (!item) throw new Error('Nothing was claimed');
  return item;
};
const expire = () =>
  test.systemPool.query(
    `update campaign_item set lease_expires_at = now() - interval '1 second' where lease_expires_at is not null`,
  );
const due = () => test.systemPool.query(`update campaign_item set next_attempt_at = now() where status = 'pending'`);
const statusOf = async (itemId: string): Promise<string> => {
  const { rows } = await test.systemPool.query<{ status: string }>('select status from campaign_item where id = $1', [
    itemId,
  ]);
  return rows[0]?.status ?? '';
};

describe('an item', () => {
  let id: string;
  beforeEach(async () => {
    id = await running(3);
  });

  it('is begun once, by who claimed it, while the claim lasts and the campaign runs', async () => {
    const item = await one();
    expect(await begin([{ ...item, fence: item.fence + 1 }])).toBe(0);
    expect(await begin([{ ...item, attemptId: randomUUID() }])).toBe(0);
    await me.call('POST', `/api/campaigns/${id}/pause`);
    expect(await begin([item])).toBe(0);
    expect(await claim(3)).toEqual([]);
    await me.call('POST', `/api/campaigns/${id}/resume`);
    await me.call('POST', `/api/channels/${channelId}/pause`);
    expect(await begin([item])).toBe(0);
    expect(await claim(3)).toEqual([]);
    await me.call('POST', `/api/channels/${channelId}/resume`);
    expect(await begin([item])).toBe(1);
    expect(await begin([item])).toBe(0);
    const second = await one();
    await expire();
    expect(await begin([second])).toBe(0);
    const stranger = await aCampaigner(test);
    expect((await test.items.begin(stranger.workspaceId, [second])).size).toBe(0);
    expect(await test.items.ack(stranger.workspaceId, [ackOf(second)])).toEqual([]);
  });

  it('goes back when its claim ends, and is unknown when what was begun does; nothing begun is claimed again', async () => {
    const [claimed, begun] = await claim(2);
    if (!claimed || !begun) throw new Error('Two were there');
    await begin([begun]);
    await expire();
    await test.tend();
    expect([await statusOf(claimed.itemId), await statusOf(begun.itemId)]).toEqual(['pending', 'unknown']);
    const again = await claim(3);
    expect(again.map(({ itemId }) => itemId)).not.toContain(begun.itemId);
    const next = again.find(({ itemId }) => itemId === claimed.itemId);
    expect(next?.fence).toBe(claimed.fence + 1);
    expect(next?.attemptId).not.toBe(claimed.attemptId);
    expect(await ack(claimed)).toBe('refused claimed');
    expect(await ack(begun)).toBe('accepted sent');
    expect(await ack(begun)).toBe('repeated sent');
    expect(await ack(begun, { result: 'unknown' })).toBe('repeated sent');
    expect(await ack(begun, { result: 'failed' })).toBe('repeated sent');
  });

  it('is tried three times where nothing happened, each later than the one before', async () => {
    const waits: number[] = [];
    let item = await one();
    for (let tries = 1; ; tries += 1) {
      await begin([item]);
      const said = await ack(item, { result: 'failed', retryable: true, code: 'busy' });
      expect(await ack(item, { result: 'failed', retryable: true, code: 'busy' })).toMatch(/^repeated/);
      if (tries === 3) {
        expect(said).toBe('accepted failed');
        break;
      }
      expect(said).toBe('accepted pending');
      const { rows } = await test.systemPool.query<{ wait: number }>(
        'select extract(epoch from next_attempt_at - now())::float as wait from campaign_item where id = $1',
        [item.itemId],
      );
      waits.push(Math.round(rows[0]?.wait ?? 0));
      await test.systemPool.query(`update campaign_item set next_attempt_at = now() - interval '1 day' where id = $1`, [
        item.itemId,
      ]);
      item = await one();
    }
    expect(waits[0]).toBeGreaterThanOrEqual(46);
    expect(waits[0]).toBeLessThanOrEqual(73);
    expect(waits[1]).toBeGreaterThanOrEqual(190);
  });

  it('that arrived after all is not sent again, though somebody had asked for it', async () => {
    const item = await one();
    await begin([item]);
    await expire();
    await test.tend();
    await me.call('POST', `/api/campaigns/${id}/items/${item.itemId}/resolve`, { as: 'resend' });
    await due();
    const again = (await claim(3)).find(({ itemId }) => itemId === item.itemId);
    if (!again) throw new Error('It waits to be sent again');
    expect(await ack(item)).toBe('accepted sent');
    expect(await begin([again])).toBe(0);
  });

  it('only rises, in whatever order a channel tells of it', async () => {
    const item = await one();
    await begin([item]);
    await ack(item, { messageId: 'wamid.1' });
    const said = ['sent', 'delivered', 'read'] as const;
    const random = createRandom(7);
    for (let at = 0; at < 9; at += 1)
      await test.items.status(me.workspaceId, channelId, [
        { itemId: null, messageId: 'wamid.1', status: random.pick(said) ?? 'sent' },
      ]);
    await test.items.status(me.workspaceId, channelId, [{ itemId: item.itemId, messageId: null, status: 'read' }]);
    for (const status of [...said, 'failed'] as const)
      await test.items.status(me.workspaceId, channelId, [{ itemId: item.itemId, messageId: null, status }]);
    expect(await statusOf(item.itemId)).toBe('read');
    expect(await checkCounters(test.systemPool)).toEqual([]);
  });
});

describe('a channel', () => {
  it('keeps its distance, its hour and its day', async () => {
    await running(20, { pacing: { minDelayMs: 50, maxDelayMs: 60, perHour: 3, perDay: 5 } });
    const first = await claim(5);
    expect(first).toHaveLength(1);
    expect(await claim(5)).toHaveLength(0);
    await begin(first);
    const taken = [...first];
    for (let tries = 0; tries < 40 && taken.length < 3; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 70));
      const next = await claim(5);
      await begin(next);
      taken.push(...next);
    }
    expect(taken).toHaveLength(3);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const waiting = await test.items.claim(me.workspaceId, { channelId, max: 5, holder: 'test', horizonMs: 0 });
    expect(waiting.items).toEqual([]);
    expect(new Date(waiting.againAt ?? 0).getTime()).toBeGreaterThan(Date.now() + 3_000_000);
    await me.call('PUT', `/api/channels/${channelId}/pacing`, {
      minDelayMs: 0,
      maxDelayMs: 0,
      perHour: null,
      warmUp: true,
    });
    await test.systemPool.query(`update channel_flow set not_before = '-infinity' where channel_id = $1`, [channelId]);
    expect(await claim(5)).toHaveLength(2);
  });

  it('sends within its windows, and warms up', async () => {
    const day = ((new Date().getUTCDay() + 6) % 7) + 1;
    const closed = { windows: [{ days: [((day + 2) % 7) + 1], from: '08:00', to: '20:00' }] };
    await running(200, { timeZone: 'UTC', pacing: closed });
    const waiting = await test.items.claim(me.workspaceId, { channelId, max: 5, holder: 'test', horizonMs: 0 });
    expect(waiting.items).toEqual([]);
    const opens = new Date(waiting.againAt ?? 0);
    expect([opens.getUTCHours(), opens.getUTCMinutes()]).toEqual([8, 0]);
    expect(opens.getTime()).toBeGreaterThan(Date.now() + 86_400_000);
    await me.call('PUT', `/api/channels/${channelId}/pacing`, { windows: [], warmUp: true });
    expect(await claim(200)).toHaveLength(50);
  });

  it('writes to nobody more often than it may, in whichever campaign', async () => {
    const id = await running(1, { pacing: { perContactDay: 1 } });
    const item = await one();
    const other = await me.campaign(channelId);
    await me.start(other);
    await test.run({ workspaceId: me.workspaceId, jobId: other });
    expect(await claim(5)).toEqual([]);
    await begin([item]);
    await ack(item);
    await due();
    expect(await claim(5)).toEqual([]);
    expect(await me.items(other)).toMatchObject([{ status: 'skipped', skipReason: 'frequency_cap' }]);
    await test.tend();
    expect(await me.read(id)).toMatchObject({ status: 'completed' });
    expect(await me.read(other)).toMatchObject({ status: 'completed', counters: { skipped: 1 } });
  });
});

const FINAL = new Set(['sent', 'delivered', 'read', 'failed', 'skipped', 'cancelled', 'unknown']);
const RANK: Record<string, number> = { sent: 1, delivered: 2, read: 3 };

it('holds in any order of claims, ends, late ends, statuses, pauses and lost leases: each is begun once for each time nothing had happened', async () => {
  const seed = randomInt(1_000_000);
  const random = createRandom(seed);
  const id = await running(60);
  const begun: ClaimedItem[] = [];
  const claimed: ClaimedItem[] = [];
  /** What the world saw: begun, and not known to have had no effect. */
  const effects = new Map<string, number>();
  const ranks = new Map<string, number>();
  const acts = {
    async claim() {
      await due();
      claimed.push(...(await claim(random.int(6) + 1)));
    },
    async begin() {
      const some = claimed.splice(0, random.int(6) + 1);
      const ok = await test.items.begin(me.workspaceId, some);
      // An item may be among them twice, by a claim that was lost and by the next: it is the newest that was begun.
      const newest = new Map(some.map((item) => [item.itemId, item]));
      for (const item of newest.values()) {
        if (!ok.has(item.itemId)) continue;
        begun.push(item);
        effects.set(item.itemId, (effects.get(item.itemId) ?? 0) + 1);
      }
    },
    async ack() {
      const item = random.pick(begun);
      if (!item) return;
      const result = random.pick(['sent', 'sent', 'failed', 'unknown'] as const) ?? 'sent';
      const before = await statusOf(item.itemId);
      const said = await ack(item, { result, retryable: random.chance(0.5), messageId: `m-${item.itemId}` });
      if (result === 'failed' && said.startsWith('accepted') && before !== 'unknown')
        effects.set(item.itemId, (effects.get(item.itemId) ?? 0) - 1);
    },
    async status() {
      const item = random.pick(begun);
      const status = random.pick(['sent', 'delivered', 'read'] as const);
      if (item && status && (await statusOf(item.itemId)) !== 'pending')
        await test.items.status(me.workspaceId, channelId, [{ itemId: null, messageId: `m-${item.itemId}`, status }]);
    },
    async release() {
      await test.items.release(me.workspaceId, claimed.splice(0, 1));
    },
    async lose() {
      if (!random.chance(0.3)) return;
      await expire();
      await test.tend();
    },
    async pause() {
      await Promise.all(['pause', 'resume', 'resume'].map((verb) => me.call('POST', `/api/campaigns/${id}/${verb}`)));
      await me.call('POST', `/api/campaigns/${id}/resume`);
    },
  };
  for (let step = 0; step < 250; step += 1) {
    const act = random.pick(Object.values(acts));
    await act?.();
    for (const { itemId } of begun.slice(-10)) {
      const rank = RANK[await statusOf(itemId)] ?? 0;
      expect(rank, `seed ${seed}: ${itemId} fell`).toBeGreaterThanOrEqual(ranks.get(itemId) ?? 0);
      ranks.set(itemId, rank);
    }
    if (step % 50 === 0) expect(await checkCounters(test.systemPool), `seed ${seed}`).toEqual([]);
  }
  await expire();
  await test.tend();
  for (const [itemId, times] of effects) expect(times, `seed ${seed}: ${itemId}`).toBeLessThanOrEqual(1);
  expect(await checkCounters(test.systemPool), `seed ${seed}`).toEqual([]);
}, 120_000);

it('that a pause overtook between its claim and its begin goes back at once, unsent', async () => {
  const id = await running(3);
  const { secret } = await me.channel();
  const gateway = createGateway(test.rt.egress, {
    url: test.receiver.url,
    key: readSecret({ secret, privateKey: null }),
  });
  const carrier: Carrier = {
    ...gateway,
    async sieve(claimed) {
      await me.call('POST', `/api/campaigns/${id}/pause`);
      return gateway.sieve(claimed);
    },
  };
  await sendChannel(test.worker, { workspaceId: me.workspaceId, id: channelId, carrier });
  expect(await me.read(id)).toMatchObject({ status: 'paused', counters: { pending: 3, claimed: 0 } });
  expect(test.receiver.received).toEqual([]);
  await me.call('POST', `/api/campaigns/${id}/resume`);
  test.receiver.answers(() => ({ text: '{"messageId":"m"}' }));
  await test.flow();
  expect(await me.read(id)).toMatchObject({ status: 'completed', counters: { sent: 3 } });
});

it('counts right through a storm of pauses, resumes and sends, and one cancel', async () => {
  const id = await running(300);
  let sent = 0;
  test.receiver.answers(() => ({ text: `{"messageId":"${(sent += 1)}"}`, delayMs: 2 }));
  const over = new AbortController();
  const storm = async () => {
    for (let at = 0; at < 100; at += 1) {
      await me.call('POST', `/api/campaigns/${id}/${at % 2 === 0 ? 'pause' : 'resume'}`);
      if (at % 20 === 0) await test.tend();
    }
    over.abort();
  };
  const sending = async () => {
    while (!over.signal.aborted) await test.run({ workspaceId: me.workspaceId, jobId: channelId });
  };
  await Promise.all([storm(), sending(), sending()]);
  await me.call('POST', `/api/campaigns/${id}/cancel`);
  await test.tend();
  const items = test.receiver.received.map(({ body }) => Object(body['data']).itemId);
  expect(items.length).toBeGreaterThan(10);
  expect(new Set(items).size).toBe(items.length);
  const { counters, status } = await me.read(id);
  expect(counters.sent).toBe(items.length);
  expect(counters.sent + counters.cancelled).toBe(300);
  expect(['cancelled', 'completed']).toContain(status);
  expect(Object.entries(counters).filter(([name, n]) => n !== 0 && name !== 'total' && !FINAL.has(name))).toEqual([]);
  expect(await checkCounters(test.systemPool)).toEqual([]);
}, 120_000);
