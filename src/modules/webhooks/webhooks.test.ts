import { createPublicKey, verify } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { aUser, onPlan, type TestUser } from '#test/factories.ts';
import { openWebhookTest, type Received, type WebhookTest } from '#test/webhooks.ts';

let test: WebhookTest;
let owner: TestUser;
beforeAll(async () => {
  test = await openWebhookTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  await test.forget();
  test.receiver.answers(() => ({}));
  owner = await aUser(test.rt);
});

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
const send = (method: Method, path: string, payload?: object, headers: Record<string, string> = {}) =>
  test.app.inject({
    method,
    url: `/api/webhooks${path}`,
    headers: { ...owner.headers, ...headers },
    ...(payload && { payload }),
  });
const create = async (body: object = {}) => {
  const payload = { name: 'CRM', url: test.receiver.url, events: ['workspace.*'], ...body };
  const answer = await send('POST', '', payload);
  expect(answer.statusCode).toBe(201);
  return answer.json();
};
const happen = (mark: string) => test.happen(owner.workspace.id, mark);
const deliveries = async (id: string, query = '') => (await send('GET', `/${id}/deliveries${query}`)).json().data;
const marks = (received: Received[]) =>
  received.map(({ body }) => String((body['data'] as { changed: string[] }).changed[0]));
const headersOf = ({ headers }: Received) => ({
  'webhook-id': String(headers['webhook-id']),
  'webhook-timestamp': String(headers['webhook-timestamp']),
  'webhook-signature': String(headers['webhook-signature']),
});
const first = (received: Received[]): Received => {
  if (!received[0]) throw new Error('Nothing was received');
  return received[0];
};

describe('a delivery', () => {
  it('is what the specification says, and its own library verifies it', async () => {
    const { id, secret } = await create();
    const eventId = await happen('um');
    await test.flow();
    const one = first(test.receiver.received);
    expect(new Webhook(secret).verify(one.text, headersOf(one))).toEqual({
      type: 'workspace.changed',
      timestamp: expect.any(String),
      workspaceId: owner.workspace.id,
      version: '2026-11-26',
      sequence: 1,
      data: { changed: ['um'] },
    });
    expect(one.headers['webhook-id']).toBe(eventId);
    expect(one.headers['content-type']).toBe('application/json');
    const [view] = await deliveries(id);
    expect(view).toMatchObject({
      eventId,
      type: 'workspace.changed',
      status: 'delivered',
      attempts: 1,
      responseStatus: 200,
      responseSnippet: 'ok',
      error: null,
      nextAttemptAt: null,
    });
    const detail = (await send('GET', `/${id}/deliveries/${view.id}`)).json();
    expect(detail.body).toBe(one.text);
    expect(detail.tries).toEqual([
      { at: expect.any(String), responseStatus: 200, durationMs: view.durationMs, error: null },
    ]);
  });

  it('is signed with both secrets until the grace ends, and with Ed25519 where that is asked for', async () => {
    const made = await create({ asymmetric: true });
    const rotated = (await send('POST', `/${made.id}/rotate-secret`, { graceHours: 1 })).json();
    expect(rotated.secret).not.toBe(made.secret);
    await happen('dois');
    await test.flow();
    const one = first(test.receiver.received);
    for (const secret of [made.secret, rotated.secret]) new Webhook(secret).verify(one.text, headersOf(one));
    const signatures = String(one.headers['webhook-signature'])
      .split(' ')
      .filter((text) => text.startsWith('v1a,'));
    expect(signatures).toHaveLength(2);
    for (const { publicKey } of [made, rotated]) {
      const raw = Buffer.from(publicKey.replace(/^whpk_/, ''), 'base64');
      const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') }, format: 'jwk' });
      const text = Buffer.from(`${headersOf(one)['webhook-id']}.${headersOf(one)['webhook-timestamp']}.${one.text}`);
      expect(signatures.some((line) => verify(null, text, key, Buffer.from(line.slice(4), 'base64')))).toBe(true);
    }

    await test.pool.query(`update webhook set previous_until = now(), revision = revision + 1 where id = $1`, [
      made.id,
    ]);
    test.receiver.answers(() => ({}));
    await happen('três');
    await test.flow();
    const later = first(test.receiver.received);
    new Webhook(rotated.secret).verify(later.text, headersOf(later));
    expect(() => new Webhook(made.secret).verify(later.text, headersOf(later))).toThrow('No matching signature');
  });

  it('that fails comes again by the schedule, with the same id and a signature of its own time', async () => {
    const { id, secret } = await create();
    const bodies = ['não', 'ainda não'];
    test.receiver.answers(() => (bodies.length > 0 ? { status: 500, text: bodies.shift() ?? '' } : {}));
    await happen('quatro');
    await test.flow();
    const [waiting] = await deliveries(id, '?status=pending');
    expect(waiting).toMatchObject({ attempts: 1, responseStatus: 500, responseSnippet: 'não', error: 'status_500' });
    const nextAt = Date.parse(waiting.nextAttemptAt);
    expect(nextAt - first(test.receiver.received).at).toBeGreaterThan(3900);
    expect(nextAt - Date.now()).toBeLessThan(6500);
    expect(await test.sweep()).toBe(0);
    for (let tries = 2; tries <= 3; tries += 1) {
      await test.pool.query(`update webhook_delivery set next_attempt_at = now() where webhook_id = $1`, [id]);
      expect(await test.sweep()).toBe(1);
    }
    expect(new Set(test.receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    for (const one of test.receiver.received) new Webhook(secret).verify(one.text, headersOf(one));
    const [view] = await deliveries(id);
    expect(view).toMatchObject({ status: 'delivered', attempts: 3 });
    const { tries } = (await send('GET', `/${id}/deliveries/${view.id}`)).json();
    expect(tries.map(({ error }: { error: string | null }) => error)).toEqual(['status_500', 'status_500', null]);
  });

  it('goes to those alone who subscribed to its type, in its workspace', async () => {
    const [all, some, other] = [
      await create({ events: ['*'] }),
      await create({ events: ['workspace.changed'] }),
      await create({ events: ['ai.*', 'member.joined'] }),
    ];
    const stranger = await aUser(test.rt);
    await test.happen(stranger.workspace.id, 'alheio');
    await happen('nosso');
    await test.flow();
    expect(marks(test.receiver.received)).toEqual(['nosso', 'nosso']);
    expect(await deliveries(all.id)).toHaveLength(1);
    expect(await deliveries(some.id)).toHaveLength(1);
    expect(await deliveries(other.id)).toHaveLength(0);
  });
});

describe('by hand', () => {
  it('one delivery is made again at once, under the same id, also behind an open breaker', async () => {
    const { id } = await create();
    test.receiver.answers(() => ({ status: 400 }));
    await happen('de novo');
    await test.flow();
    await test.pool.query(
      `update webhook_flow set failures = 10, open_until = now() + interval '1 minute' where webhook_id = $1`,
      [id],
    );
    const [view] = await deliveries(id);
    test.receiver.answers(() => ({}));
    const retried = await send('POST', `/${id}/deliveries/${view.id}/retry`);
    expect(retried.statusCode).toBe(202);
    expect(retried.json()).toMatchObject({ status: 'pending', attempts: 1 });
    expect(await test.sweep()).toBe(1);
    expect(first(test.receiver.received).headers['webhook-id']).toBe(view.eventId);
    expect((await deliveries(id))[0]).toMatchObject({ status: 'delivered', attempts: 2 });
    // Delivered once more: a new schedule begins.
    expect((await send('POST', `/${id}/deliveries/${view.id}/retry`)).json().attempts).toBe(0);
  });

  it('a range is told once more in its order, with the ids it had, and what still waits is left out', async () => {
    const { id } = await create({ ordered: true });
    const ids = [await happen('1'), await happen('2'), await happen('3')];
    await test.flow();
    test.receiver.answers(() => ({ status: 500 }));
    await happen('4');
    await test.flow();
    test.receiver.answers(() => ({}));
    const from = new Date(Date.now() - 60_000).toISOString();
    expect((await send('POST', `/${id}/replay`, { from })).json()).toEqual({ deliveries: 3 });
    expect((await send('POST', `/${id}/replay`, { from, types: ['ai.*'] })).json()).toEqual({ deliveries: 0 });
    expect((await send('POST', `/${id}/replay`, { from, to: from })).statusCode).toBe(400);
    await test.pool.query(
      `update webhook_delivery set next_attempt_at = now() where webhook_id = $1 and status = 'pending'`,
      [id],
    );
    await test.sweep();
    expect(marks(test.receiver.received)).toEqual(['4', '1', '2', '3']);
    expect(test.receiver.received.slice(1).map(({ headers }) => headers['webhook-id'])).toEqual(ids);
    expect((await deliveries(id)).map(({ cause }: { cause: string }) => cause).slice(0, 4)).toEqual([
      'replay',
      'replay',
      'replay',
      'event',
    ]);
  });

  it('a test goes to its webhook alone, once, also while that is turned off', async () => {
    const { id } = await create({ events: ['*'] });
    await create({ events: ['*'] });
    await test.pool.query(`update webhook set status = 'disabled' where id = $1`, [id]);
    test.receiver.answers(() => ({ status: 404 }));
    const tried = await send('POST', `/${id}/test`);
    expect(tried.statusCode).toBe(202);
    await test.flow();
    await test.sweep();
    expect(test.receiver.received).toHaveLength(1);
    expect(test.receiver.received[0]?.body).toMatchObject({
      type: 'webhook.test',
      sequence: 0,
      data: { webhookId: id },
    });
    expect((await deliveries(id))[0]).toMatchObject({ status: 'failed', cause: 'test', error: 'status_404' });
    expect((await send('GET', `/${id}`)).json().failingSince).toBeNull();
  });
});

describe('a webhook', () => {
  it('is changed only as it was read, and what waits goes to the new address', async () => {
    const { id } = await create();
    const { etag } = (await send('GET', `/${id}`)).headers;
    test.receiver.answers(() => ({ status: 500 }));
    await happen('mudou');
    await test.flow();
    const url = `${test.receiver.url}/novo`;
    const changed = await send('PATCH', `/${id}`, { url, asymmetric: true }, { 'if-match': String(etag) });
    expect(changed.json()).toMatchObject({
      url,
      asymmetric: true,
      publicKey: expect.stringMatching(/^whpk_/),
      events: ['workspace.*'],
    });
    expect((await send('PATCH', `/${id}`, { name: 'X' }, { 'if-match': String(etag) })).statusCode).toBe(412);
    expect((await send('PATCH', `/${id}`, {})).statusCode).toBe(400);
    test.receiver.answers(() => ({}));
    await test.pool.query(`update webhook_delivery set next_attempt_at = now() where webhook_id = $1`, [id]);
    await test.sweep();
    expect(first(test.receiver.received).headers['webhook-signature']).toMatch(/^v1,\S+ v1a,\S+$/);
  });

  it.each([
    [{ events: ['ai.job.complete'] }, 'events[0]', /did you mean ai\.job\.completed/],
    [{ events: ['webhook.test'] }, 'events[0]', /is no event/],
    [{ events: [] }, 'events', /./],
    [{ url: 'http://example.com/hooks' }, 'url', /https/],
    [{ url: 'https://169.254.169.254/latest' }, 'url', /./],
    [{ url: 'https://localhost/hooks' }, 'url', /./],
    [{ url: 'no url' }, 'url', /./],
    [{ secret: 'mine' }, 'secret', /not a known field/],
  ])('is refused: %j', async (wrong, path, message) => {
    const answer = await send('POST', '', { name: 'CRM', url: test.receiver.url, events: ['*'], ...wrong });
    expect(answer.statusCode).toBe(400);
    expect(answer.json().errors[0]).toMatchObject({ path, message: expect.stringMatching(message) });
  });

  it('shows its secret once, keeps it sealed, and is counted by the plan', async () => {
    const { id, secret } = await create();
    for (const path of ['', `/${id}`]) expect((await send('GET', path)).body).not.toContain(secret);
    const { rows } = await test.pool.query(
      `select w::text as text, encode(secrets, 'escape') as sealed from webhook w where id = $1`,
      [id],
    );
    expect(JSON.stringify(rows)).not.toContain(secret.slice(6));
    await onPlan(test.rt, owner.workspace.id, 'starter');
    for (let at = 1; at < 5; at += 1) await create();
    const sixth = await send('POST', '', { name: 'CRM', url: test.receiver.url, events: ['*'] });
    expect(sixth.json()).toMatchObject({ status: 403, code: 'plan_limit' });
  });

  it('ends its deliveries when it is deleted, or its workspace is', async () => {
    const { id } = await create();
    await create();
    test.receiver.answers(() => ({ status: 500 }));
    await happen('fim');
    await test.flow();
    expect((await send('DELETE', `/${id}`)).json()).toEqual({ id, deleted: true });
    expect((await send('GET', `/${id}/deliveries`)).statusCode).toBe(404);
    const { workspace } = owner;
    await test.app.inject({ method: 'DELETE', url: `/api/workspaces/${workspace.id}`, headers: owner.headers });
    const { rows } = await test.pool.query(
      `select status, error, count(*)::int as n from webhook_delivery where workspace_id = $1 group by 1, 2`,
      [workspace.id],
    );
    expect(rows).toEqual([{ status: 'cancelled', error: 'webhook_deleted', n: 2 }]);
    expect(await test.sweep()).toBe(0);
  });

  it('of another workspace is not there, nor are its deliveries', async () => {
    const { id } = await create();
    await happen('meu');
    await test.flow();
    const [view] = await deliveries(id);
    owner = await aUser(test.rt);
    const mine = await create();
    const paths: [Method, string, object?][] = [
      ['GET', `/${id}`],
      ['PATCH', `/${id}`, { name: 'X' }],
      ['DELETE', `/${id}`],
      ['POST', `/${id}/rotate-secret`, {}],
      ['POST', `/${id}/enable`],
      ['POST', `/${id}/test`],
      ['POST', `/${id}/replay`, { from: '2026-01-01T00:00:00Z' }],
      ['GET', `/${id}/deliveries`],
      ['GET', `/${id}/deliveries/${view.id}`],
      ['POST', `/${mine.id}/deliveries/${view.id}/retry`],
    ];
    for (const [method, path, body] of paths)
      expect(`${path} ${(await send(method, path, body)).statusCode}`).toBe(`${path} 404`);
    expect((await send('GET', '')).json().data.map((one: { id: string }) => one.id)).toEqual([mine.id]);
  });

  it('has its deliveries in pages, by status and type', async () => {
    const { id } = await create();
    for (const mark of ['a', 'b', 'c', 'd', 'e']) await happen(mark);
    await test.flow();
    const seen: number[] = [];
    let cursor = '';
    do {
      const { data, page } = (await send('GET', `/${id}/deliveries?limit=2${cursor}`)).json();
      seen.push(...data.map((one: { sequence: number }) => one.sequence));
      cursor = page.hasMore ? `&cursor=${page.nextCursor}` : '';
    } while (cursor !== '');
    expect(seen).toEqual([5, 4, 3, 2, 1]);
    expect(await deliveries(id, '?status=failed')).toEqual([]);
    expect(await deliveries(id, '?type=workspace.changed&status=delivered')).toHaveLength(5);
  });
});
