import { request, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestUser } from '../../../test/factories.ts';
import type { TestApp } from '../../../test/harness.ts';
import { ProblemView } from '#src/http/problem-view.ts';
import { aMember, aUser } from '../../../test/factories.ts';
import { openTestApp } from '../../../test/harness.ts';

// No worker runs here: a job stays queued until the test cancels it.
let test: TestApp;
let user: TestUser;
let address: string;
beforeAll(async () => {
  test = await openTestApp();
  user = await aUser(test.rt);
  address = await test.app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(() => test.close());

interface Message {
  type: string;
  id?: string;
  ok?: boolean;
  event?: string;
  problem?: { status: number; code: string };
}

/** A signed-in socket that keeps what it hears. */
async function aSocket(signIn: object = { token: user.token }) {
  const socket = new WebSocket(`${address.replace('http', 'ws')}/api/ws`);
  const heard: Message[] = [];
  const waiting = new Set<() => void>();
  socket.addEventListener('message', (event) => {
    heard.push(JSON.parse(String(event.data)) as Message);
    for (const check of waiting) check();
  });
  const closed = new Promise<CloseEvent>((resolve) => socket.addEventListener('close', resolve, { once: true }));
  const hears = (matches: (message: Message) => boolean): Promise<Message> =>
    new Promise((resolve) => {
      const check = (): void => {
        const found = heard.find(matches);
        if (!found) return;
        waiting.delete(check);
        resolve(found);
      };
      waiting.add(check);
      check();
    });
  const send = (frame: object) => socket.send(JSON.stringify(frame));
  const ask = (frame: { id: string; type: string } & Record<string, unknown>): Promise<Message> => {
    send(frame);
    return hears((message) => message.type === 'reply' && message.id === frame.id);
  };
  await new Promise((resolve) => socket.addEventListener('open', resolve, { once: true }));
  expect(await ask({ type: 'auth', id: 'auth', ...signIn })).toMatchObject({ ok: true });
  return { heard, hears, send, ask, closed, close: () => socket.close() };
}

async function aQueuedJob(): Promise<string> {
  const answer = await test.app.inject({
    method: 'POST',
    url: '/api/ai/sentiment',
    headers: user.headers,
    payload: { text: 'Adorei!' },
  });
  expect(answer.statusCode).toBe(202);
  return answer.json<{ jobId: string }>().jobId;
}

const cancel = (jobId: string) =>
  test.app.inject({ method: 'POST', url: `/api/jobs/${jobId}/cancel`, headers: user.headers });

describe('a job named in upper case', () => {
  it('is followed like any other, over SSE and over WebSocket', async () => {
    const jobId = await aQueuedJob();
    const socket = await aSocket();
    const topic = `job:${jobId}`;
    expect(
      await socket.ask({ type: 'subscribe', id: 's', topic: topic.toUpperCase().replace('JOB', 'job') }),
    ).toMatchObject({ ok: true });
    const events = await fetch(`${address}/api/jobs/${jobId.toUpperCase()}/events`, { headers: user.headers });
    // Both hear the one channel the worker writes to.
    await expect.poll(() => test.rt.reader.counts()).toEqual({ jobs: 1, watchers: 2 });
    await cancel(jobId);
    expect(await events.text()).toContain('event: job.cancelled');
    await socket.hears((message) => message.event === 'job.cancelled');
    socket.close();
  });

  it('is unsubscribed and cancelled like any other', async () => {
    const jobId = (await aQueuedJob()).toUpperCase();
    const socket = await aSocket();
    await socket.ask({ type: 'subscribe', id: 's', topic: `job:${jobId}` });
    await socket.ask({ type: 'unsubscribe', id: 'u', topic: `job:${jobId}` });
    expect(test.rt.reader.counts().watchers).toBe(0);
    expect(await socket.ask({ type: 'cancel', id: 'c', jobId })).toMatchObject({
      jobId: jobId.toLowerCase(),
      status: 'cancelled',
    });
    socket.close();
  });
});

describe('a topic subscribed several times at once', () => {
  it('brings each event once, and leaves no follower behind', async () => {
    const jobId = await aQueuedJob();
    const socket = await aSocket();
    const ids = ['1', '2', '3', '4', '5'];
    const replies = ids.map((id) => socket.ask({ type: 'subscribe', id, topic: `job:${jobId}` }));
    expect(await Promise.all(replies)).toMatchObject(ids.map((id) => ({ id, ok: true })));
    expect(test.rt.reader.counts()).toEqual({ jobs: 1, watchers: 1 });
    await cancel(jobId);
    await socket.hears((message) => message.event === 'job.cancelled');
    // The answer to a later frame comes after whatever was still on its way.
    await socket.ask({ type: 'unsubscribe', id: 'last', topic: `job:${jobId}` });
    expect(socket.heard.filter((message) => message.event === 'job.cancelled')).toHaveLength(1);
    socket.close();
  });

  it('is not followed any more once the socket is gone', async () => {
    const jobId = await aQueuedJob();
    const socket = await aSocket();
    const replies = ['1', '2', '3'].map((id) => socket.ask({ type: 'subscribe', id, topic: `job:${jobId}` }));
    await Promise.all(replies);
    socket.close();
    await socket.closed;
    await expect.poll(() => test.rt.reader.counts()).toEqual({ jobs: 0, watchers: 0 });
    await cancel(jobId);
  });
});

describe('a socket that is being closed', () => {
  it('is served no more, whatever it had sent already', async () => {
    const socket = await aSocket();
    const jobId = await aQueuedJob();
    socket.send([]);
    socket.send({ type: 'cancel', id: 'late', jobId });
    expect(await socket.closed).toMatchObject({ code: 4400 });
    const job = await test.app.inject({ url: `/api/jobs/${jobId}`, headers: user.headers });
    expect(job.json()).toMatchObject({ status: 'queued' });
  });
});

describe('what is not a WebSocket handshake', () => {
  it('is told so with a problem', async () => {
    const plain = await fetch(`${address}/api/ws`);
    expect(plain.status).toBe(426);
    expect(plain.headers.get('content-type')).toBe('application/problem+json');
    expect(ProblemView.parse(await plain.json()).code).toBe('upgrade_required');
  });

  it.each([
    [{}, 'Missing or invalid Sec-WebSocket-Key header'],
    [{ 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-version': '5' }, 'Sec-WebSocket-Version'],
  ])('is told what is wrong with the headers %j', async (headers, what) => {
    const asked = request(`${address}/api/ws`, {
      headers: { connection: 'upgrade', upgrade: 'websocket', ...headers },
    });
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    asked.on('response', resolve).on('error', reject).end();
    const answer = await promise;
    expect(answer.statusCode).toBe(400);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    const problem = ProblemView.parse(JSON.parse(await text(answer)));
    expect(problem).toMatchObject({ code: 'invalid_handshake', detail: expect.stringContaining(what) });
  });
});

const batch = (clientIds: string[]) => ({
  channel: { externalId: '5511900000001' },
  messages: clientIds.map((clientId) => ({
    clientId,
    chat: { waId: '5511987654321' },
    direction: 'inbound',
    body: 'Oi',
    sentAt: new Date().toISOString(),
  })),
});

describe('messages.sync', () => {
  it('stores a batch as the request does, and answers with what came of each', async () => {
    const socket = await aSocket();
    const asked = batch(['s1', 's2']);
    const messages = [...asked.messages, 'nothing'];
    const reply = await socket.ask({ type: 'messages.sync', id: 'm1', ...asked, messages });
    expect(reply).toMatchObject({
      ok: true,
      counts: { created: 2, known: 0, updated: 0, invalid: 1 },
      results: [{ outcome: 'created' }, { outcome: 'created' }, { outcome: 'invalid', messageId: null }],
    });
    const payload = asked;
    const again = { method: 'POST', url: '/api/messages/sync', headers: user.headers, payload } as const;
    expect((await test.app.inject(again)).json().counts).toMatchObject({ known: 2, created: 0 });
    for (const wrong of [
      { ...asked, messages: [] },
      { ...asked, messages: Array.from({ length: 201 }, () => 1) },
      { ...asked, channel: {} },
    ])
      expect(await socket.ask({ type: 'messages.sync', id: crypto.randomUUID(), ...wrong })).toMatchObject({
        ok: false,
        problem: { status: 400, code: 'validation_failed' },
      });
    socket.close();
  });

  it('is refused to who may not write messages, and changes nothing', async () => {
    const viewer = await aUser(test.rt);
    await aMember(test.rt, user.workspace.id, viewer.user.id, 'viewer');
    const socket = await aSocket({ token: viewer.token, workspaceId: user.workspace.id });
    expect(await socket.ask({ type: 'messages.sync', id: 'm1', ...batch(['s3']) })).toMatchObject({
      ok: false,
      problem: { status: 403 },
    });
    socket.close();
    const { rows } = await test.rt.systemPool.query(`select from message_key where value = 's3'`);
    expect(rows).toEqual([]);
  });
});
