import * as fc from 'fast-check';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Identities } from '#test/fuzz/requests.ts';
import { identify, meet, openTarget, type Target } from '#test/fuzz/http.ts';
import { judge } from '#test/fuzz/judge.ts';
import { readAnswer, speak, type RawAnswer } from '#test/fuzz/raw.ts';
import { createWords } from '#test/fuzz/words.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_124);
const RUNS = 300;
const AT_ONCE = 60;
const CLOSES_WITHIN_MS = 15_000;

let target: Target;
let who: Identities;
let port: number;
beforeAll(async () => {
  target = await openTarget({ REQUEST_TIMEOUT_MS: '600' });
  who = await identify(target, await meet(target), createWords());
  port = Number(new URL(await target.app.listen({ host: '127.0.0.1', port: 0 })).port);
});
afterAll(() => target.close());

const wrongWith = ({ status, headers, body }: RawAnswer): string | null =>
  // Closing without a word is an answer to what is no request.
  status === 0 ? null : judge({ status, type: headers['content-type'] ?? '', text: body });

const path = fc.oneof(
  fc.constantFrom(
    '/api/auth/login',
    '/api/auth/me',
    '/api/auth/%',
    '*',
    'x',
    '//',
    '/..%2f',
    'http://other/api/auth/me',
  ),
  fc.webPath(),
);
const lengthHeader = fc.oneof(
  fc.constantFrom(
    '',
    'content-length: -1\r\n',
    'content-length: 99999999\r\n',
    'content-length: 5\r\ncontent-length: 6\r\n',
    'transfer-encoding: chunked\r\n',
    'transfer-encoding: gzip\r\n',
    'transfer-encoding: chunked\r\ncontent-length: 5\r\n',
    'expect: 100-continue\r\ncontent-length: 5\r\n',
    'expect: something\r\n',
    'upgrade: websocket\r\nconnection: upgrade\r\n',
    'upgrade: h2c\r\nconnection: upgrade\r\n',
  ),
  fc.nat(30).map((count) => `content-length: ${count}\r\n`),
);
const verb = fc.constantFrom('GET', 'POST', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT', 'PROPFIND', 'get', 'G\0T', '');
const bytes = fc
  .tuple(verb, path, lengthHeader, fc.uint8Array({ maxLength: 30 }))
  .map(([method, url, length, rest]) => {
    const head = `${method} ${url} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n${length}\r\n`;
    return Buffer.concat([Buffer.from(head), Buffer.from(rest)]);
  });

it('answers broken bytes with a problem, or closes the connection', async () => {
  const samples = fc.sample(bytes, { numRuns: RUNS, seed: SEED });
  const counts = new Map<number, number>();
  while (samples.length > 0) {
    const batch = samples.splice(0, AT_ONCE);
    const answers = await Promise.all(batch.map((sample) => speak(port, sample, CLOSES_WITHIN_MS)));
    for (const { status } of answers) counts.set(status, (counts.get(status) ?? 0) + 1);
    const wrong = answers.map((answer, index) => [wrongWith(answer), batch[index]?.toString('latin1')]);
    expect(wrong.filter(([what]) => what !== null)).toEqual([]);
  }
  process.stdout.write(`${RUNS} connections: ${JSON.stringify(Object.fromEntries(counts))}\n`);
  for (const status of [400, 401, 404, 408]) expect(counts.get(status)).toBeGreaterThan(0);
});

/** Sends a byte of a body in a while, and never the rest. */
const slowly = (method: string, url: string): Promise<RawAnswer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => {
      const head = `${method} ${url} HTTP/1.1\r\nhost: x\r\nauthorization: ${who.owner}\r\n`;
      socket.write(`${head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{`);
    });
    const drip = setInterval(() => socket.writable && socket.write(' '), 100);
    const late = setTimeout(() => {
      socket.destroy();
      reject(new Error(`${method} ${url} kept a slow client for ${CLOSES_WITHIN_MS} ms`));
    }, CLOSES_WITHIN_MS);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearInterval(drip);
      clearTimeout(late);
      resolve(readAnswer(Buffer.concat(chunks).toString('latin1')));
    });
  });

it('lets go of whoever sends the body of a request too slowly, on every route that takes one', async () => {
  const taking = target.operations.filter(({ body }) => body);
  expect(taking.length).toBeGreaterThan(5);
  const answers = await Promise.all(
    taking.map(({ method, url }) => slowly(method, url.replaceAll(/:\w+/g, '00000000-0000-4000-8000-000000000000'))),
  );
  // 408, or what was wrong before the body mattered.
  const wrong = answers.map((answer, index) => [wrongWith(answer), taking[index]?.name]);
  expect(wrong.filter(([what]) => what !== null)).toEqual([]);
  expect(answers.filter(({ status }) => status < 400)).toEqual([]);
  expect(answers.filter(({ status }) => status === 408).length).toBeGreaterThan(taking.length / 2);
});
