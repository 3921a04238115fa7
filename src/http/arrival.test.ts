import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestRuntime } from '#test/harness.ts';
import type { App } from '#src/http/app-type.ts';
import { buildApp } from '#src/app.ts';
import { readAnswer, speak } from '#test/fuzz/raw.ts';
import { openTestRuntime } from '#test/harness.ts';

const TIMEOUT_MS = 600;
/** For the server to cut a connection: the time-out, the interval of its checks, and a machine that is busy. */
const PATIENCE_MS = 10_000;

let test: TestRuntime;
let app: App;
let port: number;
beforeAll(async () => {
  test = await openTestRuntime({ REQUEST_TIMEOUT_MS: `${TIMEOUT_MS}` });
  app = await buildApp(test.rt);
  for (const bodyLimit of [100, 2_000_000]) {
    const config = { access: 'public' as const };
    app.post(`/takes/${bodyLimit}`, { bodyLimit, config }, async () => ({ ok: true }));
  }
  port = Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port);
});
afterAll(async () => {
  await app.close();
  await test.close();
});

/** Sends the head, then a byte every 100 ms, and never closes its side. @returns what came until the server closed */
function trickle(head: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.write(head));
    const drip = setInterval(() => socket.writable && socket.write('x'), 100);
    const late = setTimeout(() => reject(new Error('The server did not close the connection')), PATIENCE_MS);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    // The server is gone: a reset, or an end after which writing fails.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearInterval(drip);
      clearTimeout(late);
      resolve(Buffer.concat(chunks).toString('latin1'));
    });
  });
}

// A machine that stalls lets a byte arrive behind the cut.
describe('a request that trickles in is cut', { retry: 2 }, () => {
  it.each([
    ['in its headers', 'GET /api/health HTTP/1.1\r\nhost: x\r\nx-slow: '],
    [
      'in its body',
      'POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n',
    ],
    [
      'in its chunks',
      'POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n3e8\r\n',
    ],
  ])('%s', async (_where, head) => {
    const answer = readAnswer(await trickle(head));
    expect(answer.status).toBe(408);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(JSON.parse(answer.body)).toMatchObject({ status: 408, code: 'request_timeout' });
  });

  it('and one that says nothing at all', async () => {
    const silent = await new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1').resume();
      socket.on('close', resolve);
    });
    expect(silent).toBe(false);
  });
});

const offer = (method: string, url: string, protocol: string) => {
  const head = `${method} ${url} HTTP/1.1\r\nhost: x\r\nconnection: close, upgrade\r\n`;
  return speak(port, Buffer.from(`${head}upgrade: ${protocol}\r\n\r\n`));
};

describe('an Upgrade that nobody here speaks', () => {
  it.each([
    // What curl --http2 and Java send.
    ['GET', '/api/health/live', 'h2c', 200],
    ['GET', '/api/health/live', 'websocket', 200],
    ['OPTIONS', '/', 'h2c', 204],
    ['POST', '/api/auth/login', 'websocket', 400],
    ['GET', '/api/ws', 'h2c', 426],
    ['HEAD', '/api/ws', 'websocket', 426],
  ])('is ignored, and the connection closed as ever: %s %s %s', async (method, url, protocol, status) => {
    expect((await offer(method, url, protocol)).status).toBe(status);
  });
});

const post = (url: string, bytes: number) => {
  const body = JSON.stringify('x'.repeat(bytes - 2));
  const head = `POST ${url} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n`;
  return speak(port, Buffer.from(`${head}content-length: ${body.length}\r\n\r\n${body}`));
};

it('an expectation nobody here knows is ignored', async () => {
  const head = 'GET /api/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: something\r\n\r\n';
  expect((await speak(port, Buffer.from(head))).status).toBe(200);
});

describe('a body', () => {
  it.each([
    ['/takes/100', 100],
    ['/takes/2000000', 2_000_000],
    // A stranger's; the route itself then refuses a text.
    ['/api/auth/login', 16_384],
  ])('of %s may be as long as the route takes, and one byte longer is 413', async (url, bytes) => {
    expect((await post(url, bytes)).status).not.toBe(413);
    const refused = await post(url, bytes + 1);
    expect(refused.status).toBe(413);
    expect(refused.headers['content-type']).toBe('application/problem+json');
    expect(JSON.parse(refused.body)).toMatchObject({ status: 413, code: 'body_too_large' });
  });
});
