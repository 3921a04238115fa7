import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { TestApp } from '../../test/harness.ts';
import { buildApp } from '#src/app.ts';
import { AppError, unavailable } from '#src/errors.ts';
import { fieldErrors } from '#src/http/validation.ts';
import { openTestRuntime } from '../../test/harness.ts';

let test: TestApp;
let address: string;
const failures: Record<string, () => unknown> = {
  plain: () => {
    throw new Error('select secret from table');
  },
  text: () => {
    throw 'a text' as unknown;
  },
  nothing: () => {
    throw undefined as unknown;
  },
  teapot: () => {
    throw new AppError(418, 'teapot', 'Short and stout.');
  },
  later: () => {
    throw unavailable('busy', 'Come back.', 1500);
  },
  outage: () => {
    throw Object.assign(new Error('connect ECONNREFUSED 10.0.0.5:5432'), { code: 'ECONNREFUSED' });
  },
};

beforeAll(async () => {
  const opened = await openTestRuntime();
  const app = await buildApp(opened.rt);
  app.get('/fail/:kind', {
    config: { access: 'public' },
    schema: { params: z.strictObject({ kind: z.string() }), response: { 200: z.object({ right: z.string().max(3) }) } },
    handler: async (request) => {
      failures[request.params.kind]?.();
      return { right: 'longer than the schema says' };
    },
  });
  const Body = z.strictObject({
    input: z.strictObject({
      messages: z.array(z.strictObject({ role: z.enum(['user', 'assistant']), content: z.string() })),
    }),
    either: z
      .union([z.strictObject({ text: z.string() }), z.strictObject({ texts: z.array(z.string()).max(2) })])
      .optional(),
    free: z.unknown().optional(),
  });
  app.post('/echo', {
    bodyLimit: 1_048_576,
    config: { access: 'public' },
    schema: { body: Body },
    handler: async (request) => ({ body: request.body }),
  });
  app.post('/no-body', { config: { access: 'public' }, handler: async (request) => ({ body: request.body ?? null }) });
  await app.ready();
  address = await app.listen({ host: '127.0.0.1', port: 0 });
  test = {
    ...opened,
    app,
    async close() {
      await app.close();
      await opened.close();
    },
  };
});
afterAll(() => test.close());

const post = (url: string, payload: string, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
  test.app.inject({ method: 'POST', url, payload, headers });

const within = (free: string) => post('/echo', `{"input":{"messages":[]},"free":${free}}`);
const requestIdFor = async (id: string) =>
  (await test.app.inject({ url: '/api/x', headers: { 'x-request-id': id } })).headers['x-request-id'];

const speak = (text: string) =>
  new Promise<string>((resolve, reject) => {
    const socket = connect(Number(new URL(address).port), '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk.toString()));
    socket.on('end', () => resolve(answer));
    socket.on('error', reject);
  });

describe('an error of a handler', () => {
  it.each([
    ['plain', 500, 'internal'],
    ['text', 500, 'internal'],
    ['nothing', 500, 'internal'],
    ['response', 500, 'internal'],
    ['teapot', 418, 'teapot'],
    ['later', 503, 'busy'],
    ['outage', 503, 'database_unavailable'],
  ])('%s is answered with %i %s and nothing of its inside', async (kind, status, code) => {
    const answer = await test.app.inject(`/fail/${kind}?token=query-secret`);
    expect(answer.statusCode).toBe(status);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(answer.headers['cache-control']).toBe('no-store');
    const problem = answer.json();
    expect(problem).toMatchObject({ status, code, instance: `/fail/${kind}`, message: problem.detail });
    expect(answer.body).not.toMatch(/select|10\.0\.0\.5|stack|query-secret/);
    expect(answer.headers['retry-after']).toBe(status === 503 ? '2' : undefined);
  });
});

const errorsOf = (schema: z.ZodType, value: unknown) => fieldErrors(schema.safeParse(value).error?.issues ?? [], '');

describe('what a field error says', () => {
  it('calls a field that is not there required, but keeps a message of the schema', () => {
    const schema = z.object({ text: z.string(), count: z.int('must be a whole number') });
    expect(errorsOf(schema, {}).map(({ path, message }) => `${path} ${message}`)).toEqual([
      'text is required',
      'count must be a whole number',
    ]);
    expect(errorsOf(schema, { text: null, count: 1 })[0]?.message).toContain('received null');
  });

  it('is said once', () => {
    const twice = z
      .string()
      .regex(/^a/, 'must be a')
      .refine(() => false, 'must be a');
    expect(errorsOf(z.object({ text: twice }), { text: 'b' })).toHaveLength(1);
  });
});

describe('a body', () => {
  it.each([
    ['{"input":', 'ends too soon at line 1, column 10'],
    ['{"input": nope}', 'has an unexpected "n" at line 1, column 11'],
    ['{\n  "a": 1,\n}', 'has an unexpected "}" at line 3, column 1'],
    ['undefined', 'has an unexpected "u" at line 1, column 1'],
    ['{"a":1}{', 'has an unexpected "{" at line 1, column 8'],
  ])('that is %j is 400 invalid_json and says where', async (payload, message) => {
    const answer = await post('/echo', payload);
    expect(answer.json()).toMatchObject({ status: 400, code: 'invalid_json', errors: [{ message }] });
  });

  it.each([
    [{}, ['input']],
    [
      { input: { messages: [{ role: 'user', content: 'a' }, { role: 'robot' }] } },
      ['input.messages[1].role', 'input.messages[1].content'],
    ],
    [{ input: { messages: [] }, other: 1 }, ['other']],
    [{ input: { messages: [], deep: 1, deeper: 2 } }, ['input.deep', 'input.deeper']],
    [{ input: { messages: [] }, either: { texts: ['a', 'b', 'c'] } }, ['either.texts']],
    [[1], ['body']],
    ['text', ['body']],
    [null, ['body']],
    [{ input: { messages: [] }, free: { a: [{ b: 'x\u0000' }] } }, ['free.a[0].b']],
  ])('%j is 400 and names the fields', async (body, paths) => {
    const answer = await post('/echo', JSON.stringify(body));
    expect(answer.json()).toMatchObject({ status: 400, code: 'validation_failed' });
    expect(answer.json().errors.map(({ path }: { path: string }) => path)).toEqual(paths);
  });

  it('must not reach the prototype or be deeper than anyone can walk', async () => {
    expect((await within('{"__proto__":{"admin":true}}')).json()).toMatchObject({
      status: 400,
      errors: [{ path: 'free', code: 'invalid_key' }],
    });
    expect((await within(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)).json()).toMatchObject({
      status: 400,
      errors: [{ code: 'too_deep' }],
    });
    expect((await within(`${'['.repeat(60)}${']'.repeat(60)}`)).statusCode).toBe(200);
  });

  it('must not have half an emoji, wherever it stands', async () => {
    for (const [free, path] of [
      ['"\\ud800zz"', 'free'],
      ['{"a":["b","a\\ud83d"]}', 'free.a[1]'],
      ['[{"b":"\\ude00"}]', 'free[0].b'],
      ['"\\ude00\\ud83d"', 'free'],
    ])
      expect((await within(free ?? '')).json()).toMatchObject({
        status: 400,
        code: 'validation_failed',
        errors: [{ path, code: 'invalid_text' }],
      });
    expect((await within('["\\ud83d\\ude00"]')).json()).toMatchObject({ body: { free: ['😀'] } });
  });

  it('that is empty is no body, whatever its type says', async () => {
    expect((await post('/no-body', '')).json()).toEqual({ body: null });
    expect((await post('/no-body', ' \n ')).json()).toEqual({ body: null });
    expect((await post('/echo', '')).json()).toMatchObject({ status: 400, errors: [{ path: 'body' }] });
  });

  it('of another type is 415, too large is 413', async () => {
    for (const type of [
      'text/plain',
      'application/xml',
      'application/x-www-form-urlencoded',
      'nonsense',
      'application/json-patch+json',
    ]) {
      const answer = await post('/echo', '{}', { 'content-type': type });
      expect(`${type}: ${answer.statusCode} ${answer.json().code}`).toBe(`${type}: 415 unsupported_media_type`);
    }
    const large = await post('/echo', JSON.stringify({ free: 'x'.repeat(1_048_576) }));
    expect(large.json()).toMatchObject({ status: 413, code: 'body_too_large' });
  });
});

describe('a route', () => {
  it('that does not exist is 404', async () => {
    const answer = await test.app.inject({ method: 'POST', url: '/api/nothing?secret=1' });
    expect(answer.json()).toMatchObject({ status: 404, code: 'not_found', instance: '/api/nothing' });
    expect(answer.body).not.toContain('secret');
  });

  it.each([
    ['DELETE', '/api/auth/me', 'GET, HEAD, PATCH'],
    ['GET', '/api/auth/login', 'POST'],
    ['PUT', '/api/workspaces/5', 'DELETE, GET, HEAD, PATCH'],
  ] as const)('that has no %s is 405 on %s', async (method, url, allow) => {
    const answer = await test.app.inject({ method, url });
    expect(answer.json()).toMatchObject({ status: 405, code: 'method_not_allowed' });
    expect(answer.headers['allow']).toBe(allow);
  });

  it.each(['/api/%', '/api/auth/%zz', '/%ff%fe'])('spelled %s is a 400', async (url) => {
    const answer = await test.app.inject({ url });
    expect(answer.statusCode).toBe(400);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(answer.headers['x-request-id']).toBeTruthy();
  });

  it('with a parameter beyond all measure is a problem too', async () => {
    const answer = await test.app.inject(`/api/workspaces/${'x'.repeat(5000)}`);
    expect(answer.statusCode).toBe(414);
    expect(answer.headers['content-type']).toBe('application/problem+json');
  });
});

it('gives every answer the request id it was sent, or its own when that one is not harmless', async () => {
  expect(await requestIdFor('abc-1.2_3')).toBe('abc-1.2_3');
  for (const id of ['', 'a b', 'x'.repeat(65), '<script>', 'ä'])
    expect(await requestIdFor(id)).toMatch(/^[0-9a-f-]{36}$/);
});

describe('what is not HTTP', () => {
  it.each([
    ['no request line', 'nonsense\r\n\r\n', 400, 'invalid_http'],
    ['headers too large', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
    [
      'two lengths, as in request smuggling',
      'POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n',
      400,
      'invalid_http',
    ],
  ])('is answered with a problem: %s', async (_name, text, status, code) => {
    const [head = '', body = ''] = (await speak(text)).split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(head.toLowerCase()).toContain('content-type: application/problem+json');
    expect(JSON.parse(body)).toMatchObject({ code });
  });
});
