import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { aCampaigner, checkCounters, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { aMember, aUser } from '#test/factories.ts';

const FAST = { minDelayMs: 0, maxDelayMs: 0, pauseEvery: null, windows: [], perContactDay: null, perContactWeek: null };
type Frame = Record<string, unknown>;

let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
let url: string;
let channelId: string;
let campaignId: string;
beforeAll(async () => {
  test = await openCampaignTest();
  url = (await test.app.listen({ host: '127.0.0.1', port: 0 })).replace('http', 'ws');
});
afterAll(() => test.close());
beforeEach(async () => {
  me = await aCampaigner(test);
  await me.contacts(somePeople(4));
  channelId = (await me.call('POST', '/api/channels', { name: 'Celular', kind: 'extension', pacing: FAST })).body.id;
  campaignId = await me.campaign(channelId);
  await me.start(campaignId);
  await test.run({ workspaceId: me.workspaceId, jobId: campaignId });
});

/** A phone's socket that has authenticated. */
async function aPhone(token = me.owner.token, sessionId: string = randomUUID()) {
  const socket = new WebSocket(`${url}/api/ws`);
  await once(socket, 'open');
  const waiting = new Map<unknown, (frame: Frame) => void>();
  socket.addEventListener('message', ({ data }) => {
    const frame = JSON.parse(String(data)) as Frame;
    if (frame['type'] === 'reply') waiting.get(frame['id'])?.(frame);
  });
  let id = 0;
  const send = (type: string, fields: Frame = {}): Promise<Frame> => {
    id += 1;
    const { promise, resolve } = Promise.withResolvers<Frame>();
    waiting.set(id, resolve);
    socket.send(JSON.stringify({ type, ...fields, id }));
    return promise;
  };
  await send('auth', { token, workspaceId: me.workspaceId });
  const claim = async (max = 1) => {
    const reply = await send('channel.claim', { channelId, sessionId, max });
    const items = Array.isArray(reply['items']) ? reply['items'] : [];
    return { reply, attempts: items.map(({ itemId, attemptId, fence }) => ({ itemId, attemptId, fence })) };
  };
  return { socket, send, sessionId, claim };
}

it('claims, begins and acks over a socket as over HTTP', async () => {
  const phone = await aPhone();
  const { reply, attempts } = await phone.claim(3);
  expect(reply).toMatchObject({ ok: true, items: [{ to: '+5511980000000', text: 'Oi, Pessoa!' }, {}, {}] });
  const [sent, lost, back] = attempts;
  expect(await phone.send('channel.ack', { ...sent, outcome: 'sent' })).toMatchObject({
    ok: false,
    problem: { code: 'not_begun' },
  });
  expect(await phone.send('channel.begin', sent)).toMatchObject({ ok: true });
  expect(await phone.send('channel.begin', sent)).toMatchObject({ ok: false, problem: { status: 409 } });
  for (const verdict of ['accepted', 'repeated'])
    expect(await phone.send('channel.ack', { ...sent, outcome: 'sent', messageId: 'true_1' })).toMatchObject({
      ok: true,
      verdict,
      status: 'sent',
    });
  await phone.send('channel.begin', lost);
  // An outbox that is replayed over HTTP after the socket was lost.
  phone.socket.close();
  const answer = await me.call('POST', `/api/delivery/items/${lost?.itemId}/ack`, {
    attemptId: lost?.attemptId,
    fence: lost?.fence,
    outcome: 'unknown',
  });
  expect(answer).toMatchObject({ status: 200, body: { status: 'unknown' } });
  const again = await aPhone();
  expect(await again.send('channel.release', back)).toMatchObject({ ok: true });
  expect(await again.send('channel.ack', { ...back, outcome: 'failed', kind: 'permanent' })).toMatchObject({
    ok: false,
    problem: { status: 400 },
  });
  expect(await me.read(campaignId)).toMatchObject({ counters: { sent: 1, unknown: 1, pending: 2 } });
  expect(await checkCounters(test.systemPool)).toEqual([]);
  again.socket.close();
});

it('has one session for a number; another takes over as soon as its socket closes', async () => {
  const [first, second] = [await aPhone(), await aPhone()];
  expect((await first.claim()).attempts).toHaveLength(1);
  expect((await second.claim()).reply).toMatchObject({ ok: false, problem: { status: 409, code: 'channel_standby' } });
  // A client that answers pings keeps its number.
  await test.systemPool.query(
    `update channel_flow set session_until = now() + interval '1 second' where channel_id = $1`,
    [channelId],
  );
  first.socket.send('{"type":"pong"}');
  const leftMs = async () =>
    Number(
      (
        await test.systemPool.query(
          `select extract(epoch from session_until - now()) * 1000 as ms from channel_flow where channel_id = $1`,
          [channelId],
        )
      ).rows[0]?.ms,
    );
  await expect.poll(leftMs).toBeGreaterThan(20_000);
  first.socket.close();
  await expect.poll(async () => (await second.claim()).attempts.length).toBe(1);
  second.socket.close();
});

const holderOf = async () =>
  (await test.systemPool.query('select session_id from channel_flow where channel_id = $1', [channelId])).rows[0]
    ?.session_id ?? null;

it('the late close of an old socket takes nothing from the same session on its new one', async () => {
  const old = await aPhone();
  expect((await old.claim()).attempts).toHaveLength(1);
  const next = await aPhone(me.owner.token, old.sessionId);
  expect((await next.claim()).attempts).toHaveLength(1);
  old.socket.close();
  await once(old.socket, 'close');
  const other = await aPhone();
  // Long enough for the close to have been heard.
  for (let tries = 0; tries < 5; tries += 1)
    expect((await other.claim()).reply).toMatchObject({ problem: { code: 'channel_standby' } });
  next.socket.close();
  await expect.poll(async () => (await other.claim()).attempts.length).toBe(1);
  other.socket.close();
});

it('a socket that closes while it claims lets go what it was given', async () => {
  const phone = await aPhone();
  const lock = await test.systemPool.connect();
  try {
    await lock.query('begin');
    await lock.query('insert into channel_flow (workspace_id, channel_id) values ($1, $2) on conflict do nothing', [
      me.workspaceId,
      channelId,
    ]);
    await lock.query('select from channel_flow where channel_id = $1 for update', [channelId]);
    void phone.claim();
    const { rows } = await lock.query<{ pid: number }>('select pg_backend_pid() as pid');
    const waiting = async () =>
      (
        await test.systemPool.query(
          'select from pg_locks l where not l.granted and $1 = any (pg_blocking_pids(l.pid))',
          [rows[0]?.pid],
        )
      ).rowCount;
    await expect.poll(waiting).toBe(1);
    phone.socket.close();
    await once(phone.socket, 'close');
    await lock.query('commit');
  } finally {
    lock.release();
  }
  const other = await aPhone();
  // Sooner than a session that says nothing would lose it.
  await expect.poll(async () => (await other.claim()).attempts.length, { timeout: 15_000 }).toBe(1);
  expect(await holderOf()).toBe(other.sessionId);
  other.socket.close();
});

it('serves one frame of a channel after the other, refuses what is too much, and drops what a closed socket had sent', async () => {
  const phone = await aPhone();
  const replies = await Promise.all(Array.from({ length: 80 }, () => phone.claim()));
  const codes = replies.map(({ reply }) => Object(reply['problem']).code);
  expect(codes.filter((code) => code === 'too_many_frames').length).toBeGreaterThan(0);
  expect(codes.filter((code) => code === undefined).length).toBeGreaterThan(8);
  phone.socket.close();
});

it('gives back what it cannot send, and stops a channel that was warned', async () => {
  const phone = await aPhone();
  expect((await phone.claim(2)).attempts).toHaveLength(2);
  expect(
    await phone.send('channel.state', { channelId, sessionId: phone.sessionId, state: 'logged_out' }),
  ).toMatchObject({ ok: true });
  expect(await me.read(campaignId)).toMatchObject({ counters: { pending: 4, claimed: 0 } });
  const other = await aPhone();
  expect((await other.claim()).attempts).toHaveLength(1);
  expect(
    await other.send('channel.state', { channelId, sessionId: other.sessionId, state: 'banned_warning' }),
  ).toMatchObject({ ok: true });
  expect((await me.call('GET', `/api/channels/${channelId}`)).body).toMatchObject({
    state: 'paused',
    pauseReason: 'banned_warning',
  });
  expect((await other.claim()).attempts).toEqual([]);
  expect((await me.call('POST', `/api/channels/${channelId}/resume`)).body).toMatchObject({
    state: 'active',
    pauseReason: null,
  });
  expect((await other.claim()).attempts).toHaveLength(1);
  phone.socket.close();
  other.socket.close();
});

it('is for those who may run campaigns', async () => {
  const viewer = await aUser(test.rt);
  await aMember(test.rt, me.workspaceId, viewer.user.id, 'viewer');
  const phone = await aPhone(viewer.token);
  expect((await phone.claim()).reply).toMatchObject({ ok: false, problem: { status: 403 } });
  phone.socket.close();
});

it('hears of one campaign under a topic of its own', async () => {
  const other = await me.campaign(channelId);
  const { socket, send } = await aPhone();
  const heard: Frame[] = [];
  socket.addEventListener('message', ({ data }) => {
    const frame = JSON.parse(String(data)) as Frame;
    if (frame['type'] === 'event') heard.push(frame);
  });
  await test.hear();
  const topic = `campaign:${campaignId}`;
  expect(await send('subscribe', { topic })).toMatchObject({ ok: true, lastEventId: expect.any(String) });
  expect(await send('subscribe', { topic: `campaign:${randomUUID()}` })).toMatchObject({ problem: { status: 404 } });
  await me.start(other);
  await test.run({ workspaceId: me.workspaceId, jobId: other });
  await me.call('POST', `/api/campaigns/${other}/pause`);
  await me.call('POST', `/api/campaigns/${campaignId}/pause`);
  await test.hear();
  await expect
    .poll(() => heard)
    .toMatchObject([{ topic, event: 'campaign.paused', data: { campaignId, reason: 'by_hand' } }]);
  socket.close();
});
