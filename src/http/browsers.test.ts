import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestApp } from '#test/harness.ts';
import { ConfigError, readConfig } from '#src/config.ts';
import { SAFE_HEADERS } from '#src/http/browsers.ts';
import { speak } from '#test/fuzz/raw.ts';
import { openTestApp } from '#test/harness.ts';

const EXTENSION = 'chrome-extension://abcdefghijklmnopabcdefghijklmnop';

let test: TestApp;
let port: number;
beforeAll(async () => {
  test = await openTestApp({ ALLOWED_ORIGINS: EXTENSION });
  port = Number(new URL(await test.app.listen({ host: '127.0.0.1', port: 0 })).port);
});
afterAll(() => test.close());

const close = 'host: x\r\nconnection: close\r\n';
const ANSWERS: [what: string, text: string, status: number][] = [
  ['a good answer', `GET /api/health HTTP/1.1\r\n${close}\r\n`, 200],
  [
    'a preflight',
    `OPTIONS /api/auth/me HTTP/1.1\r\n${close}origin: ${EXTENSION}\r\naccess-control-request-method: GET\r\n\r\n`,
    204,
  ],
  ['no such route', `GET /nothing HTTP/1.1\r\n${close}\r\n`, 404],
  ['no such method', `DELETE /api/auth/me HTTP/1.1\r\n${close}\r\n`, 405],
  ['a refusal at the door', `GET /api/auth/me HTTP/1.1\r\n${close}\r\n`, 401],
  [
    'a body that is not JSON',
    `POST /api/auth/login HTTP/1.1\r\n${close}content-type: application/json\r\ncontent-length: 1\r\n\r\n{`,
    400,
  ],
  ['a path that cannot be decoded', `GET /api/% HTTP/1.1\r\n${close}\r\n`, 400],
  ['a parameter that is too long', `GET /api/workspaces/${'x'.repeat(3000)} HTTP/1.1\r\n${close}\r\n`, 414],
  ['what is not HTTP', 'nonsense\r\n\r\n', 400],
  ['headers without end', `GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
  ['a WebSocket nobody may open', `GET /api/ws HTTP/1.1\r\n${close}origin: null\r\n\r\n`, 403],
  [
    'a handshake that is none',
    `GET /api/ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`,
    400,
  ],
];

it.each(ANSWERS)('%s carries the headers that keep browsers safe', async (_what, text, status) => {
  const answer = await speak(port, Buffer.from(text));
  expect(answer.status).toBe(status);
  expect(answer.headers).toMatchObject({ ...SAFE_HEADERS, 'cache-control': 'no-store' });
  if (status >= 400) expect(answer.headers['content-type']).toBe('application/problem+json');
});

it.each([
  ['null', false],
  [EXTENSION, true],
  [EXTENSION.replace('a', 'b'), false],
])('an answer to the origin %s is kept apart from those to others', async (origin, isAllowed) => {
  for (const url of ['/api/health', '/api/auth/me', '/nothing']) {
    const { headers } = await test.app.inject({ url, headers: { origin } });
    expect(headers['vary']).toMatch(/\bOrigin\b/);
    expect(headers['access-control-allow-origin']).toBe(isAllowed ? origin : undefined);
  }
});

describe('a list of origins', () => {
  const base = {
    DATABASE_URL: 'postgresql://a:b@c/d',
    REDIS_URL: 'redis://c',
    APP_SECRET: Buffer.alloc(32).toString('base64'),
    OPS_PASSWORD: 'twelve characters',
  };

  it.each([
    '*',
    'null',
    'chrome-extension://*',
    'chrome-extension://abcdefghijklmnopabcdefghijklmno',
    'chrome-extension://abcdefghijklmnopabcdefghijklmnoz',
    'CHROME-EXTENSION://abcdefghijklmnopabcdefghijklmnop',
    `${EXTENSION}/`,
    'https://*.example',
    'https://crm.example/path',
    'crm.example',
  ])('does not take %s', (item) => {
    expect(() => readConfig({ ...base, ALLOWED_ORIGINS: `${EXTENSION},${item}` })).toThrow(ConfigError);
  });

  it('takes exact ones', () => {
    const ALLOWED_ORIGINS = [EXTENSION, 'https://crm.example', 'http://localhost:5173', 'http://[::1]:3000'];
    expect(readConfig({ ...base, ALLOWED_ORIGINS: ALLOWED_ORIGINS.join(', ') })).toMatchObject({ ALLOWED_ORIGINS });
  });
});
