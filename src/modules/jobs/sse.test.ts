import { afterEach, beforeEach, expect, it } from 'vitest';
import { aUser, type TestUser } from '../../../test/factories.ts';
import { openTestApp, type TestApp } from '../../../test/harness.ts';

let test: TestApp;
let user: TestUser;
let url: string;

beforeEach(async () => {
  test = await openTestApp();
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
