import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rankOf, STATUSES, type MessageStatus } from '#src/modules/messages/messages.schemas.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp({ DEFAULT_PLAN: 'enterprise' });
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

type Json = Record<string, unknown>;
const NUMBERS = ['5511987654321', '5521912345678', '5531998765432'];
const now = Date.now();
const at = (secondsAgo: number) => new Date(now - secondsAgo * 1000).toISOString();
const inbound = (clientId: string, more: Json = {}): Json => ({
  clientId,
  chat: { waId: `${NUMBERS[0]}@c.us` },
  direction: 'inbound',
  body: 'Olá!',
  sentAt: at(60),
  ...more,
});
const outbound = (clientId: string, more: Json = {}): Json => inbound(clientId, { direction: 'outbound', ...more });

const get = (url: string, who: Pick<TestUser, 'headers'> = ana) => test.app.inject({ url, headers: who.headers });
async function sync(messages: unknown[], who: Pick<TestUser, 'headers'> = ana, externalId = '5511900000000') {
  const payload = { channel: { externalId }, messages };
  const request = { method: 'POST', url: '/api/messages/sync', headers: who.headers, payload } as const;
  const answer = await test.app.inject(request);
  expect(answer.body).toContain('"results"');
  return answer.json();
}
const conversationsOf = async (who: Pick<TestUser, 'headers'>) => (await get('/api/conversations', who)).json().data;
const messagesOf = async (who: Pick<TestUser, 'headers'>, id: string) =>
  (await get(`/api/conversations/${id}/messages?limit=100`, who)).json().data;
const outboxOf = async (who: TestUser): Promise<{ type: string; data: Json }[]> =>
  (
    await test.rt.systemPool.query(
      `select type, data from outbox_event where workspace_id = $1 and type like 'message.%' order by id`,
      [who.workspace.id],
    )
  ).rows;

describe('a batch', () => {
  it('makes contacts, conversations and messages, and says what came of each', async () => {
    const who = await aUser(test.rt);
    const batch = [
      inbound('a', { name: 'Bia Souza', body: 'Bom dia' }),
      outbound('b', { sentAt: at(30), status: 'delivered', body: 'Oi, Bia' }),
      { ...inbound('c'), chat: { waId: '5511987654321-1600000000@g.us' } },
      inbound('d', { sentAt: at(-200_000) }),
      'nothing',
      inbound('a', { name: 'Bia Souza' }),
    ];
    const answer = await sync(batch, who);
    expect(answer.counts).toEqual({ created: 2, known: 1, updated: 0, invalid: 3 });
    expect(answer.results.map(({ outcome, why }: Json) => [outcome, (why as Json | null)?.['path'] ?? null])).toEqual([
      ['created', null],
      ['created', null],
      ['invalid', 'chat.waId'],
      ['invalid', 'sentAt'],
      ['invalid', 'body'],
      ['known', null],
    ]);
    const [conversation, ...others] = await conversationsOf(who);
    expect(others).toEqual([]);
    expect(conversation).toMatchObject({
      contact: { name: 'Bia Souza', phone: '+5511987654321' },
      status: 'open',
      unreadCount: 1,
      lastMessageId: answer.results[1].messageId,
      lastMessageAt: at(30),
      lastInboundAt: at(60),
      lastOutboundAt: at(30),
    });
    expect((await messagesOf(who, conversation.id)).map(({ body, status }: Json) => [body, status])).toEqual([
      ['Oi, Bia', 'delivered'],
      ['Bom dia', 'delivered'],
    ]);
    const { rows } = await test.rt.systemPool.query(
      'select last_inbound_at, last_outbound_at from contact where workspace_id = $1',
      [who.workspace.id],
    );
    expect(rows).toEqual([{ last_inbound_at: new Date(at(60)), last_outbound_at: new Date(at(30)) }]);
    expect((await outboxOf(who)).map(({ type }) => type).toSorted()).toEqual([
      'message.received',
      'message.sent',
      'message.status',
    ]);
  });

  it('leaves everything as it is when it comes again', async () => {
    const who = await aUser(test.rt);
    const batch = [inbound('a'), outbound('b', { status: 'read' }), inbound('c', { status: 'read' })];
    const first = await sync(batch, who);
    const before = [await conversationsOf(who), await outboxOf(who)];
    const again = await sync(batch.toReversed(), who);
    expect(again.counts).toEqual({ created: 0, known: 3, updated: 0, invalid: 0 });
    expect(again.results.map(({ messageId }: Json) => messageId).toReversed()).toEqual(
      first.results.map(({ messageId }: Json) => messageId),
    );
    expect([await conversationsOf(who), await outboxOf(who)]).toEqual(before);
    expect(before[0]).toMatchObject([{ unreadCount: 1 }]);
  });

  it('knows one number in both its forms, and who has shown a lid', async () => {
    const who = await aUser(test.rt);
    await sync(
      [
        inbound('a', { chat: { waId: '551187654321@c.us' } }),
        inbound('b', { chat: { phone: '(11) 98765-4321', lid: '128312839@lid' } }),
        inbound('c', { chat: { lid: '128312839' } }),
      ],
      who,
    );
    await sync([inbound('d', { chat: { waId: '5511987654321' } })], who);
    expect(await conversationsOf(who)).toMatchObject([{ unreadCount: 4, contact: { phone: '+5511987654321' } }]);
  });

  it('tells nobody of history, which is not unread', async () => {
    const who = await aUser(test.rt);
    await sync([inbound('old', { sentAt: at(90_000) }), outbound('older', { sentAt: at(40_000_000) })], who);
    expect(await conversationsOf(who)).toMatchObject([{ unreadCount: 0, lastMessageAt: at(90_000) }]);
    expect(await outboxOf(who)).toEqual([]);
    const { results } = await sync([inbound('ancient', { sentAt: at(86_400 * 800) })], who);
    expect(results).toMatchObject([{ outcome: 'invalid', why: { path: 'sentAt', code: 'too_old' } }]);
  });

  it('learns the provider id of a message it knew by its client id, and refuses to make one of two', async () => {
    const who = await aUser(test.rt);
    const first = await sync([outbound('a', { status: 'pending' })], who);
    const [{ messageId }] = first.results;
    const learnt = await sync([outbound('a', { providerId: 'p1', status: 'sent' })], who);
    expect(learnt.results).toEqual([{ outcome: 'updated', messageId, why: null }]);
    const { clientId: _, ...byProvider } = outbound('', { providerId: 'p1', status: 'delivered' });
    expect((await sync([byProvider], who)).results).toEqual([{ outcome: 'updated', messageId, why: null }]);
    expect((await get(`/api/messages/${messageId}`, who)).json()).toMatchObject({
      clientId: 'a',
      providerId: 'p1',
      status: 'delivered',
    });
    expect((await outboxOf(who)).map(({ type }) => type)).toEqual(['message.sent', 'message.status']);
    await sync([{ ...byProvider, providerId: 'p2' }], who);
    const clash = await sync([outbound('a', { providerId: 'p2' })], who);
    expect(clash.results).toMatchObject([{ outcome: 'invalid', why: { code: 'ids_of_two_messages' } }]);
  });

  it('costs as many statements for 200 messages of 100 people as for one', async () => {
    expect(await statementsFor(200)).toBe(await statementsFor(1));
  });
});

async function statementsFor(size: number): Promise<number> {
  const who = await aUser(test.rt);
  const batch = Array.from({ length: size }, (_, n) =>
    inbound(`m${n}`, { chat: { waId: `55119${String(80_000_000 + (n % 100))}` } }),
  );
  return queriesOf(() => sync(batch, who));
}

/** How many statements the ORM's connections send meanwhile. */
async function queriesOf(work: () => Promise<unknown>): Promise<number> {
  const logger = test.rt.orm.config.getLogger();
  const write = logger.logQuery.bind(logger);
  let sent = 0;
  logger.logQuery = () => void (sent += 1);
  logger.setDebugMode(['query']);
  await work();
  logger.setDebugMode(false);
  logger.logQuery = write;
  return sent;
}

const byBody = (a: { body: string }, b: { body: string }) => (a.body < b.body ? -1 : 1);

interface Plan {
  messages: { number: number; direction: 'inbound' | 'outbound'; statuses: MessageStatus[] }[];
  order: number[];
  sizes: number[];
}

const plans = fc.record({
  messages: fc.array(
    fc.record({
      number: fc.nat({ max: NUMBERS.length - 1 }),
      direction: fc.constantFrom('inbound' as const, 'outbound' as const),
      statuses: fc.array(fc.constantFrom(...STATUSES), { minLength: 1, maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 8 },
  ),
  order: fc.array(fc.nat(), { minLength: 40, maxLength: 40 }),
  sizes: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 40, maxLength: 40 }),
}) satisfies fc.Arbitrary<Plan>;

/** Every item twice, shuffled, cut into batches. */
function batchesOf({ messages, order, sizes }: Plan): Json[][] {
  const items = messages.flatMap(({ number, direction, statuses }, n) =>
    [...statuses, ...statuses].map((status) => ({
      clientId: `c${n}`,
      providerId: `p${n}`,
      chat: { waId: NUMBERS[number] },
      direction,
      body: `message ${n}`,
      sentAt: at(1000 - n),
      status,
    })),
  );
  const shuffled = items
    .map((item, n) => ({ item, key: (order[n % order.length] ?? 0) * 31 + n * 7919 }))
    .toSorted((a, b) => (a.key % 1009) - (b.key % 1009))
    .map(({ item }) => item);
  const batches: Json[][] = [];
  for (let n = 0; shuffled.length > 0; n += 1) batches.push(shuffled.splice(0, sizes[n % sizes.length] ?? 1));
  return batches;
}

const highest = (statuses: MessageStatus[]) => statuses.toSorted((a, b) => rankOf(b) - rankOf(a))[0];

it('whatever comes in whatever order, also at once, is one row each with the highest status', async () => {
  await fc.assert(
    fc.asyncProperty(plans, fc.boolean(), async (plan, isAtOnce) => {
      const who = await aUser(test.rt);
      const batches = batchesOf(plan);
      if (isAtOnce) await Promise.all([...batches, ...batches].map((batch) => sync(batch, who)));
      else for (const batch of batches) await sync(batch, who);
      const conversations = await conversationsOf(who);
      const seen = (await Promise.all(conversations.map(({ id }: { id: string }) => messagesOf(who, id)))).flat();
      const expected = plan.messages.map(({ direction, statuses }, n) => ({
        body: `message ${n}`,
        direction,
        status: highest(statuses),
      }));
      expect(seen.map(({ body, direction, status }) => ({ body, direction, status })).toSorted(byBody)).toEqual(
        expected,
      );
      const unread = plan.messages.filter((one) => one.direction === 'inbound' && !one.statuses.includes('read'));
      const counted = conversations.reduce(
        (sum: number, { unreadCount }: { unreadCount: number }) => sum + unreadCount,
        0,
      );
      expect(counted).toBe(unread.length);
      expect(conversations.length).toBe(new Set(plan.messages.map(({ number }) => number)).size);
      const received = (await outboxOf(who)).filter(({ type }) => type === 'message.received');
      expect(received.length).toBe(plan.messages.filter(({ direction }) => direction === 'inbound').length);
    }),
    { numRuns: 25 },
  );
});

describe('who sees what', () => {
  it('a member limited to their own contacts sees their conversations alone', async () => {
    const bob = await aUser(test.rt);
    await aMember(test.rt, ana.workspace.id, bob.user.id, 'member');
    await test.rt.systemPool.query(
      `update member set denies = '{contacts:all}' where workspace_id = $1 and user_id = $2`,
      [ana.workspace.id, bob.user.id],
    );
    const inAna = { headers: { ...bob.headers, 'x-workspace-id': ana.workspace.id } };
    const { results } = await sync([
      inbound('bobs', { chat: { waId: NUMBERS[1] }, body: 'segredo do Bob' }),
      inbound('others', { chat: { waId: NUMBERS[2] }, body: 'segredo de outro' }),
    ]);
    const [bobs, others] = results.map(({ messageId }: { messageId: string }) => messageId);
    const { contactId } = (await get(`/api/messages/${bobs}`)).json();
    await test.rt.systemPool.query('update contact set owner_id = $1 where id = $2', [bob.user.id, contactId]);
    expect((await conversationsOf(inAna)).map(({ contact }: { contact: Json }) => contact['id'])).toEqual([contactId]);
    const found = (await get('/api/messages/search?q=segredo', inAna)).json().data;
    expect(found.map(({ id }: { id: string }) => id)).toEqual([bobs]);
    const other = (await get(`/api/messages/${others}`)).json();
    const urls = [
      `/api/messages/${others}`,
      `/api/conversations/${other.conversationId}`,
      `/api/conversations/${other.conversationId}/messages`,
      `/api/contacts/${other.contactId}/messages`,
      `/api/messages?contactId=${other.contactId}`,
    ];
    for (const url of urls) expect([url, (await get(url, inAna)).statusCode]).toEqual([url, 404]);
    for (const url of urls) expect([url, (await get(url)).statusCode]).toEqual([url, 200]);
    const url = `/api/messages/${others}/status`;
    const change = { method: 'PATCH', url, headers: inAna.headers, payload: { status: 'read' } } as const;
    expect((await test.app.inject(change)).statusCode).toBe(404);

    const before = await get(`/api/conversations/${other.conversationId}/messages`);
    const written = await sync(
      [
        inbound('others', { chat: { waId: NUMBERS[2] }, status: 'read' }),
        inbound('into', { chat: { waId: NUMBERS[2], lid: '77777@lid' } }),
        inbound('own', { chat: { waId: NUMBERS[1] } }),
        inbound('new', { chat: { waId: '5511912345678' } }),
      ],
      inAna,
    );
    const outcomes = written.results.map(
      ({ outcome, why }: { outcome: string; why: Json | null }) => why?.['code'] ?? outcome,
    );
    expect(outcomes).toEqual(['not_yours', 'not_yours', 'created', 'created']);
    const after = await get(`/api/conversations/${other.conversationId}/messages`);
    expect(after.json()).toEqual(before.json());
    const { identities } = (await get(`/api/contacts/${other.contactId}`)).json();
    expect(JSON.stringify(identities)).not.toContain('77777@lid');
    expect((await get(`/api/messages/${written.results[3].messageId}`, inAna)).statusCode).toBe(200);
  });
});

describe('a conversation', () => {
  it('is read, closed and given away; a new message opens it again', async () => {
    const who = await aUser(test.rt);
    await sync([inbound('a'), inbound('b')], who);
    const [{ id }] = await conversationsOf(who);
    const patch = (payload: object) =>
      test.app.inject({ method: 'PATCH', url: `/api/conversations/${id}`, headers: who.headers, payload });
    const changed = await patch({ read: true, status: 'closed', assigneeId: who.user.id });
    expect(changed.json()).toMatchObject({ unreadCount: 0, status: 'closed', assigneeId: who.user.id });
    expect((await get('/api/conversations?unread=true', who)).json().data).toEqual([]);
    expect((await get('/api/conversations?assignee=me&status=closed&q=98765', who)).json().data).toHaveLength(1);
    expect((await get('/api/conversations?assignee=none', who)).json().data).toEqual([]);
    expect((await patch({ assigneeId: crypto.randomUUID() })).json()).toMatchObject({
      status: 400,
      errors: [{ path: 'assigneeId' }],
    });
    // What was sent before somebody read all of it is read, also where it comes later.
    await sync([inbound('late', { sentAt: at(10) })], who);
    expect(await conversationsOf(who)).toMatchObject([{ unreadCount: 0, status: 'open' }]);
    await sync([inbound('new', { sentAt: new Date(Date.now() + 5000).toISOString() })], who);
    expect(await conversationsOf(who)).toMatchObject([{ unreadCount: 1, status: 'open' }]);
  });

  it('pages by its newest message, each once', async () => {
    const who = await aUser(test.rt);
    await sync(
      Array.from({ length: 7 }, (_, n) => inbound(`m${n}`, { chat: { waId: `551198765432${n}` }, sentAt: at(50) })),
      who,
    );
    const ids: string[] = [];
    let cursor = '';
    do {
      const { data, page } = (await get(`/api/conversations?limit=3${cursor}`, who)).json();
      ids.push(...data.map(({ id }: { id: string }) => id));
      cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`;
    } while (cursor !== '');
    expect([ids.length, new Set(ids).size]).toEqual([7, 7]);
  });
});

it('finds messages by whole words and beginnings, without accents and case, the newest first', async () => {
  const who = await aUser(test.rt);
  const bodies = [
    'Qual o preço do SERVIÇO?',
    'preco-fixo: R$ 12,50',
    'Nada disso',
    'Serviços e preços',
    'servico preço',
  ];
  const ages = [60, 86_400 * 40, 30, 86_400 * 100, 86_400 * 3];
  await sync(
    bodies.map((body, n) => inbound(`s${n}`, { body, sentAt: at(ages[n] ?? 0) })),
    who,
  );
  const find = async (query: string): Promise<string[]> =>
    (await get(`/api/messages/search?${query}`, who)).json().data.map(({ body }: { body: string }) => body);
  expect(await find('q=preco')).toEqual([bodies[0], bodies[4], bodies[1], bodies[3]]);
  expect(await find('q=PREÇO%20servi')).toEqual([bodies[0], bodies[4], bodies[3]]);
  expect(await find('q=reco')).toEqual([]);
  expect(await find('q=12,50')).toEqual([bodies[1]]);
  expect(await find(`q=preco&to=${at(86_400)}&from=${at(86_400 * 50)}`)).toEqual([bodies[4], bodies[1]]);
  const first = (await get('/api/messages/search?q=preco&limit=3', who)).json();
  const second = (await get(`/api/messages/search?q=preco&limit=3&cursor=${first.page.nextCursor}`, who)).json();
  expect(second.data.map(({ body }: { body: string }) => body)).toEqual([bodies[3]]);
  expect((await get(`/api/messages/search?q=%3A%26%7C`, who)).statusCode).toBe(400);
  for (const q of ["a'b", 'a:*', '!a', 'a & | b', '(a', '<->', 'çãé', '世界'])
    expect([q, (await get(`/api/messages/search?q=${encodeURIComponent(q)}`, who)).statusCode]).not.toContain(500);
});
