import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { createServer as createTlsServer, getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createEgress, type Egress, EgressFailed, EgressRefused, type EgressOptions } from '#src/lib/egress.ts';
import { TEST_TLS } from '#test/test-tls.ts';

const LOOPBACK = '127.0.0.1';
const POST: EgressOptions = {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: '{"a":"é"}',
  connectTimeoutMs: 8000,
  timeoutMs: 20_000,
  maxBytes: 1000,
};
/** Long enough for a busy machine to get as far as it will, and waited for in vain. */
const SHORT_MS = 1500;

/** What the other side does once the request has come; what came is in `received`. */
let answer: (socket: Socket) => void;
let received = '';
let server: Server;
let port = 0;
let egress: Egress;
const sockets = new Set<Socket>();

function listen(socket: Socket) {
  sockets.add(socket);
  socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  socket.on('data', (chunk) => {
    received += chunk.toString();
    if (received.includes('\r\n\r\n')) answer(socket);
  });
}

beforeAll(async () => {
  server = createServer(listen);
  await once(server.listen(0, LOOPBACK), 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterAll(() => void server.close());
// One for each test: a connection that the last one broke must not be kept for the next.
beforeEach(() => {
  received = '';
  egress = createEgress({ allow: [`${LOOPBACK}:${port}`] });
});
afterEach(async () => {
  await egress.close();
  for (const socket of sockets) socket.destroy();
});

const ask = (options: Partial<EgressOptions> = {}, path = '/') =>
  egress.request(`http://${LOOPBACK}:${port}${path}`, { ...POST, ...options });
async function failureOf(asked: Promise<unknown>): Promise<{ kind: string; sentAnything: boolean; message: string }> {
  const error: unknown = await asked.then(
    () => new Error('It was answered'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof EgressFailed)) throw error;
  const { kind, sentAnything, message } = error;
  return { kind, sentAnything, message };
}
const says = (text: string) => (socket: Socket) => void socket.write(text);
const ok = (body: string, ...headers: string[]) =>
  ['HTTP/1.1 200 OK', `content-length: ${Buffer.byteLength(body)}`, ...headers, '', body].join('\r\n');

describe('a request', () => {
  it('is sent once, as it was given, and asks for nothing that is packed', async () => {
    answer = says(ok('thanks', 'X-Twice: a', 'x-twice: b'));
    const given = await ask({ headers: { ...POST.headers, 'webhook-id': 'msg_1' } }, '/a%20b/../c?d=e&f=%C3%A9#g');
    expect(received.split('\r\n')[0]).toBe('POST /c?d=e&f=%C3%A9 HTTP/1.1');
    expect(received).toMatch(new RegExp(`^host: ${LOOPBACK}:${port}\r$`, 'im'));
    expect(received).toMatch(/^content-length: 10\r$/im);
    expect(received).toMatch(/^webhook-id: msg_1\r$/im);
    expect(received).not.toMatch(/accept-encoding/i);
    expect(received.endsWith('\r\n\r\n{"a":"é"}')).toBe(true);
    expect(given).toMatchObject({ status: 200, isTruncated: false, headers: { 'x-twice': ['a', 'b'] } });
    expect(given.body.toString()).toBe('thanks');
    expect(given.durationMs).toBeGreaterThan(0);
  });

  it('keeps its connection for the next to the same target', async () => {
    answer = (socket) => {
      received = '';
      socket.write(ok('again'));
    };
    for (let round = 0; round < 20; round += 1) expect((await ask()).body.toString()).toBe('again');
    // A second one may be opened while the first is still being set free.
    expect(sockets.size).toBeLessThan(3);
  });

  it.each([
    'Host',
    'host',
    'Accept-Encoding',
    'Connection',
    'Transfer-Encoding',
    'Content-Length',
    'Expect',
    'Upgrade',
    'Proxy-Authorization',
    'TE',
    'a b',
    'x\r\ny',
  ])('is not made with a header %j', async (name) => {
    answer = says(ok('reached'));
    await expect(ask({ headers: { [name]: 'example.com' } })).rejects.toMatchObject({
      name: 'EgressRefused',
      reason: 'header',
    });
    expect(received).toBe('');
  });

  it('is not made with a header that would hold another', async () => {
    answer = says(ok('reached'));
    await expect(ask({ headers: { 'x-a': 'b\r\nx-c: d' } })).rejects.toBeInstanceOf(EgressRefused);
    expect(received).toBe('');
  });
});

describe('an answer', () => {
  it('is read to maxBytes and no further', async () => {
    let written = 0;
    answer = (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n');
      const chunk = Buffer.alloc(65_536, 'a');
      const pour = () => {
        while (!socket.destroyed && socket.write(chunk)) written += chunk.length;
      };
      socket.on('drain', pour);
      pour();
    };
    const given = await ask({ maxBytes: 5000 });
    expect(given).toMatchObject({ status: 200, isTruncated: true });
    expect(given.body.equals(Buffer.alloc(5000, 'a'))).toBe(true);
    await expect.poll(() => sockets.size).toBe(0);
    expect(written).toBeLessThan(50_000_000);
  });

  it.each([
    [1000, false],
    [1001, true],
  ])('of %i bytes is truncated: %s', async (length, isTruncated) => {
    answer = says(ok('é'.repeat(length / 2) + 'x'.repeat(length % 2)));
    const given = await ask({ maxBytes: 1000 });
    expect(given.isTruncated).toBe(isTruncated);
    expect(given.body.length).toBe(1000);
  });

  it('that is packed is given as it came', async () => {
    const bomb = gzipSync(Buffer.alloc(10_000_000));
    answer = (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`);
      socket.write(bomb);
    };
    const given = await ask({ maxBytes: 20_000 });
    expect(given.body.equals(bomb)).toBe(true);
  });

  it('may come in chunks, after interim ones, and without a length', async () => {
    answer = says(
      'HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n',
    );
    const chunked = await ask();
    expect([chunked.status, chunked.body.toString(), chunked.headers['link']]).toEqual([201, 'abcd', undefined]);
    received = '';
    answer = (socket) => socket.end('HTTP/1.1 410 Gone\r\n\r\ngone');
    const ended = await ask();
    expect([ended.status, ended.body.toString()]).toEqual([410, 'gone']);
  });

  it.each<[string, (socket: Socket) => void]>([
    ['never begins', () => undefined],
    ['stops in its headers', says('HTTP/1.1 200 OK\r\nx-a:')],
    ['stops in its body', says('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc')],
    [
      'drips',
      (socket) => void (says('HTTP/1.1 200 OK\r\n\r\n')(socket), setInterval(() => socket.write('a'), 20).unref()),
    ],
    [
      'is only announced, for ever',
      (socket) => void setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 20).unref(),
    ],
  ])('that %s is waited for no longer than timeoutMs', async (_, behave) => {
    answer = behave;
    const startedAt = performance.now();
    const failure = await failureOf(ask({ timeoutMs: SHORT_MS }));
    expect(failure).toMatchObject({ kind: 'timeout', sentAnything: true });
    expect(performance.now() - startedAt).toBeGreaterThan(SHORT_MS * 0.9);
    await expect.poll(() => sockets.size).toBe(0);
  });

  it.each<[string, string, (socket: Socket) => void]>([
    [
      'has endless headers',
      'protocol',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        const pour = () => {
          while (!socket.destroyed && socket.write(`x-${'a'.repeat(50)}: ${'b'.repeat(500)}\r\n`));
        };
        socket.on('drain', pour);
        pour();
      },
    ],
    ['has one endless header', 'protocol', says(`HTTP/1.1 200 OK\r\nx-a: ${'b'.repeat(40_000)}`)],
    ['is no HTTP', 'protocol', says('SSH-2.0-OpenSSH_9.2\r\n\r\n')],
    ['has no status', 'protocol', says('HTTP/1.1 OK\r\n\r\n')],
    ['has a version nobody knows', 'protocol', says('HTTP/7.3 200 OK\r\n\r\n')],
    ['has a header without a name', 'protocol', says('HTTP/1.1 200 OK\r\n: a\r\n\r\n')],
    ['has a negative length', 'protocol', says('HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n')],
    ['has two lengths', 'protocol', says('HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd')],
    ['has a broken chunk', 'protocol', says('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc')],
    [
      'changes the protocol',
      'reset',
      says('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n'),
    ],
    ['is a closed connection', 'reset', (socket) => socket.end()],
    ['is a reset connection', 'reset', (socket) => void socket.resetAndDestroy()],
    ['is cut in its headers', 'reset', (socket) => socket.end('HTTP/1.1 200 OK\r\nx-a: b\r\n')],
    ['is cut in its body', 'reset', (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc')],
    [
      'is cut in its chunks',
      'reset',
      (socket) => socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab'),
    ],
  ])('that %s fails as %s', async (_, kind, behave) => {
    answer = behave;
    expect(await failureOf(ask())).toMatchObject({ kind, sentAnything: true });
  });
});

describe('a connection', () => {
  it('that is refused is a failure with nothing sent', async () => {
    const closed = createServer();
    await once(closed.listen(0, LOOPBACK), 'listening');
    const { port: nobody } = closed.address() as AddressInfo;
    closed.close();
    const other = createEgress({ allow: [`${LOOPBACK}:${nobody}`] });
    const failure = await failureOf(other.request(`http://${LOOPBACK}:${nobody}/`, POST));
    expect(failure).toMatchObject({ kind: 'connect', sentAnything: false });
    expect(failure.message).toContain('ECONNREFUSED');
    await other.close();
  });

  it('is waited for no longer than connectTimeoutMs: its name, and its TLS', async () => {
    const other = createEgress({
      allow: [`${LOOPBACK}:${port}`],
      resolve: () => new Promise(() => undefined),
    });
    const options = { ...POST, connectTimeoutMs: SHORT_MS };
    for (const url of ['https://slow.example.com/', `https://${LOOPBACK}:${port}/`]) {
      answer = () => undefined;
      const startedAt = performance.now();
      expect(await failureOf(other.request(url, options))).toMatchObject({ kind: 'timeout', sentAnything: false });
      expect(performance.now() - startedAt).toBeLessThan(POST.timeoutMs);
    }
    await other.close();
  });

  it('whose name cannot be resolved is a failure with nothing sent', async () => {
    const other = createEgress({ allow: [], resolve: () => Promise.reject(new Error('SERVFAIL')) });
    const failure = await failureOf(other.request('https://a.example.com/', POST));
    expect(failure).toMatchObject({ kind: 'dns', sentAnything: false });
    await other.close();
  });

  it('that speaks no TLS is no https', async () => {
    answer = says(ok('plain'));
    server.once('connection', (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const failure = await failureOf(egress.request(`https://${LOOPBACK}:${port}/`, POST));
    expect(failure).toMatchObject({ kind: 'tls', sentAnything: false });
  });

  it('is to the name: in TLS, in the certificate and in Host, though the address was looked up before', async () => {
    const names: (string | false | null)[] = [];
    const secure = createTlsServer({ ...TEST_TLS }, (socket) => {
      names.push(socket.servername);
      answer = says(ok('secured'));
      listen(socket);
    });
    secure.on('tlsClientError', () => undefined);
    await once(secure.listen(0, LOOPBACK), 'listening');
    const { port: at } = secure.address() as AddressInfo;
    const allow = [`hooks.test:${at}`, `other.test:${at}`, `${LOOPBACK}:${at}`];
    const other = createEgress({ allow, resolve: async () => [LOOPBACK] });
    const call = (host: string) => other.request(`https://${host}:${at}/`, POST);
    expect(await failureOf(call('hooks.test'))).toMatchObject({ kind: 'tls', sentAnything: false });
    const trusted = getCACertificates('default');
    setDefaultCACertificates([...trusted, TEST_TLS.cert]);
    try {
      expect((await call('hooks.test')).body.toString()).toBe('secured');
      expect(names.at(-1)).toBe('hooks.test');
      expect(received).toMatch(new RegExp(`^host: hooks\\.test:${at}\r$`, 'im'));
      expect(await failureOf(call('other.test'))).toMatchObject({ kind: 'tls', sentAnything: false });
      expect(await failureOf(call(LOOPBACK))).toMatchObject({ kind: 'tls', sentAnything: false });
    } finally {
      setDefaultCACertificates(trusted);
    }
    await other.close();
    for (const socket of sockets) socket.destroy();
    secure.close();
  });
});

describe('giving up', () => {
  it('by the signal ends the request, and the connection with it', async () => {
    expect(await failureOf(ask({ signal: AbortSignal.abort() }))).toMatchObject({
      kind: 'aborted',
      sentAnything: false,
    });
    expect(received).toBe('');
    const controller = new AbortController();
    answer = () => controller.abort();
    expect(await failureOf(ask({ signal: controller.signal }))).toMatchObject({ kind: 'aborted', sentAnything: true });
    await expect.poll(() => sockets.size).toBe(0);
  });

  it('of the guard ends what is under way, and takes nothing new', async () => {
    const other = createEgress({ allow: [`${LOOPBACK}:${port}`] });
    const came = new Promise<void>((resolve) => (answer = () => resolve()));
    const failing = failureOf(other.request(`http://${LOOPBACK}:${port}/`, POST));
    await came;
    await other.close();
    expect(await failing).toMatchObject({ kind: 'aborted', sentAnything: true });
    expect(await failureOf(other.request(`http://${LOOPBACK}:${port}/`, POST))).toMatchObject({ kind: 'aborted' });
    await expect.poll(() => sockets.size).toBe(0);
  });
});
