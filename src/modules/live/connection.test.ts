import { createSecretKey } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { WebSocket as Socket } from 'ws';
import { aMember, aUser, type TestUser } from '../../../test/factories.ts';
import { openTestApp, type TestApp } from '../../../test/harness.ts';
import { deriveKey } from '#src/lib/secrets.ts';
import { createEmit } from '#src/streams/emit.ts';
import { STREAM_KEY } from '#src/streams/frame.ts';
import { createStreamWriter } from '#src/streams/writer.ts';

type Frame = Record<string, unknown>;

let test: TestApp;
let user: TestUser;
let url: string;

beforeAll(async () => {
  test = await openTestApp({ RATE_LIMIT_SCALE: '1000' });
  user = await aUser(test.rt);
  url = (await test.app.listen({ host: '127.0.0.1', port: 0 })).replace('http', 'ws');
});
afterAll(() => test.close());

/** A socket that has authenticated; `reply` resolves with the answer to a frame. */
async function aSocket(who: { token?: string; workspaceId?: string } = {}) {
  const socket = new WebSocket(`${url}/api/ws`);
  await once(socket, 'open');
  const frames: Frame[] = [];
  const waiting = new Map<unknown, (frame: Frame) => void>();
  socket.addEventListener('message', ({ data }) => {
    const frame = JSON.parse(String(data)) as Frame;
    frames.push(frame);
    if (frame['type'] === 'reply') waiting.get(frame['id'])?.(frame);
  });
  let id = 0;
  const send = (frame: Frame): Promise<Frame> => {
    id += 1;
    const { promise, resolve } = Promise.withResolvers<Frame>();
    waiting.set(id, resolve);
    socket.send(JSON.stringify({ ...frame, id }));
    return promise;
  };
  await send({ type: 'auth', token: user.token, ...who });
  const submit = () =>
    send({ type: 'submit', engine: 'copilot', input: { conversationHistory: [{ role: 'user', content: 'Oi' }] } });
  return { socket, frames, send, submit };
}

const countJobs = async () =>
  (await test.rt.systemPool.query<{ n: number }>('select count(*)::int as n from job')).rows[0]?.n ?? 0;

const batch = (...texts: unknown[]) => ({ engine: 'sentiment', items: texts.map((text) => ({ text })) });

describe('a socket', () => {
  it('that subscribes twice at once gets each event once, and leaves nothing behind', async () => {
    const { socket: first, submit } = await aSocket();
    const { jobId } = await submit();
    first.close();
    const { socket, frames, send } = await aSocket();
    const topic = `job:${String(jobId)}`;
    await Promise.all([1, 2, 3].map(() => send({ type: 'subscribe', topic })));

    const writer = createStreamWriter({
      emit: createEmit(test.rt.redis),
      prefix: test.config.REDIS_PREFIX,
      master: createSecretKey(deriveKey(test.config.APP_SECRET, STREAM_KEY, 32)),
      jobId: String(jobId),
      attempt: 1,
      onFenced: () => undefined,
    });
    writer.text('uma vez');
    await writer.flushed();
    const chunks = () => frames.filter((frame) => frame['event'] === 'job.chunk');
    await expect.poll(() => chunks().length).toBeGreaterThan(0);
    // A later answer on the same socket: what was sent before it has arrived.
    await send({ type: 'subscribe', topic: `job:${String(jobId)}`, lastEventId: '1-1' });
    expect(chunks()).toHaveLength(1);
    socket.close();
    await expect.poll(() => test.rt.reader.counts()).toEqual({ jobs: 0, watchers: 0 });
  });

  it('submits a batch as it submits an engine', async () => {
    const { socket, frames, send } = await aSocket();
    const { ok, jobId } = await send({ type: 'submit', engine: 'batch', input: batch('um', 'dois') });
    expect(ok).toBe(true);
    const { rows } = await test.rt.systemPool.query('select input, band from job where parent_id = $1 order by item', [
      jobId,
    ]);
    expect(rows).toEqual([
      { input: { text: 'um' }, band: 'bulk' },
      { input: { text: 'dois' }, band: 'bulk' },
    ]);
    await expect
      .poll(() => frames.find(({ event }) => event === 'job.queued'))
      .toMatchObject({ topic: `job:${String(jobId)}` });
    for (const [wrong, path] of [
      [{ input: batch('um', 5) }, 'input.items[1].text'],
      [{ input: { engine: 'nope', items: [] } }, 'input.engine'],
      [{ input: batch('um'), options: { priority: 'interactive' } }, 'options.priority'],
      [{}, 'input'],
    ] as const) {
      expect(await send({ type: 'submit', engine: 'batch', ...wrong })).toMatchObject({
        ok: false,
        problem: { status: 400, code: 'validation_failed', errors: [{ path }] },
      });
    }
    socket.close();
  });

  it('that follows as much as it may is refused a new job before the job exists', async () => {
    const { socket, submit } = await aSocket();
    await Promise.all(Array.from({ length: 200 }, submit));
    const before = await countJobs();
    expect(await submit()).toMatchObject({ ok: false, problem: { status: 429, code: 'too_many_subscriptions' } });
    expect(await countJobs()).toBe(before);
    socket.close();
  });

  // Again when the machine was busy: what broke would be late each time.
  it('of somebody who may no longer see what it follows is told to come back', { retry: 3 }, async () => {
    const member = await aUser(test.rt);
    await aMember(test.rt, user.workspace.id, member.user.id, 'member');
    const { socket: first, submit } = await aSocket();
    const { jobId } = await submit();
    first.close();
    const { socket, send } = await aSocket({ token: member.token, workspaceId: user.workspace.id });
    const subscribe = { type: 'subscribe', topic: `job:${String(jobId)}` };
    expect(await send(subscribe)).toMatchObject({ ok: true });
    const closed = once(socket, 'close');
    await test.rt.systemPool.query(`update member set denies = '{jobs:all}' where user_id = $1`, [member.user.id]);
    const startedAt = performance.now();
    expect((await closed)[0]).toMatchObject({ code: 1012 });
    expect(performance.now() - startedAt).toBeLessThan(2000);
    // What is known of a caller is good for a second.
    await setTimeout(1100);
    const again = await aSocket({ token: member.token, workspaceId: user.workspace.id });
    expect(await again.send(subscribe)).toMatchObject({ problem: { status: 404 } });
    again.socket.close();
  });

  it('is one of at most a hundred of a person, and gives its place back', async () => {
    const { token } = await aUser(test.rt);
    const sockets = await Promise.all(Array.from({ length: 100 }, () => aSocket({ token })));
    const surplus = new WebSocket(`${url}/api/ws`);
    await once(surplus, 'open');
    surplus.send(JSON.stringify({ type: 'auth', id: 1, token }));
    expect((await once(surplus, 'close'))[0]).toMatchObject({ code: 4429 });
    const [one] = sockets;
    const closed = one && once(one.socket, 'close');
    one?.socket.close();
    await closed;
    const { socket, send } = await aSocket({ token });
    expect(await send({ type: 'unsubscribe', topic: 'job:none' })).toMatchObject({ ok: true });
    for (const each of [socket, ...sockets.map((other) => other.socket)]) each.close();
  });

  it('that is closed while it authenticates leaves nobody behind to be followed', async () => {
    let followed = 0;
    const follow = test.rt.access.follow.bind(test.rt.access);
    const watching = vi.spyOn(test.rt.access, 'follow').mockImplementation((...given) => {
      followed += 1;
      const unfollow = follow(...given);
      return () => {
        followed -= 1;
        unfollow();
      };
    });
    for (let round = 0; round < 8; round += 1) {
      // Somebody new each time, so that the database has to be asked.
      const { token } = await aUser(test.rt);
      const socket = new Socket(`${url}/api/ws`);
      await once(socket, 'open');
      socket.send(JSON.stringify({ type: 'auth', id: 1, token }));
      socket.terminate();
    }
    await setTimeout(300);
    await expect.poll(() => followed).toBe(0);
    watching.mockRestore();
  });
});
