import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestApp } from '../test/harness.ts';
import { buildApp } from '#src/app.ts';
import { createLog } from '#src/lib/log.ts';
import { aUser } from '../test/factories.ts';
import { openTestApp } from '../test/harness.ts';

const EXTENSION = 'chrome-extension://abcdefghijklmnopabcdefghijklmnop';

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp({ ALLOWED_ORIGINS: `${EXTENSION}, https://crm.example:8443` });
});
afterAll(() => test.close());

const preflight = (origin: string) =>
  test.app.inject({
    method: 'OPTIONS',
    url: '/api/auth/login',
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
  });

describe('web pages', () => {
  it('of a listed origin may call, without cookies', async () => {
    const answer = await preflight(EXTENSION);
    expect(answer.statusCode).toBe(204);
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': EXTENSION,
      vary: expect.stringContaining('Origin'),
    });
    expect(answer.headers).not.toHaveProperty('access-control-allow-credentials');
    const refused = await test.app.inject({ url: '/api/auth/me', headers: { origin: EXTENSION } });
    expect(refused.statusCode).toBe(401);
    expect(refused.headers['access-control-allow-origin']).toBe(EXTENSION);
  });

  it.each([
    'null',
    'https://web.whatsapp.com',
    `${EXTENSION}x`,
    EXTENSION.toUpperCase(),
    `${EXTENSION}/`,
    'https://evil.example',
    '',
  ])('of the origin %j may not', async (origin) => {
    for (const answer of [
      await preflight(origin),
      await test.app.inject({ url: '/api/auth/me', headers: { origin } }),
    ]) {
      expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
    }
  });

  it('get the headers that keep browsers from guessing', async () => {
    const { headers } = await test.app.inject('/api/nothing');
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'strict-transport-security': expect.any(String),
      'cache-control': 'no-store',
    });
    const page = await test.app.inject('/docs');
    expect(page.headers['content-security-policy']).toContain("default-src 'self'");
    expect(page.headers['content-security-policy']).not.toContain('upgrade-insecure-requests');
  });
});

describe('the description of the API', () => {
  it('has every route with its schemas, and says what errors look like', async () => {
    const answer = await test.app.inject('/api/openapi.json');
    const spec = answer.json();
    expect(spec.openapi).toBe('3.1.0');
    expect(Object.keys(spec.paths).toSorted()).toEqual(
      expect.arrayContaining(['/api/auth/login', '/api/auth/me', '/api/workspaces', '/api/workspaces/{id}']),
    );
    for (const name of ['Problem', 'User', 'Workspace', 'SignedIn', 'Tokens']) {
      expect(spec.components.schemas).toHaveProperty(name);
    }
    const patch = spec.paths['/api/auth/me'].patch;
    expect(patch.requestBody.content['application/json'].schema).toMatchObject({ additionalProperties: false });
    expect(patch.security).toEqual([{ bearer: [] }]);
    expect(patch.responses.default.content['application/problem+json'].schema).toEqual({
      $ref: '#/components/schemas/Problem',
    });
    const references = JSON.stringify(spec).matchAll(/"#\/components\/schemas\/([^"]+)"/g);
    for (const [, name] of references) expect(spec.components.schemas).toHaveProperty(name ?? '');
  });

  it('can be read at /docs, with no script that the page does not own', async () => {
    const page = await test.app.inject('/docs');
    expect(page.statusCode).toBe(200);
    expect(page.body).not.toMatch(/<script>|<script(?![^>]*src=)/);
    const script = /src="\.?\/?(?:docs\/)?(static\/swagger-ui-bundle\.js)"/.exec(page.body)?.[1];
    expect((await test.app.inject(`/docs/${script}`)).statusCode).toBe(200);
  });
});

describe('the log', () => {
  it('has one line for each answer, with no body, query or credential in it', async () => {
    const lines: string[] = [];
    const log = createLog('trace', 'test', { write: (line) => void lines.push(line) });
    const app = await buildApp({ ...test.rt, log });
    const { headers, token, refreshToken } = await aUser(test.rt, { password: 'canary-password' });
    const url = '/api/auth/me?workspaceId=canary-query';
    await app.inject({ url, headers: { ...headers, 'x-request-id': 'seen-1' } });
    await app.inject({ url: '/api/auth/me', headers });
    await app.inject({
      method: 'POST',
      url: '/api/auth/login',
      payload: { email: 'canary@x.io', password: 'canary-password' },
    });
    await app.inject({ method: 'POST', url: '/api/auth/refresh', payload: { refreshToken } });
    await app.inject('/canary-path');
    await app.close();
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { level: 'info', process: 'test', method: 'GET', route: '/api/auth/me', status: 404, requestId: 'seen-1' },
      { route: '/api/auth/me', status: 200, ms: expect.any(Number), requestId: expect.any(String) },
      { method: 'POST', route: '/api/auth/login', status: 401 },
      { route: '/api/auth/refresh', status: 200 },
      { route: 'none', status: 404 },
    ]);
    const all = lines.join('');
    expect(all).not.toContain('canary');
    expect(all).not.toContain(token);
    expect(all).not.toContain(refreshToken);
  });
});
