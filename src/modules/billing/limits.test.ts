import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { contactRoom } from '#src/modules/billing/plans.query.ts';
import { identifyContacts } from '#src/modules/contacts/identify.query.ts';
import type { PlanOverride } from '#src/modules/billing/plans.ts';
import { aCampaigner, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { onPlan } from '#test/factories.ts';
import { doOperations, manyPeople, upload } from '#test/imports.ts';

let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
beforeAll(async () => {
  test = await openCampaignTest();
  let sent = 0;
  test.receiver.answers(() => ({ text: JSON.stringify({ messageId: `m${(sent += 1)}` }) }));
});
afterAll(() => test.close());
beforeEach(async () => {
  me = await aCampaigner(test);
});

const query = async (sql: string, ...values: unknown[]) => (await test.systemPool.query(sql, values)).rows;
const limitTo = (limits: PlanOverride['limits'], features: PlanOverride['features'] = {}) =>
  query('update workspace set plan_override = $2 where id = $1', me.workspaceId, JSON.stringify({ limits, features }));
const send = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, payload?: object, headers = {}) =>
  test.app.inject({ method, url, headers: { ...me.owner.headers, ...headers }, ...(payload && { payload }) });
const codes = (answers: Awaited<ReturnType<typeof send>>[]) => {
  const counts: Record<string, number> = {};
  for (const answer of answers) {
    const code = answer.statusCode < 300 ? 'done' : `${answer.statusCode} ${answer.json().code}`;
    counts[code] = (counts[code] ?? 0) + 1;
  }
  return counts;
};
/** What counters say there is, and what there is. */
async function counted(): Promise<[number, number]> {
  const { limits } = (await send('GET', '/api/license/usage')).json();
  const [row] = await query(
    'select count(*)::int as n from contact where workspace_id = $1 and deleted_at is null',
    me.workspaceId,
  );
  return [limits.contacts.used, row?.n];
}
const many = (url: string, body: object) =>
  Promise.all(Array.from({ length: 50 }, (_, at) => send('POST', url, { ...body, name: `n${at}` })));
const item = (at: number) => ({
  clientId: `m${at}`,
  chat: { waId: `55119${70_000_000 + at}@c.us` },
  direction: 'inbound',
  body: 'Oi',
  sentAt: new Date().toISOString(),
});
const phone = (at: number) => `+55119${70_000_000 + at}`;

describe('contacts', () => {
  it('are made by exactly one of a hundred who have room for one at once', async () => {
    await limitTo({ contacts: 4 });
    await me.contacts(somePeople(3));
    const made = await Promise.all(
      Array.from({ length: 100 }, (_, at) => send('POST', '/api/contacts', { name: `Bia ${at}`, phone: phone(at) })),
    );
    expect(codes(made)).toEqual({ done: 1, '403 plan_limit': 99 });
    expect(await counted()).toEqual([4, 4]);
    expect(made.find(({ statusCode }) => statusCode === 403)?.json().detail).toContain(
      'room for 4 contacts; 4 are taken',
    );
  }, 120_000);

  it('are not one too many for who had waited behind many others', async () => {
    await limitTo({ contacts: 1500 });
    const [waiting] = await inWorkspaceTx(test.rt.orm, { workspaceId: me.workspaceId }, async (em) => {
      expect(await contactRoom(em, 1500)).toBe(1500);
      const others = Array.from({ length: 3 }, (_, at) =>
        send('POST', '/api/contacts', { name: `Bia ${at}`, phone: phone(at) }),
      );
      await vi.waitFor(async () => {
        const locks = await query(`select from pg_locks where locktype = 'advisory' and not granted`);
        expect(locks.length).toBeGreaterThanOrEqual(3);
      }, 10_000);
      await em.execute(
        `insert into contact (workspace_id, id, name) select current_workspace(), uuidv7(), 'x' from generate_series(1, 1500)`,
      );
      return [Promise.all(others)];
    });
    expect(codes((await waiting) ?? [])).toEqual({ '403 plan_limit': 3 });
    expect(await counted()).toEqual([1500, 1500]);
  });

  it('in the bin take no room, and come back only where there is some', async () => {
    await limitTo({ contacts: 2 });
    const [first = ''] = await me.contacts(somePeople(2));
    expect((await send('DELETE', `/api/contacts/${first}`)).statusCode).toBe(200);
    expect(await counted()).toEqual([1, 1]);
    expect((await send('POST', '/api/contacts', { name: 'Caio', phone: phone(1) })).statusCode).toBe(201);
    const again = await send('POST', `/api/contacts/${first}/restore`);
    expect(again.json()).toMatchObject({ status: 403, code: 'plan_limit' });
    const taken = await send('POST', '/api/contacts', { name: 'Caio', phone: phone(1) });
    expect(taken.json()).toMatchObject({ status: 409, code: 'phone_taken' });
    await limitTo({ contacts: 3 });
    expect((await send('POST', `/api/contacts/${first}/restore`)).statusCode).toBe(200);
    expect(await counted()).toEqual([3, 3]);
  });

  it('that were merged take no room, and are parted only where there is some', async () => {
    await limitTo({ contacts: 2 });
    const [winnerId = '', loserId = ''] = await me.contacts(somePeople(2));
    const merged = await send('POST', '/api/contacts/merge', { winnerId, loserIds: [loserId] });
    expect(merged.statusCode).toBe(200);
    expect(await counted()).toEqual([1, 1]);
    await limitTo({ contacts: 1 });
    const undo = `/api/contacts/merges/${merged.json().id}/undo`;
    expect((await send('POST', undo)).json()).toMatchObject({ status: 403, code: 'plan_limit' });
    await limitTo({ contacts: 2 });
    expect((await send('POST', undo)).statusCode).toBe(200);
    expect(await counted()).toEqual([2, 2]);
  });

  it('of an import are taken in as far as there is room; the other rows are refused, and known people updated', async () => {
    await limitTo({ contacts: 4 });
    const { id } = (await upload(test, me.owner, manyPeople(10))).json();
    const start = (more: object) => send('POST', `/api/imports/${id}/start`, { mode: 'update', ...more });
    for (const more of [{ dryRun: true }, {}]) {
      await start(more);
      await doOperations(test);
      const { status, counts } = (await send('GET', `/api/imports/${id}`)).json();
      expect({ status, counts }).toMatchObject({ status: 'completed', counts: { created: 4, invalid: 6 } });
    }
    const { data } = (await send('GET', `/api/imports/${id}/rows?status=invalid`)).json();
    expect(new Set(data.map(({ reason }: { reason: string }) => reason))).toEqual(new Set(['plan_limit']));
    expect(await counted()).toEqual([4, 4]);
  });

  it('of messages are made as far as there is room; what a channel itself brings is taken in', async () => {
    await limitTo({ contacts: 1 });
    const payload = { channel: { externalId: '5511900000000' }, messages: [item(1), item(2), item(1)] };
    const synced = (await send('POST', '/api/messages/sync', payload)).json();
    expect(synced.results).toMatchObject([
      { outcome: 'created' },
      { outcome: 'invalid', why: { code: 'plan_limit' } },
      { outcome: 'known' },
    ]);
    const more = await send('POST', '/api/messages/sync', { ...payload, messages: [{ ...item(1), clientId: 'm9' }] });
    expect(more.json().results).toMatchObject([{ outcome: 'created' }]);
    const known = [{ phone: phone(7) }];
    const listKey = { appSecret: test.rt.config.APP_SECRET, workspaceId: me.workspaceId };
    const [brought] = await inWorkspaceTx(test.rt.orm, { workspaceId: me.workspaceId }, (em) =>
      identifyContacts(em, known, { actorId: null, source: 'message', listKey, isUnlimited: true }),
    );
    expect(brought).toMatchObject({ isNew: true, contactId: expect.any(String) });
    expect(await counted()).toEqual([2, 2]);
  });
});

describe('messages of a day', () => {
  it('are sent up to the last; the campaign waits with its reason, loses nobody, and goes on with another plan', async () => {
    await me.contacts(somePeople(12));
    const { id: channelId } = await me.channel({ pacing: { minDelayMs: 0, maxDelayMs: 0 } });
    const id = await me.campaign(channelId);
    await limitTo({ messagesPerDay: 5 });
    await me.start(id);
    await test.flow();
    expect(test.receiver.received).toHaveLength(5);
    const waiting = (await send('GET', `/api/campaigns/${id}`)).json();
    expect(waiting).toMatchObject({ status: 'running', waitReason: 'plan_limit', counters: { sent: 5, pending: 7 } });
    expect((await send('GET', '/api/license/usage')).json().limits.messagesPerDay).toMatchObject({ used: 5, limit: 5 });
    const tested = await send('POST', `/api/campaigns/${id}/test`, { to: ['+5511987654321'] });
    expect(tested.json()).toMatchObject({ status: 403, code: 'plan_limit' });
    await limitTo({ messagesPerDay: 100 });
    await query(`update channel_flow set blocked_until = now() where workspace_id = $1`, me.workspaceId);
    await test.flow();
    expect((await send('GET', `/api/campaigns/${id}`)).json()).toMatchObject({
      status: 'completed',
      waitReason: null,
      counters: { sent: 12 },
    });
  });

  it('are none more for another time zone, or for a channel that is gone', async () => {
    const { id: channelId } = await me.channel();
    await limitTo({ messagesPerDay: 3, channels: 2 });
    const id = await me.campaign(channelId);
    const tell = (to: string[]) => send('POST', `/api/campaigns/${id}/test`, { to });
    expect((await tell(['+5511987654321', '+5511987654322', '+5511987654323'])).statusCode).toBe(200);
    // One in which it was midnight a moment ago.
    await query(
      `update channel_counter set bucket = bucket - interval '3 hours' where workspace_id = $1`,
      me.workspaceId,
    );
    const offset = (24 - new Date().getUTCHours()) % 24;
    const timeZone = offset > 12 ? `Etc/GMT+${24 - offset}` : offset === 0 ? 'UTC' : `Etc/GMT-${offset}`;
    expect((await send('PATCH', `/api/workspaces/${me.workspaceId}`, { timeZone })).statusCode).toBe(200);
    expect((await tell(['+5511987654324'])).json()).toMatchObject({ status: 403, code: 'plan_limit' });
    expect((await send('DELETE', `/api/campaigns/${id}`)).statusCode).toBe(200);
    const gone = await send('DELETE', `/api/channels/${channelId}`);
    expect(gone.json()).toMatchObject({ status: 409, code: 'channel_in_use' });
  });

  it('that a phone may not begin go back, for another day', async () => {
    await me.contacts(somePeople(2));
    const free = { pauseEvery: null, windows: [], perContactDay: null, perContactWeek: null };
    const channel = { name: 'Celular', kind: 'extension', pacing: { minDelayMs: 0, maxDelayMs: 0, ...free } };
    const channelId = (await send('POST', '/api/channels', channel)).json().id;
    const id = await me.campaign(channelId);
    await me.start(id);
    await test.run({ workspaceId: me.workspaceId, jobId: id });
    const { items } = (
      await send('POST', '/api/delivery/claim', { channelId, sessionId: randomUUID(), max: 2 })
    ).json();
    expect(items).toHaveLength(2);
    await limitTo({ messagesPerDay: 1 });
    const begun: number[] = [];
    for (const { itemId, attemptId, fence } of items)
      begun.push((await send('POST', `/api/delivery/items/${itemId}/begin`, { attemptId, fence })).statusCode);
    expect(begun).toEqual([200, 409]);
    expect((await me.read(id)).counters).toMatchObject({ dispatching: 1, pending: 1, claimed: 0 });
  });

  it('are begun by exactly as many as there is room for, of a hundred at once on ten channels', async () => {
    const people = await me.contacts(somePeople(100));
    const pacing = { minDelayMs: 0, maxDelayMs: 0 };
    const channels = await Promise.all(Array.from({ length: 10 }, () => me.channel({ pacing })));
    for (const [at, { id: channelId }] of channels.entries()) {
      const contactIds = people.slice(at * 10, at * 10 + 10);
      const id = await me.campaign(channelId, { audience: { contactIds } });
      await me.start(id);
      await test.run({ workspaceId: me.workspaceId, jobId: id });
    }
    const claimed = await Promise.all(
      channels.map(({ id: channelId }) =>
        test.items.claim(me.workspaceId, { channelId, max: 10, holder: 'test', horizonMs: 60_000 }),
      ),
    );
    const items = claimed.flatMap((one) => one.items);
    expect(items.length).toBe(100);
    await limitTo({ messagesPerDay: 37 });
    const begun = await Promise.all(items.map((item) => test.items.begin(me.workspaceId, [item])));
    expect(begun.filter(({ size }) => size > 0)).toHaveLength(37);
  }, 120_000);
});

describe('the others', () => {
  it('hold at their edge, however many come at once', async () => {
    await limitTo({ channels: 2, webhooks: 1, apiKeys: 1, campaignsRunning: 1 });
    const { id: channelId } = await me.channel();
    const url = `https://example.com/`;
    expect(codes(await many('/api/channels', { kind: 'extension' }))).toEqual({ done: 1, '403 plan_limit': 49 });
    expect(codes(await many('/api/webhooks', { url, events: ['*'] }))).toEqual({ done: 1, '403 plan_limit': 49 });
    expect(codes(await many('/api/api-keys', { scopes: ['*'] }))).toEqual({ done: 1, '403 plan_limit': 49 });
    await me.contacts(somePeople(1));
    const ids = await Promise.all(Array.from({ length: 50 }, () => me.campaign(channelId)));
    const started = await Promise.all(ids.map((id) => me.start(id)));
    expect(started.filter(({ status }) => status === 202)).toHaveLength(1);
    expect(started.filter(({ status, body }) => status === 403 && body.code === 'plan_limit')).toHaveLength(49);
  }, 120_000);

  it('of channels holds for those the extension brings, and one made by hand for its number is the same', async () => {
    await limitTo({ channels: 2 });
    const sync = (externalId: string) =>
      send('POST', '/api/messages/sync', { channel: { externalId }, messages: [item(1)] });
    const byHand = await send('POST', '/api/channels', { name: 'Loja', kind: 'extension', phone: '+5511912345678' });
    expect(byHand.statusCode).toBe(201);
    for (const externalId of ['5511912345678@c.us', '5511912345678@c.us'])
      expect((await sync(externalId)).json().channelId).toBe(byHand.json().id);
    const answers = await Promise.all(Array.from({ length: 50 }, (_, at) => sync(`55119000000${10 + at}@c.us`)));
    expect(codes(answers)).toEqual({ done: 1, '403 plan_limit': 49 });
    const again = answers.find(({ statusCode }) => statusCode === 200)?.json().channelId;
    const { data } = (await send('GET', '/api/channels')).json();
    expect(data.map(({ id }: { id: string }) => id)).toEqual(expect.arrayContaining([again, byHand.json().id]));
    expect(data).toHaveLength(2);
  }, 120_000);

  it('stay when a lesser plan has no room for them, and nothing new is made', async () => {
    const ids = await me.contacts(somePeople(3));
    await limitTo({ contacts: 1, channels: 0 });
    expect(await counted()).toEqual([3, 3]);
    expect((await send('PATCH', `/api/contacts/${ids[0]}`, { name: 'Outra' })).statusCode).toBe(200);
    expect(codes([await send('POST', '/api/contacts', { name: 'Nova', phone: phone(3) })])).toEqual({
      '403 plan_limit': 1,
    });
  });

  it('say which plan has a feature that this one has not', async () => {
    await onPlan(test.rt, me.workspaceId, 'free');
    const key = { 'ai.providerKey.openai': 'sk-a-key-of-our-own' };
    const refused = (await send('PATCH', '/api/settings/ai', key)).json();
    expect(refused).toMatchObject({ status: 403, code: 'plan_feature' });
    expect(refused.detail).toContain('The plan pro');
    await limitTo({}, { ownProviderKeys: true, cloudApi: false, campaigns: false, analyticsExport: false });
    expect((await send('PATCH', '/api/settings/ai', key)).statusCode).toBe(200);
    await limitTo({}, { cloudApi: false, campaigns: false, analyticsExport: false });
    const changed = { 'ai.providerKey.openai': 'sk-another-as-it-leaked' };
    expect((await send('PATCH', '/api/settings/ai', changed)).statusCode).toBe(200);
    const second = { 'ai.providerKey.anthropic': 'sk-a-second-key' };
    expect((await send('PATCH', '/api/settings/ai', second)).json()).toMatchObject({ code: 'plan_feature' });
    const secrets = { accessToken: 'a-secret-text', appSecret: 'a-secret-text', verifyToken: 'a-secret-text' };
    const credentials = { phoneNumberId: '123456789', ...secrets };
    const cloud = { name: 'Nuvem', kind: 'cloud_api', phone: '+5511987654321', credentials };
    const refusals = [
      await send('POST', '/api/channels', cloud),
      await send('POST', '/api/analytics/export', { report: 'calls', format: 'csv' }),
    ];
    for (const answer of refusals)
      expect([answer.statusCode, answer.body]).toEqual([403, expect.stringContaining('plan_feature')]);
  });
});
