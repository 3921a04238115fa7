import { createPublicKey, verify } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { aUser, type TestUser } from '#test/factories.ts';
import { openWebhookTest, type Received, type WebhookTest } from '#test/webhooks.ts';

let test: WebhookTest;
let owner: TestUser;
beforeAll(async () => {
  test = await openWebhookTest();
});
afterAll(() => test.close());
beforeEach(async () => {
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
  expect(answer.statusCode, answer.body).toBe(201);
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
      const text = Buffer.from(`${one.headers['webhook-id']}.${one.headers['webhook-timestamp']}.${one.text}`);
      expect(signatures.some((line) => verify(null, text, key, Buffer.from(line.slice(4), 'base64')))).toBe(true);
    }

    await test.pool.query(`update webhook set previous_until = now(), revision = revision + 1 where id = $1`, [made.id]);
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
    const waitMs = Date.parse(waiting.nextAttemptAt) - test.receiver.received.length * 0 - first(test.receiver.received).at;
    expect(waitMs).toBeGreaterThan(3900);
    expect(waitMs).toBeLessThan(6500);
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
