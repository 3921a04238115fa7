import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { aMember, aUser, type TestUser } from '../../../test/factories.ts';
import { openTestApp, type TestApp } from '../../../test/harness.ts';

let test: TestApp;
let user: TestUser;
let url: string;

beforeEach(async () => {
  test = await openTestApp({ OPENAI_API_KEY: 'sk-none' });
  user = await aUser(test.rt);
  url = await test.app.listen({ host: '127.0.0.1', port: 0 });
});
afterEach(() => test.close());

const ask = (headers: Record<string, string>) =>
  fetch(`${url}/api/ai/copilot`, {
    method: 'POST',
    headers: { ...user.headers, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ conversationHistory: [{ role: 'user', content: 'Oi' }] }),
  });

const chat = () =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...user.headers, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'Oi' }] }),
  });
const logout = () => test.app.inject({ method: 'POST', url: '/api/auth/logout', headers: user.headers });

// No worker runs: none of them would end by itself. Again when the machine was busy: what broke would be late each time.
it('whoever is signed out hears no more of a job within two seconds, by whichever door', { retry: 3 }, async () => {
  const streaming = await ask({ accept: 'text/event-stream' });
  const id = streaming.headers.get('location')?.split('/').at(-1);
  const following = await fetch(`${url}/api/jobs/${id}/events`, { headers: user.headers });
  const door = chat();
  await expect.poll(() => test.rt.reader.counts().watchers).toBe(3);
  await logout();
  const startedAt = performance.now();
  const [, , answer] = await Promise.all([streaming.text(), following.text(), door]);
  expect(performance.now() - startedAt).toBeLessThan(2000);
  expect(answer.status).toBe(401);
  await expect.poll(() => test.rt.reader.counts().watchers).toBe(0);
});

it('whoever may no longer read jobs hears no more of them', { retry: 3 }, async () => {
  const member = await aUser(test.rt);
  await aMember(test.rt, user.workspace.id, member.user.id, 'member');
  const jobId = (await ask({})).headers.get('location')?.split('/').at(-1);
  const headers = { ...member.headers, 'x-workspace-id': user.workspace.id };
  const following = await fetch(`${url}/api/jobs/${jobId}/events`, { headers });
  await test.rt.systemPool.query(`update member set denies = '{jobs:all}' where user_id = $1`, [member.user.id]);
  const startedAt = performance.now();
  expect(await following.text()).toContain('event: job.queued');
  expect(performance.now() - startedAt).toBeLessThan(2000);
});

it('whoever was signed out while they waited does not get the answer', async () => {
  const waiting = ask({ prefer: 'wait=20' });
  await expect.poll(() => test.rt.reader.counts().watchers).toBe(1);
  await logout();
  // Longer than what is known of a session is good for.
  await setTimeout(1100);
  const { rows } = await test.rt.systemPool.query<{ id: string }>('select id from job');
  await test.rt.jobs.cancel({ workspaceId: user.workspace.id, id: rows[0]?.id ?? '' });
  expect((await waiting).status).toBe(401);
});

// No worker runs: both answers would last until the server is killed.
it('a server that closes ends its event streams and its waits at once', async () => {
  const streaming = await ask({ accept: 'text/event-stream' });
  const waiting = ask({ prefer: 'wait=25' });
  await expect.poll(() => test.rt.reader.counts().watchers).toBe(2);
  const startedAt = performance.now();
  const closed = test.app.close();
  expect(await streaming.text()).toContain('event: job.queued');
  expect((await waiting).status).toBe(202);
  await closed;
  // Of the 25 s that were asked for.
  expect(performance.now() - startedAt).toBeLessThan(10_000);
});
