import { connect } from 'node:net';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TestUser } from '../../test/factories.ts';
import type { TestApp } from '../../test/harness.ts';
import { ProblemView } from '#src/http/problem-view.ts';
import { aUser } from '../../test/factories.ts';
import { openTestApp } from '../../test/harness.ts';

const RUNS = 600;

let test: TestApp;
let user: TestUser;
let port: number;
beforeAll(async () => {
  test = await openTestApp();
  user = await aUser(test.rt);
  port = Number(new URL(await test.app.listen({ host: '127.0.0.1', port: 0 })).port);
});
afterAll(() => test.close());

const ROUTES = [
  ['POST', '/api/auth/register'],
  ['POST', '/api/auth/login'],
  ['POST', '/api/auth/refresh'],
  ['PATCH', '/api/auth/me'],
  ['GET', '/api/auth/me'],
  ['GET', '/api/workspaces'],
  ['GET', '/api/workspaces/'],
] as const;

const KEYS = [
  'email',
  'password',
  'name',
  'workspaceName',
  'refreshToken',
  'locale',
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  '',
];
const nasty = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      '',
      ' ',
      '\u0000',
      'a\u0000b',
      '\ud800',
      '\udfff\ud800',
      '\u202e',
      '\ufeff',
      "' or 1=1 --",
      '${7*7}',
      '../../etc/passwd',
      'x'.repeat(5000),
      'Ω'.repeat(200),
      'a@b.co',
      'İ@x.co',
      '\u212a@x.co',
    ),
  },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  { weight: 1, arbitrary: fc.emailAddress() },
);
const leaf = fc.oneof(
  nasty,
  fc.double(),
  fc.boolean(),
  fc.constantFrom(null, 1e308, -0, Number.MAX_SAFE_INTEGER + 2, [], {}),
);
const { value: anyValue } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom(...KEYS), tie('value'), { noNullPrototype: true }),
  ),
}));
const object = fc.dictionary(
  fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...KEYS) }, { weight: 1, arbitrary: nasty }),
  fc.oneof({ weight: 2, arbitrary: nasty }, { weight: 1, arbitrary: anyValue }),
  { noNullPrototype: true },
);
const body = fc.oneof(
  { weight: 4, arbitrary: object.map((value) => JSON.stringify(value)) },
  { weight: 1, arbitrary: anyValue.map((value) => JSON.stringify(value) ?? '') },
  { weight: 2, arbitrary: fc.tuple(object, fc.nat()).map(([value, cut]) => JSON.stringify(value).slice(0, cut % 60)) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 40_000 }).map((depth) => '{"a":['.repeat(depth)) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 40_000 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '{"email":"a@b.co","email":1}',
      '{"__proto__":{"email":"x"}}',
      '{"name":1e999}',
      'NaN',
      '\ufeff{}',
      '{"a":"\\ud800"}',
      '{"\\u0000":1}',
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 100 }) },
);
const headerText = fc.oneof(
  fc.constantFrom(
    'application/json',
    'application/json; charset=utf-16',
    'application/json;',
    'text/plain',
    'multipart/form-data',
    '',
    '*/*',
    'gzip',
    'null',
    'Bearer',
    'Bearer x.y.z',
    ',',
    '0',
    '-1',
    'bytes=0-',
    '%00',
    '100-continue-not',
  ),
  fc.stringMatching(/^[\u0020-\u007e\u00a0-\u00ff]{0,60}$/),
);
const headers = fc.dictionary(
  fc.constantFrom(
    'content-type',
    'authorization',
    'x-workspace-id',
    'x-request-id',
    'origin',
    'accept',
    'content-encoding',
    'cookie',
    'range',
    'if-match',
    'prefer',
    'x-forwarded-for',
    'forwarded',
    'user-agent',
    'idempotency-key',
    'x-http-method-override',
  ),
  headerText,
  { noNullPrototype: true, maxKeys: 5 },
);
const tail = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  {
    weight: 2,
    arbitrary: fc
      .dictionary(
        fc.constantFrom('limit', 'cursor', 'workspaceId', '__proto__', 'constructor', 'x[y]'),
        nasty.map((text) => text.toWellFormed()),
        { noNullPrototype: true },
      )
      .map((query) => `?${new URLSearchParams(query).toString()}`),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '?',
      '??',
      '?%',
      '?a=%ff',
      '/%00',
      '/%',
      '/..%2f..%2f',
      '?limit=1&limit=2',
      '#x',
      ';x',
      '//',
      '/%c0%af',
    ),
  },
);

/** Nothing may come back but a good answer or a problem, and never one that blames the server. */
function judge(status: number, type: string, text: string): void {
  expect(status).toBeLessThan(500);
  if (status < 400) return;
  expect(type).toBe('application/problem+json');
  const problem = ProblemView.parse(JSON.parse(text));
  expect(problem.status).toBe(status);
  expect(text).not.toMatch(/node_modules|at \w+ \(|select |insert |argon2|violates|syntax for type/i);
}

it('answers whatever anyone sends with a good answer or a problem', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...ROUTES),
      tail,
      headers,
      body,
      fc.boolean(),
      async ([method, path], end, sent, payload, known) => {
        const answer = await test.app.inject({
          method,
          url: path + end,
          headers: { 'content-type': 'application/json', ...(known ? user.headers : {}), ...sent },
          ...(method === 'GET' ? {} : { payload }),
        });
        judge(answer.statusCode, String(answer.headers['content-type']), answer.body);
      },
    ),
    { numRuns: RUNS },
  );
  const still = await test.app.inject({ url: '/api/auth/me', headers: user.headers });
  expect(still.statusCode).toBe(200);
  expect(Object.prototype).not.toHaveProperty('email');
});

it('answers broken bytes on a real connection the same way, or closes it', { timeout: 60_000 }, async () => {
  const target = fc.oneof(
    fc.constantFrom('/api/auth/login', '/api/auth/%', '*', 'x', '//', 'http://other/api/auth/me'),
    fc.webPath(),
  );
  const length = fc.oneof(
    fc.constantFrom(
      '',
      'content-length: -1',
      'content-length: 5',
      'content-length: 99999999',
      'transfer-encoding: chunked',
      'transfer-encoding: gzip',
    ),
    fc.nat(30).map((count) => `content-length: ${count}`),
  );
  const verb = fc.constantFrom('GET', 'POST', 'PATCH', 'TRACE', 'CONNECT', 'PROPFIND', 'get', 'G\u0000T', '');
  await fc.assert(
    fc.asyncProperty(verb, target, length, fc.uint8Array({ maxLength: 30 }), async (method, path, size, bytes) => {
      const head = `${method} ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n${size}${size ? '\r\n' : ''}\r\n`;
      const answer = await speak(Buffer.concat([Buffer.from(head), Buffer.from(bytes)]));
      if (answer === '') return;
      const [top = ''] = answer.split('\r\n\r\n', 1);
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(top)?.[1]);
      const type = /^content-type: (.*)$/im.exec(top)?.[1] ?? '';
      // Bytes after a bodiless request are a second one, with an answer of its own.
      const lengthBytes = Number(/^content-length: (\d+)$/im.exec(top)?.[1] ?? 0);
      judge(status, type, answer.slice(top.length + 4, top.length + 4 + lengthBytes));
    }),
    { numRuns: 200 },
  );
  const whole = Buffer.from('GET /api/auth/me HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
  expect(await speak(whole, true)).toMatch(/^HTTP\/1.1 401 /);
});

/** @param isWhole the request needs no end of the connection to be whole: one that ends it early is told nothing */
function speak(bytes: Buffer, isWhole = false): Promise<string> {
  return new Promise((resolve) => {
    // Half-closing tells the server that no more is coming, so a body cut short does not wait for its time-out.
    const socket = connect(port, '127.0.0.1', () => (isWhole ? socket.write(bytes) : socket.end(bytes)));
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
  });
}
