import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { aCampaigner, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';

const FAST = { minDelayMs: 0, maxDelayMs: 0, pauseEvery: null, windows: [], perContactDay: null, perContactWeek: null };

interface Given {
  itemId: string;
  attemptId: string;
  fence: number;
}

let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
let colleague: TestUser;
let asColleague: Record<string, string>;
let contacts: string[];
let channelId: string;
let campaignId: string;
beforeAll(async () => {
  test = await openCampaignTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  me = await aCampaigner(test);
  colleague = await aUser(test.rt);
  await aMember(test.rt, me.workspaceId, colleague.user.id, 'member');
  asColleague = { ...colleague.headers, 'x-workspace-id': me.workspaceId };
  contacts = await me.contacts(somePeople(5));
  channelId = (await me.call('POST', '/api/channels', { name: 'Celular', kind: 'extension', pacing: FAST })).body.id;
  campaignId = await me.campaign(channelId);
  await me.start(campaignId);
  await test.run({ workspaceId: me.workspaceId, jobId: campaignId });
});

const claim = async (sessionId: string, max = 1, headers = {}): Promise<Given[]> =>
  (await me.call('POST', '/api/delivery/claim', { channelId, sessionId, max }, headers)).body.items;
const act = ({ itemId, attemptId, fence }: Given, verb: string, more: object = {}, headers = {}) =>
  me.call('POST', `/api/delivery/items/${itemId}/${verb}`, { attemptId, fence, ...more }, headers);
const first = ([item]: Given[]): Given => {
  if (!item) throw new Error('Nothing was claimed');
  return item;
};
const silence = () =>
  test.systemPool.query(`update channel_flow set session_until = now() - interval '1 second' where channel_id = $1`, [
    channelId,
  ]);
const nearly = () =>
  test.systemPool.query(
    `update channel_flow set session_until = clock_timestamp() + interval '1 second' where channel_id = $1`,
    [channelId],
  );
const leftMs = async (): Promise<number> => {
  const { rows } = await test.systemPool.query<{ ms: number }>(
    'select (extract(epoch from session_until - clock_timestamp()) * 1000)::float as ms from channel_flow where channel_id = $1',
    [channelId],
  );
  return rows[0]?.ms ?? 0;
};
const failed = { outcome: 'failed', effect: 'none', kind: 'permanent' };

it('what a gateway sends is no phone’s to end', async () => {
  const channel = await me.channel();
  const id = await me.campaign(channel.id);
  await me.start(id);
  await test.run({ workspaceId: me.workspaceId, jobId: id });
  const asked = { channelId: channel.id, max: 1, holder: 'worker-1', horizonMs: 0 };
  const item = first((await test.items.claim(me.workspaceId, asked)).items);
  for (const verb of ['begin', 'release', 'heartbeat']) expect(await act(item, verb)).toMatchObject({ status: 409 });
  await test.items.begin(me.workspaceId, [item]);
  expect(await act(item, 'ack', failed)).toMatchObject({ status: 404 });
  expect(await me.read(id)).toMatchObject({ counters: { dispatching: 1 } });
});

it('an attempt is its user’s alone, also where another knows all of it; and its ack may come after its session', async () => {
  const session = randomUUID();
  const [one, two] = await claim(session, 2);
  if (!one || !two) throw new Error('Two were there');
  for (const verb of ['begin', 'release', 'heartbeat'])
    expect(await act(one, verb, {}, asColleague)).toMatchObject({
      status: 409,
      body: { code: expect.stringMatching(/over|begun/) },
    });
  expect(await act(one, 'begin')).toMatchObject({ status: 200 });
  expect(await act(one, 'ack', failed, asColleague)).toMatchObject({ status: 404 });
  await silence();
  // The same session id is another's session.
  expect(await claim(session, 1, asColleague)).toHaveLength(1);
  expect(await act(one, 'ack', { outcome: 'sent' })).toMatchObject({ status: 200, body: { status: 'sent' } });
  const { rows } = await test.systemPool.query<{ user: string }>(
    'select session_user_id as user from channel_flow where channel_id = $1',
    [channelId],
  );
  expect(rows).toEqual([{ user: colleague.user.id }]);
  const log = (await me.call('GET', `/api/campaigns/${campaignId}/items/${one.itemId}/attempts`)).text;
  expect(log).toContain(me.owner.user.id);
  expect(log).not.toContain(session);
});

it('two with one session id are two, and one of them stands by', async () => {
  const session = randomUUID();
  expect(await claim(session)).toHaveLength(1);
  const body = { channelId, sessionId: session, max: 1 };
  expect(await me.call('POST', '/api/delivery/claim', body, asColleague)).toMatchObject({
    status: 409,
    body: { code: 'channel_standby' },
  });
});

it('who has lost the number begins nothing any more', async () => {
  const [mine, theirs] = [randomUUID(), randomUUID()];
  const item = first(await claim(mine));
  await silence();
  const other = first(await claim(theirs));
  expect(await act(other, 'begin')).toMatchObject({ status: 200 });
  expect(await act(item, 'begin')).toMatchObject({ status: 409, body: { code: 'channel_standby' } });
  expect(await me.read(campaignId)).toMatchObject({ counters: { dispatching: 1, claimed: 1 } });
});

it('begin, heartbeat and ack keep the number as a claim does', async () => {
  const session = randomUUID();
  const item = first(await claim(session));
  for (const [verb, more] of [
    ['begin', {}],
    ['heartbeat', {}],
    ['ack', { outcome: 'sent' }],
  ] as const) {
    await nearly();
    expect(await act(item, verb, more)).toMatchObject({ status: 200 });
    expect(await leftMs()).toBeGreaterThan(2000);
  }
});

it('what is claimed and never begun is not kept for ever', async () => {
  const item = first(await claim(randomUUID()));
  const past = (ms: number) =>
    test.systemPool.query(
      `update campaign_item set next_attempt_at = next_attempt_at - $2 * interval '1 millisecond',
        lease_expires_at = lease_expires_at - $2 * interval '1 millisecond' where id = $1`,
      [item.itemId, ms],
    );
  let kept = 0;
  for (; kept < 10; kept += 1) {
    await past(100_000);
    if ((await act(item, 'heartbeat')).status !== 200) break;
  }
  expect(kept).toBeGreaterThan(0);
  expect(kept).toBeLessThan(4);
});

it('begin looks once more at who must not be written to, and at hours', async () => {
  const items = await claim(randomUUID(), 4);
  const [listed, forgotten, deleted, late] = items;
  if (!listed || !forgotten || !deleted || !late) throw new Error('Four were there');
  await me.call('POST', '/api/suppressions', { phone: '+5511980000000' });
  await me.call('POST', `/api/contacts/${contacts[1]}/erasure`);
  await me.call('DELETE', `/api/contacts/${contacts[2]}`);
  for (const item of [listed, forgotten, deleted]) expect(await act(item, 'begin')).toMatchObject({ status: 409 });
  const reasons = new Map((await me.items(campaignId)).map((item: Record<string, unknown>) => [item['id'], item]));
  expect(reasons.get(listed.itemId)).toMatchObject({ status: 'skipped', skipReason: 'suppressed' });
  expect(reasons.get(forgotten.itemId)).toMatchObject({ status: 'skipped' });
  expect(reasons.get(deleted.itemId)).toMatchObject({ status: 'skipped', skipReason: 'contact_gone' });
  const day = ((new Date().getUTCDay() + 6) % 7) + 1;
  await test.systemPool.query('update campaign set windows = $2::jsonb where id = $1', [
    campaignId,
    JSON.stringify([{ days: [((day + 2) % 7) + 1], from: '00:00', to: '00:01' }]),
  ]);
  expect(await act(late, 'begin')).toMatchObject({ status: 409, body: { code: 'not_begun' } });
  expect(await me.read(campaignId)).toMatchObject({ counters: { claimed: 0, pending: 2, skipped: 3 } });
});
