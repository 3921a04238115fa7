import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSimulator } from '../../../simulator/server.ts';
import { runPlain, runStream } from '#src/ai/providers/call.ts';

/** Takes connections and never says a word: a TLS handshake with it does not end. */
const silent = createServer((socket) => {
  sockets.push(socket);
  socket.on('error', () => undefined);
});
const sockets: Socket[] = [];
let url = '';
beforeAll(async () => {
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  url = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
});
afterAll(() => {
  for (const socket of sockets) socket.destroy();
  silent.close();
});

async function* none() {}
const { signal } = new AbortController();
const call = { provider: 'openai', signal, connectMs: 100 } as const;
const refused = { name: 'ProviderError', failure: 'timeout', message: 'openai took too long (no connection).' };

test('a server that does not get as far as a connection is given up', async () => {
  const plain = runPlain(call, (upstream) => upstream.fetch(url));
  await expect(plain).rejects.toMatchObject(refused);
  const answer = { ended: false, push: () => undefined, end: () => [] };
  const stream = runStream(call, answer, async (upstream) => {
    await upstream.fetch(url);
    return none();
  });
  await expect(stream.next()).rejects.toMatchObject(refused);
});

test('a connection that is there may take its time to answer, also when it served before', async () => {
  const simulator = await createSimulator();
  simulator.script({ headersMs: 300 });
  const ask = () =>
    runPlain(call, async (upstream) => {
      const body = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Oi' }] });
      const headers = { 'content-type': 'application/json' };
      const answer = await upstream.fetch(`${simulator.url}/v1/chat/completions`, { method: 'POST', body, headers });
      return answer.status;
    });
  expect(await ask()).toBe(200);
  expect(await ask()).toBe(200);
  await simulator.close();
});
