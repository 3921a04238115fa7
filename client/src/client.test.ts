import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newClient, signedIn } from '../test/client.ts';
import { Loopback } from '../test/loopback.ts';
import { BackendClient } from './client.ts';
import { NetworkError } from './errors.ts';
import { memoryStorage, type Storage } from './storage.ts';

let backend: Loopback;
beforeEach(async () => {
  backend = await Loopback.open();
});
afterEach(() => backend.close());

const PING = '/api/ping';
const refreshes = () => backend.count('POST', '/api/auth/refresh');

function servePing(): void {
  backend.route('GET', PING, ({ json }) => json(200, { pong: true }));
  backend.route('POST', PING, ({ json }) => json(200, { pong: true }));
  backend.route('PATCH', PING, ({ json }) => json(200, { pong: true }));
}

/** Answers the first requests to `PING` with what each of `outcomes` does. */
function failFirst(...outcomes: ((exchange: Parameters<Loopback['intercept']>[0]) => void)[]): void {
  servePing();
  backend.intercept = (exchange) => {
    if (exchange.path !== PING) return undefined;
    const outcome = outcomes.shift();
    outcome?.(exchange);
    return outcome ? 'handled' : undefined;
  };
}

describe('session', () => {
  it('signs in, tells who it is, and signs out', async () => {
    const client = await signedIn(backend);
    await expect(client.me()).resolves.toMatchObject({ email: 'ana@example.com', workspace: { name: 'Loja' } });
    await client.logout();
    expect(backend.count('POST', '/api/auth/logout')).toBe(1);
    expect(await client.isSignedIn()).toBe(false);
    await expect(client.me()).rejects.toMatchObject({ status: 401 });
  });

  it('tells a wrong password as a problem and keeps nothing', async () => {
    const client = newClient(backend);
    const wrong = client.login({ email: 'ana@example.com', password: 'wrong password' });
    await expect(wrong).rejects.toMatchObject({ name: 'ApiError', status: 401, code: 'invalid_credentials' });
    expect(await client.isSignedIn()).toBe(false);
  });

  it('refuses an address that is none', () => {
    expect(() => new BackendClient({ baseUrl: 'localhost:3000' })).toThrow('baseUrl must look like');
  });

  it('refreshes once for twenty requests refused together', async () => {
    servePing();
    const client = await signedIn(backend);
    backend.access.clear();
    const answers = await Promise.all(Array.from({ length: 20 }, () => client.request('GET', PING)));
    expect(answers).toHaveLength(20);
    expect(refreshes()).toBe(1);
  });

  it('refreshes ahead of expiry, without a refused request', async () => {
    servePing();
    const client = newClient(backend, {
      tokens: { ...backend.issue(), refreshAt: Date.now() - 1, expiresAt: Date.now() + 10_000 },
    });
    await Promise.all([client.request('GET', PING), client.request('GET', PING)]);
    expect(refreshes()).toBe(1);
    expect(backend.count('GET', PING)).toBe(2);
  });

  it('sends the same refresh token again when the answer was lost after the backend rotated', async () => {
    servePing();
    const client = await signedIn(backend);
    backend.access.clear();
    let cuts = 2;
    backend.intercept = (exchange) => {
      if (exchange.path !== '/api/auth/refresh' || cuts === 0) return undefined;
      cuts -= 1;
      exchange.json = () => exchange.cut();
      backend.rotate(exchange);
      return 'handled';
    };
    await client.request('GET', PING);
    const tokens = backend.seen
      .filter(({ path }) => path === '/api/auth/refresh')
      .map(({ body }) => body['refreshToken']);
    expect(tokens).toEqual(['refresh-1', 'refresh-1', 'refresh-1']);
    expect(backend.seen.at(-1)?.headers.authorization).toBe('Bearer access-2');
  });

  it('stores a rotated token before it is used', async () => {
    servePing();
    const order: string[] = [];
    const inner = memoryStorage();
    const storage: Storage = {
      ...inner,
      set: async (key, value) => {
        await inner.set(key, value);
        order.push(`stored ${/refresh-\d/.exec(value)?.[0]}`);
      },
    };
    const client = await signedIn(backend, { storage });
    backend.access.clear();
    backend.intercept = (exchange) => {
      if (exchange.path === PING) order.push(`used ${exchange.headers.authorization?.slice(7)}`);
      return undefined;
    };
    await client.request('GET', PING);
    expect(order).toEqual(['stored refresh-1', 'used access-1', 'stored refresh-2', 'used access-2']);
  });

  it('takes the tokens another tab has got, before and after a refused refresh', async () => {
    servePing();
    const storage = memoryStorage();
    const first = await signedIn(backend, { storage });
    const second = newClient(backend, { storage });
    backend.access.clear();
    await first.request('GET', PING);
    await second.request('GET', PING);
    expect(refreshes()).toBe(1);

    // The other tab rotates while our own refresh is under way, and the backend refuses ours as reused.
    backend.access.clear();
    backend.intercept = (exchange) => {
      if (exchange.path !== '/api/auth/refresh') return undefined;
      backend.intercept = () => undefined;
      const fresh = { ...backend.issue(), expiresAt: Date.now() + 900_000 };
      void storage
        .set(`whatshybrid.session:${backend.baseUrl}`, JSON.stringify(fresh))
        .then(() => exchange.problem(401, 'refresh_token_reused'));
      return 'handled';
    };
    await second.request('GET', PING);
    expect(await second.isSignedIn()).toBe(true);
  });

  it('ends the session when the refresh token is refused for good, and says so', async () => {
    servePing();
    const client = await signedIn(backend);
    backend.access.clear();
    backend.intercept = (exchange) =>
      exchange.path === '/api/auth/refresh' ? (exchange.problem(401, 'session_revoked'), 'handled') : undefined;
    await expect(client.request('GET', PING)).rejects.toMatchObject({ status: 401, code: 'session_revoked' });
    expect(await client.isSignedIn()).toBe(false);
    expect(client.bus.history('auth.signed-out')).toHaveLength(1);
  });

  it('does not bring a session back that was ended during its refresh', async () => {
    servePing();
    const storage = memoryStorage();
    const client = await signedIn(backend, { storage });
    backend.access.clear();
    backend.intercept = (exchange) => {
      if (exchange.path !== '/api/auth/refresh') return undefined;
      void storage.remove(`whatshybrid.session:${backend.baseUrl}`).then(() => exchange.json(200, backend.issue()));
      return 'handled';
    };
    await expect(client.request('GET', PING)).rejects.toMatchObject({ status: 401 });
    expect(await client.isSignedIn()).toBe(false);
  });

  it('goes on with a token that is still valid while the backend does not answer refreshes', async () => {
    servePing();
    const client = newClient(backend, {
      tokens: { ...backend.issue(), refreshAt: 0, expiresAt: Date.now() + 60_000 },
      tries: 2,
    });
    backend.intercept = (exchange) => (exchange.path === '/api/auth/refresh' ? (exchange.cut(), 'handled') : undefined);
    await expect(client.request('GET', PING)).resolves.toEqual({ pong: true });
  });
});

describe('requests', () => {
  it('sends a POST again with the key of its first try', async () => {
    failFirst(
      (exchange) => exchange.cut(),
      (exchange) => exchange.problem(503, 'draining'),
    );
    const client = await signedIn(backend);
    await client.request('POST', PING, { a: 1 });
    const keys = backend.seen.filter(({ path }) => path === PING).map(({ headers }) => headers['idempotency-key']);
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toMatch(/^[\da-f-]{36}$/);
    await client.request('POST', PING, { a: 1 }, { idempotencyKey: 'mine' });
    expect(backend.seen.at(-1)?.headers['idempotency-key']).toBe('mine');
  });

  it('waits for its own first try when the second finds it still running', async () => {
    failFirst(
      (exchange) => exchange.cut(),
      (exchange) => exchange.problem(409, 'idempotency_in_progress'),
    );
    const client = await signedIn(backend);
    await expect(client.request('POST', PING, {})).resolves.toEqual({ pong: true });
    failFirst((exchange) => exchange.problem(409, 'idempotency_in_progress'));
    await expect(client.request('POST', PING, {})).rejects.toMatchObject({ status: 409 });
  });

  it('does not ask again for an answer that is lost', async () => {
    failFirst(
      (exchange) => exchange.cut(),
      (exchange) => exchange.problem(409, 'idempotency_result_unknown'),
    );
    const client = await signedIn(backend);
    await expect(client.request('POST', PING, {})).rejects.toMatchObject({ code: 'idempotency_result_unknown' });
    expect(backend.count('POST', PING)).toBe(2);
  });

  it('has a key of its own for each call, and none where nothing could be done twice', async () => {
    servePing();
    const client = await signedIn(backend);
    await client.request('POST', PING, { a: 1 });
    await client.request('POST', PING, { a: 1 });
    await client.request('GET', PING);
    const keys = backend.seen.filter(({ path }) => path === PING).map(({ headers }) => headers['idempotency-key']);
    expect([new Set(keys.slice(0, 2)).size, keys[2]]).toEqual([2, undefined]);
  });

  it('waits as long as Retry-After says', async () => {
    failFirst((exchange) => exchange.problem(429, 'rate_limited', { 'retry-after': '1' }));
    const client = await signedIn(backend, { backoffCapMs: 5000 });
    await client.request('GET', PING);
    const [first, second] = backend.seen.filter(({ path }) => path === PING);
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(990);
  });

  it('does not wait for a Retry-After beyond its cap, and carries it', async () => {
    failFirst((exchange) => exchange.problem(503, 'draining', { 'retry-after': '3600' }));
    const client = await signedIn(backend);
    await expect(client.request('GET', PING)).rejects.toMatchObject({ status: 503, retryAfterMs: 3_600_000 });
    expect(backend.count('GET', PING)).toBe(1);
  });

  it('never repeats what could act twice, nor what will fail again', async () => {
    failFirst((exchange) => exchange.cut());
    const client = await signedIn(backend);
    await expect(client.request('PATCH', PING, {})).rejects.toBeInstanceOf(NetworkError);
    expect(backend.count('PATCH', PING)).toBe(1);
    failFirst((exchange) => exchange.problem(422, 'unprocessable'));
    await expect(client.request('GET', PING)).rejects.toMatchObject({ status: 422 });
    expect(backend.count('GET', PING)).toBe(1);
  });

  it('gives up after its tries', async () => {
    failFirst(...Array.from({ length: 9 }, () => (exchange: Parameters<Loopback['intercept']>[0]) => exchange.cut()));
    const client = await signedIn(backend);
    await expect(client.request('GET', PING, undefined, { tries: 3 })).rejects.toBeInstanceOf(NetworkError);
    expect(backend.count('GET', PING)).toBe(3);
  });

  it('opens the whole problem of an error answer', async () => {
    const errors = [{ path: 'input.text', code: 'too_small', message: 'must not be empty' }];
    failFirst(({ json }) =>
      json(400, { title: 'Bad request', status: 400, code: 'invalid', detail: 'One field.', errors }),
    );
    const client = await signedIn(backend);
    await expect(client.request('GET', PING)).rejects.toMatchObject({
      status: 400,
      code: 'invalid',
      message: 'One field.',
      errors,
      requestId: 'req-1',
    });
  });

  it('names the status when a proxy answers with a page', async () => {
    failFirst(({ response }) => response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad gateway</h1>'));
    const client = await signedIn(backend);
    await expect(client.request('GET', PING)).rejects.toMatchObject({ status: 502, code: 'http_502' });
  });

  it('stops at its time limit, also in the middle of an answer, and at the signal', async () => {
    const client = await signedIn(backend);
    failFirst(({ response }) => response.writeHead(200).write('{'));
    const late = client.request('GET', PING, undefined, { timeoutMs: 30, tries: 1 });
    await expect(late).rejects.toThrow('had no answer within 30 ms');
    const abort = new AbortController();
    failFirst(() => abort.abort(new Error('changed my mind')));
    await expect(client.request('GET', PING, undefined, { signal: abort.signal })).rejects.toThrow('changed my mind');
  });

  it('sends the workspace, the query and no content type without a body', async () => {
    servePing();
    const client = await signedIn(backend, { workspaceId: 'w1' });
    await client.request('GET', PING, undefined, { query: { limit: 5, cursor: undefined } });
    const seen = backend.seen.at(-1);
    expect(seen?.headers['x-workspace-id']).toBe('w1');
    expect(seen?.headers['content-type']).toBeUndefined();
    expect(seen?.query.toString()).toBe('limit=5');
  });
});
