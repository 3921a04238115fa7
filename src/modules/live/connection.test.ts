import { createSecretKey } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aUser, type TestUser } from '../../../test/factories.ts';
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
async function aSocket() {
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
  await send({ type: 'auth', token: user.token });
  const submit = () =>
    send({ type: 'submit', engine: 'copilot', input: { conversationHistory: [{ role: 'user', content: 'Oi' }] } });
  return { socket, frames, send, submit };
}

const countJobs = async () =>
  (await test.rt.systemPool.query<{ n: number }>('select count(*)::int as n from job')).rows[0]?.n ?? 0;

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

  it('that follows as much as it may is refused a new job before the job exists', async () => {
    const { socket, submit } = await aSocket();
    await Promise.all(Array.from({ length: 200 }, submit));
    const before = await countJobs();
    expect(await submit()).toMatchObject({ ok: false, problem: { status: 429, code: 'too_many_subscriptions' } });
    expect(await countJobs()).toBe(before);
    socket.close();
  });
});
