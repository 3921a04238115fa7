import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { buildApp } from '#src/app.ts';
import { tendCampaigns } from '#src/modules/campaigns/schedule.ts';
import { readSecret, signatureHeaders } from '#src/modules/webhooks/signature.ts';
import { openRuntime } from '#src/runtime.ts';
import { aCampaigner, checkCounters, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { createRandom } from '#test/fuzz/random.ts';
import { doOperations, upload } from '#test/imports.ts';

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

const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString();
const sentTo = () => test.receiver.received.map(({ body }) => String(Object(body['data']).to));
const eventsOf = async (type: string, campaignId: string): Promise<number> => {
  const { rows } = await test.systemPool.query<{ n: number }>(
    `select count(*)::int as n from outbox_event where workspace_id = $1 and type = $2 and data->>'campaignId' = $3`,
    [me.workspaceId, type, campaignId],
  );
  return rows[0]?.n ?? 0;
};

it('is one run, though two APIs and two schedulers start it at once', async () => {
  const second = await openRuntime(test.config, 'test');
  const otherApi = await buildApp(second);
  try {
    await me.contacts(somePeople(30));
    const id = await me.campaign((await me.channel()).id, { scheduledAt: inAnHour() });
    await me.start(id, 'for-later');
    await test.systemPool.query('update campaign set scheduled_at = now() where id = $1', [id]);
    const start = (api: typeof otherApi) =>
      api.inject({
        method: 'POST',
        url: `/api/campaigns/${id}/start`,
        headers: { ...me.owner.headers, 'idempotency-key': randomUUID() },
      });
    await Promise.all([
      start(test.app),
      start(otherApi),
      tendCampaigns(test.systemPool),
      tendCampaigns(second.systemPool),
      test.wakeAll(),
      start(otherApi),
      test.wakeAll(),
    ]);
    await Promise.all([test.flow(), test.flow()]);
    await test.flow();
    expect(new Set(sentTo()).size).toBe(30);
    expect(test.receiver.received).toHaveLength(30);
    expect(await eventsOf('campaign.started', id)).toBe(1);
    expect(await me.read(id)).toMatchObject({ status: 'completed', counters: { total: 30, sent: 30 } });
  } finally {
    await otherApi.close();
    await second.close();
  }
});

it('counts right through a hundred pauses, resumes and cancels of several campaigns of a channel', async () => {
  await me.contacts(somePeople(120));
  const { id: channelId } = await me.channel();
  const ids = await Promise.all(Array.from({ length: 4 }, () => me.campaign(channelId)));
  for (const id of ids) {
    await me.start(id);
    await test.run({ workspaceId: me.workspaceId, jobId: id });
  }
  const random = createRandom(42);
  const storms = { left: 100 };
  const storm = async (): Promise<void> => {
    for (; storms.left > 0; storms.left -= 1) {
      const verb = random.chance(0.05) ? 'cancel' : random.pick(['pause', 'resume'] as const);
      await me.call('POST', `/api/campaigns/${random.pick(ids)}/${verb}`);
      if (random.chance(0.1)) await test.tend();
    }
  };
  const sending = async (): Promise<void> => {
    while (storms.left > 0) await test.run({ workspaceId: me.workspaceId, jobId: channelId });
  };
  await Promise.all([storm(), storm(), sending(), sending()]);
  for (const id of ids) await me.call('POST', `/api/campaigns/${id}/resume`);
  // What was claimed when a pause came stays so until its lease ends.
  await test.systemPool.query(
    `update campaign_item set lease_expires_at = now() - interval '1 second' where status = 'claimed'`,
  );
  await test.flow();
  const items = test.receiver.received.map(({ body }) => String(Object(body['data']).itemId));
  expect(new Set(items).size).toBe(items.length);
  let sent = 0;
  for (const id of ids) {
    const { counters, status } = await me.read(id);
    expect(['completed', 'cancelled']).toContain(status);
    expect(counters.sent + counters.cancelled).toBe(120);
    sent += counters.sent;
  }
  expect(sent).toBe(items.length);
  expect(await checkCounters(test.systemPool)).toEqual([]);
}, 120_000);

it('ends at read, however often, late and out of order a gateway tells of it', async () => {
  await me.contacts(somePeople(1));
  const channel = await me.channel();
  const id = await me.campaign(channel.id);
  await me.start(id);
  await test.flow();
  const key = readSecret({ secret: channel.secret, privateKey: null });
  const [{ messageId }] = await me.items(id);
  const random = createRandom(9);
  const told = ['sent', 'delivered', 'read', 'sent', 'delivered', 'read', 'sent', 'delivered', 'read', 'failed']
    .map((status) => ({ status, place: random.int(1_000_000) }))
    .toSorted((a, b) => a.place - b.place);
  const tell = ({ status }: { status: string }) => {
    const payload = JSON.stringify({ type: 'campaign.item.status', data: { messageId, status } });
    const headers = {
      ...signatureHeaders([key], randomUUID(), Math.floor(Date.now() / 1000), payload),
      'content-type': 'application/json',
    };
    return test.app.inject({ method: 'POST', url: `/api/delivery/callbacks/${channel.id}`, headers, payload });
  };
  for (const one of told) expect((await tell(one)).statusCode).toBe(200);
  await Promise.all(told.map(tell));
  expect(await me.items(id)).toMatchObject([
    { status: 'read', sentAt: expect.any(String), deliveredAt: expect.any(String), readAt: expect.any(String) },
  ]);
  expect(await me.read(id)).toMatchObject({ counters: { read: 1, sent: 0, delivered: 0, failed: 0 } });
  expect(await checkCounters(test.systemPool)).toEqual([]);
});

it('is one send for both forms of a Brazilian number in one CSV', async () => {
  const file = 'Nome;Celular\nBia;(11) 98765-4321\nBia de novo;11 8765-4321\nCaio;+55 11 91234-5678\n';
  const uploaded = await upload(test, me.owner, file);
  expect(uploaded.statusCode).toBe(201);
  await me.call('POST', `/api/imports/${uploaded.json().id}/start`, { mode: 'merge' });
  await doOperations(test);
  const id = await me.campaign((await me.channel()).id);
  await me.start(id);
  await test.flow();
  expect(sentTo()).toHaveLength(2);
  expect(new Set(sentTo())).toEqual(new Set(['+5511912345678', '+5511987654321']));
});
