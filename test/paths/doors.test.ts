import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { BackendClient } from '../../client/src/index.ts';
import { readable, tokenIn } from '#test/mail.ts';
import { createInstallation, type Installation, type Running } from '#test/processes.ts';

let installation: Installation;
let api: Running & { url: string };
let worker: Running;
let control: Running;
let ana: { token: string; workspace: { id: string }; user: { id: string } };
let bia: { token: string; workspace: { id: string } };

const register = async (name: string) => {
  const client = new BackendClient({ baseUrl: api.url });
  const session = await client.register({ email: `${name}@example.com`, password: 'a long enough password', name });
  client.close();
  return session;
};

beforeAll(async () => {
  installation = await createInstallation();
  [api, worker, control] = await Promise.all([
    installation.startApi(),
    installation.startWorker('ai-inference', 'sentiment', 'lead-scoring', 'notifications'),
    installation.startControl(),
  ]);
  [ana, bia] = await Promise.all([register('ana'), register('bia')]);
});
afterAll(() => installation.close());

const call = (
  method: string,
  path: string,
  options: { body?: unknown; token?: string; headers?: Record<string, string> } = {},
) =>
  fetch(`${api.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${options.token ?? ana.token}`,
      ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...options.headers,
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
  });
const history = [{ role: 'user', content: 'Oi! Quanto custa o frete para Campinas?' }];

it('a mail that a request queued is sent by a worker, and its link works', async () => {
  const email = 'caio@example.com';
  await register('caio');
  const mails = async (): Promise<string[]> => {
    const folder = installation.env['MAIL_DIR'] ?? '';
    const texts = (await readdir(folder)).map(async (name) => readable(await readFile(`${folder}/${name}`, 'utf8')));
    return (await Promise.all(texts)).filter((text) => text.includes(email));
  };
  await expect.poll(mails).toHaveLength(1);
  const [text = ''] = await mails();
  const token = tokenIn({ id: '', from: '', to: [], text });
  expect(text).toContain(`${api.url}/verify-email#token=`);
  expect((await call('POST', '/api/auth/verify-email', { body: { token } })).status).toBe(200);
  await worker.line((line) => line['msg'] === 'A mail was sent');
  const logged = JSON.stringify([...api.lines(), ...control.lines(), ...worker.lines()]);
  expect(logged).not.toContain(token);
  expect(logged).not.toContain(email);
});

describe('the HTTP door, with no provider configured', () => {
  it.each([
    [
      'copilot',
      { conversationHistory: history },
      { suggestion: { text: expect.any(String), confidence: expect.any(Number) } },
    ],
    [
      'smart-replies',
      { message: 'Vocês entregam hoje?', count: 4 },
      { replies: expect.toSatisfy((replies: unknown[]) => replies.length === 4) },
    ],
    ['sentiment', { text: 'amei o atendimento, muito bom!' }, { sentiment: 'positive' }],
    ['sentiment', { texts: ['péssimo, nunca mais', 'ok'] }, { items: [{ sentiment: 'negative' }, expect.anything()] }],
  ])('answers %s in time, by rules, and says so', async (engine, body, result) => {
    const answer = await call('POST', `/api/ai/${engine}`, { body, headers: { prefer: 'wait=20' } });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('preference-applied')).toBe('wait=20');
    expect(await answer.json()).toMatchObject({
      status: 'completed',
      engine,
      result,
      usage: { provider: 'local', degraded: true, costUsd: 0, credits: 0 },
    });
  });

  it('answers 202 with links to one who does not wait, and streams to one who wants events', async () => {
    const accepted = await call('POST', '/api/ai/copilot', { body: { conversationHistory: history } });
    expect(accepted.status).toBe(202);
    const { jobId, links } = (await accepted.json()) as { jobId: string; links: Record<string, string> };
    expect(accepted.headers.get('location')).toBe(links['self']);

    const streamed = await call('POST', '/api/ai/copilot', {
      body: { conversationHistory: history },
      headers: { accept: 'text/event-stream' },
    });
    expect(streamed.headers.get('content-type')).toContain('text/event-stream');
    const events = [...(await streamed.text()).matchAll(/^event: (.+)$/gm)].map((match) => match[1]);
    expect(events.at(0)).toBe('job.queued');
    expect(events).toContain('job.chunk');
    expect(events.at(-1)).toBe('job.completed');

    const other = await call('GET', `/api/jobs/${jobId}`, { token: bia.token });
    expect([other.status, other.headers.get('content-type')]).toEqual([404, 'application/problem+json']);
    for (const path of [`/api/jobs/${jobId}/events`, `/api/jobs/${jobId}/cancel`]) {
      const answer = await call(path.endsWith('cancel') ? 'POST' : 'GET', path, { token: bia.token });
      expect(answer.status).toBe(404);
    }
    const listed = await (await call('GET', '/api/jobs', { token: bia.token })).json();
    expect(listed).toEqual({ data: [], page: { nextCursor: null, hasMore: false } });
  });

  it('says what nobody here can do, and holds no credits for it', async () => {
    const answer = await call('POST', '/api/ai/chat', { body: { messages: history } });
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ code: 'no_provider_available' });
    expect(await (await call('GET', '/api/ai/credits')).json()).toMatchObject({ balance: 1000, held: 0 });
  });

  it.each([
    [{}, ['conversationHistory']],
    [{ conversationHistory: [{ role: 'boss', content: 'x' }] }, ['conversationHistory[0].role']],
    [{ conversationHistory: history, extra: 1 }, ['extra']],
    [{ conversationHistory: history, options: { priority: 'now' } }, ['options.priority']],
    [{ conversationHistory: history, options: { provider: 'acme' } }, ['options.provider']],
  ])('names what is wrong in %j', async (body, paths) => {
    const answer = await call('POST', '/api/ai/copilot', { body });
    expect(answer.status).toBe(400);
    const problem = (await answer.json()) as { errors?: { path: string }[]; message: string; detail: string };
    expect(problem.errors?.map((error) => error.path) ?? []).toEqual(paths);
    expect(problem.message).toBe(problem.detail);
  });

  it('knows no query field that a route does not name', async () => {
    const answer = await call('GET', '/api/ai/credits?junk=1');
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ errors: [{ path: 'query.junk' }] });
    expect((await call('GET', `/api/ai/credits?workspaceId=${ana.workspace.id}`)).status).toBe(200);
  });

  it('lets a viewer look but not ask', async () => {
    // Somebody else owns the workspace then: one without an owner cannot be.
    await installation.pool.query(
      `with bia as (select m.* from member m join app_user u on u.id = m.user_id where u.email = 'bia@example.com'),
        heir as (insert into member (workspace_id, user_id, role) select workspace_id, (select id from app_user where email <> 'bia@example.com' limit 1), 'owner' from bia)
      update member m set role = 'viewer' from bia where m.workspace_id = bia.workspace_id and m.user_id = bia.user_id`,
    );
    const client = new BackendClient({ baseUrl: api.url });
    const { token } = await client.login({ email: 'bia@example.com', password: 'a long enough password' });
    client.close();
    expect((await call('POST', '/api/ai/sentiment', { body: { text: 'oi' }, token })).status).toBe(403);
    expect((await call('GET', '/api/jobs', { token })).status).toBe(200);
  });
});

describe('the operators’ doors', () => {
  it('open to the ops user alone', async () => {
    const authorization = `Basic ${Buffer.from('ops:only-for-this-test').toString('base64')}`;
    for (const path of ['/ops/queues', '/ops/queues/api/queues', '/metrics']) {
      expect((await call('GET', path)).status).toBe(401);
      expect((await call('GET', path, { headers: { authorization: `Basic ${btoa('ops:wrong')}` } })).status).toBe(401);
      expect((await call('GET', path, { headers: { authorization } })).status).toBe(200);
    }
    const metrics = await (await call('GET', '/metrics', { headers: { authorization } })).text();
    expect(metrics).toContain('wh_queue_jobs{queue="sentiment",state="waiting"} 0');
    await expect
      .poll(async () => (await call('GET', '/metrics', { headers: { authorization } })).text())
      .toMatch(/wh_job_run_seconds_count\{[^}]*queue="ai-inference"[^}]*\} [1-9]/);
    const board = await (await call('GET', '/ops/queues/api/queues', { headers: { authorization } })).text();
    expect(board).not.toContain('Campinas');
  });

  it('tell everyone how it is', async () => {
    for (const path of ['/api/health', '/api/health/live', '/api/health/ready']) {
      const answer = await fetch(`${api.url}${path}`);
      expect([answer.status, await answer.json()]).toEqual([200, { status: 'ok' }]);
    }
    expect(await (await fetch(`${api.url}/api/health/detailed`)).json()).toMatchObject({
      database: { status: 'up' },
      redis: { status: 'up' },
    });
  });
});

const closeCode = async (socket: WebSocket): Promise<number> => Number((await once(socket, 'close'))[0]);
const next = async (socket: WebSocket): Promise<Record<string, unknown>> =>
  JSON.parse(String((await once(socket, 'message'))[0])) as Record<string, unknown>;

const open = async (origin?: string): Promise<WebSocket> => {
  const socket = new WebSocket(`${api.url.replace('http', 'ws')}/api/ws`, origin ? { origin } : {});
  await once(socket, 'open');
  return socket;
};
const signedIn = async (): Promise<WebSocket> => {
  const socket = await open();
  socket.send(JSON.stringify({ type: 'auth', id: 1, token: ana.token }));
  expect(await next(socket)).toMatchObject({
    type: 'reply',
    id: 1,
    ok: true,
    userId: ana.user.id,
    workspaceId: ana.workspace.id,
    role: 'owner',
    heartbeatMs: 20_000,
  });
  return socket;
};

describe('the WebSocket door', () => {
  it.each([
    ['no JSON', 'hello', 4400],
    ['no object', '[1', 4400],
    ['a frame without id', '{"type":"auth"}', 4400],
    ['a bad token', '{"type":"auth","id":1,"token":"nonsense"}', 4401],
    ['another’s work before auth', '{"type":"cancel","id":1,"jobId":"018f4a70-0000-7000-8000-000000000000"}', 4401],
    ['more than 256 KiB', JSON.stringify({ type: 'auth', id: 1, token: 'x'.repeat(300_000) }), 1009],
  ])('closes on %s', async (_what, frame, code) => {
    const socket = await open();
    socket.send(frame);
    expect(await closeCode(socket)).toBe(code);
  });

  it('refuses a page of another origin, and lets the extension in', async () => {
    const refused = new WebSocket(`${api.url.replace('http', 'ws')}/api/ws`, { origin: 'https://evil.example' });
    const [, response] = await once(refused, 'unexpected-response');
    expect((response as { statusCode: number }).statusCode).toBe(403);
    refused.on('error', () => {});
    refused.terminate();
    const socket = await open('chrome-extension://folckeokleebgjnikcacfnihohjnmkdo');
    socket.close();
  });

  it('closes one that never signs in', async () => {
    expect(await closeCode(await open())).toBe(4408);
  });

  it.each([
    [{ type: 'submit', id: 'a', engine: 'sentiment', input: { text: 5 } }, 'validation_failed', 'input.text'],
    [{ type: 'submit', id: 'a', engine: 'poetry', input: {} }, 'unknown_engine', 'engine'],
    [
      { type: 'submit', id: 'a', engine: 'sentiment', input: { text: 'oi' }, options: { timeoutMs: -1 } },
      'validation_failed',
      'options.timeoutMs',
    ],
    [{ type: 'subscribe', id: 'a', topic: 'weather' }, 'unknown_topic', 'topic'],
    [{ type: 'subscribe', id: 'a', topic: 'job:018f4a70-0000-7000-8000-000000000000' }, 'not_found', undefined],
    [{ type: 'cancel', id: 'a', jobId: 'x' }, 'validation_failed', 'jobId'],
    [{ type: 'dance', id: 'a' }, 'validation_failed', 'type'],
  ])('answers %j with a problem, and stays open', async (frame, code, path) => {
    const socket = await signedIn();
    socket.send(JSON.stringify(frame));
    const reply = await next(socket);
    expect(reply).toMatchObject({ type: 'reply', id: 'a', ok: false, problem: { code } });
    if (path) expect(reply).toHaveProperty('problem.errors[0].path', path);
    socket.close();
  });

  it('cuts one that asks for much and reads nothing, and keeps no memory for it', async () => {
    const { rows } = await installation.pool.query<{ id: string }>(
      `insert into job (workspace_id, id, user_id, queue, engine, band, status, options, request_id, attempt, max_attempts, finished_at,
         credit_held, streamed_text, result)
       select $1, gen_random_uuid(), $2, 'ai-inference', 'chat', 'interactive', 'completed', '{}', 'r', 1, 3, now(), 0, repeat('x', 200000), '{}'
       from generate_series(1, 150) returning id`,
      [ana.workspace.id, ana.user.id],
    );
    const socket = await signedIn();
    const gone = once(socket, 'close');
    socket.pause();
    for (const { id } of rows)
      socket.send(JSON.stringify({ type: 'subscribe', id, topic: `job:${id}`, lastEventId: '0-0' }));
    const authorization = `Basic ${Buffer.from('ops:only-for-this-test').toString('base64')}`;
    const sockets = async () => {
      const text = await (await call('GET', '/metrics', { headers: { authorization } })).text();
      return text
        .split('\n')
        .find((line) => line.startsWith('wh_sockets'))
        ?.split(' ')
        .at(-1);
    };
    await expect.poll(sockets).toBe('0');
    socket.resume();
    await gone;
  });
});
