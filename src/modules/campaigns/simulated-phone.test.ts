import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPhone, type PhoneFate } from '../../../simulator/phone.ts';
import { aCampaigner, checkCounters, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { createRandom } from '#test/fuzz/random.ts';

const PEOPLE = 60;
const PACING = {
  minDelayMs: 0,
  maxDelayMs: 0,
  pauseEvery: null,
  windows: [],
  perContactDay: null,
  perContactWeek: null,
};

let test: CampaignTest;
let url: string;
beforeAll(async () => {
  test = await openCampaignTest({ CAMPAIGN_LEASE_MS: '2000' });
  url = await test.app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(() => test.close());

it('two phones that die at every step of a message write to nobody twice and lose nobody', async () => {
  const me = await aCampaigner(test);
  await me.contacts(somePeople(PEOPLE));
  const channel = {
    name: 'Celular',
    kind: 'extension',
    pacing: { ...PACING, perHour: null, perDay: null, warmUp: false },
  };
  const channelId = (await me.call('POST', '/api/channels', channel)).body.id;
  const id = await me.campaign(channelId);
  await me.start(id);
  await test.run({ workspaceId: me.workspaceId, jobId: id });
  const random = createRandom(20_261_126);
  const fateOf = (): PhoneFate => {
    for (const fate of ['refused', 'busy', 'dies_claimed', 'dies_begun', 'dies_sent'] as const)
      if (random.chance(0.06)) return fate;
    return 'sent';
  };
  const options = { url, token: me.owner.token, workspaceId: me.workspaceId, channelId, fateOf };
  const phones = [startPhone(options), startPhone(options)];
  const ended = async (): Promise<string> => {
    await test.tend();
    await test.systemPool.query(
      `update campaign_item set next_attempt_at = now() where status = 'pending' and next_attempt_at > now()`,
    );
    const { status } = await me.read(id);
    if (status === 'paused') await me.call('POST', `/api/campaigns/${id}/resume`);
    return status;
  };
  await expect.poll(ended, { interval: 200, timeout: 120_000 }).toMatch(/^completed/);
  await Promise.all(phones.map((phone) => phone.stop()));
  const journal = phones.flatMap((phone) => phone.journal);
  const sends = Map.groupBy(
    journal.filter(({ effect }) => effect),
    ({ itemId }) => itemId,
  );
  const { rows } = await test.systemPool.query<{ id: string; status: string }>(
    'select id, status from campaign_item where campaign_id = $1',
    [id],
  );
  expect(rows).toHaveLength(PEOPLE);
  const told = rows.map((item) => [item.status, sends.get(item.id)?.length ?? 0]);
  // What is unknown may have gone out, once.
  const right = { sent: [1], failed: [0], unknown: [0, 1] } as Record<string, number[]>;
  expect(told.filter(([status, count]) => !right[String(status)]?.includes(Number(count)))).toEqual([]);
  for (const fate of ['sent', 'refused', 'busy', 'dies_begun', 'dies_sent'])
    expect([fate, journal.some((one) => one.fate === fate)]).toEqual([fate, true]);
  expect(await checkCounters(test.systemPool)).toEqual([]);
});
