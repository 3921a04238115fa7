import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dumpRedis, grepPostgres } from '#test/erasure.ts';
import { createInstallation, startRedis, type Installation, type Running } from '#test/processes.ts';

const NAME = 'Ermelinda Vascoñez';
const EMAIL = 'Ermelinda.V@canario-exemplo.com.br';
const PHONE = '+5541988223344';
const NEEDLES = [
  'ermelinda',
  'vasconez',
  EMAIL.toLowerCase(),
  '5541988223344',
  '554188223344',
  '41988223344',
  '988223344',
  '98822-3344',
  '98822 3344',
];

let redis: Awaited<ReturnType<typeof startRedis>>;
let all: Installation;
let api: Running & { url: string };
let token = '';
beforeAll(async () => {
  redis = await startRedis();
  all = await createInstallation({ REDIS_URL: redis.url, AUTO_AI_QUIET_MS: '300' });
  [api] = await Promise.all([all.startApi(), all.startControl(), all.startWorker()]);
  const account = { email: 'dona@example.com', password: 'a long enough password', name: 'Dona' };
  token = (await call<{ token: string }>('POST', 'auth/register', account)).token;
});
afterAll(async () => {
  await all?.close();
  await redis?.stop();
});

async function call<Answer>(method: string, path: string, body?: object | string): Promise<Answer> {
  const isText = typeof body === 'string';
  const answer = await fetch(`${api.url}/api/${path}`, {
    method,
    headers: {
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(body === undefined ? {} : { 'content-type': isText ? 'text/csv' : 'application/json' }),
    },
    ...(body === undefined ? {} : { body: isText ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
  return JSON.parse(text) as Answer;
}

interface Made {
  id: string;
}

const ended = async (operationId: string) => {
  const read = () => call<{ status: string }>('GET', `operations/${operationId}`);
  await expect.poll(async () => (await read()).status, { timeout: 60_000 }).toBe('completed');
};

it('of a person that everything knew, nothing is left in any process’s store but a hash', async () => {
  const contact = await call<Made>('POST', 'contacts', {
    name: NAME,
    phone: PHONE,
    email: EMAIL,
    company: `${NAME} ME`,
  });
  const { id } = contact;
  await call('POST', `contacts/${id}/notes`, { text: `Falar com Vascoñez, (41) 98822-3344` });
  const deal = await call<Made>('POST', 'deals', { title: `Plano de ${NAME}`, contactId: id });
  const task = await call<Made>('POST', 'tasks', {
    title: `Ligar: Ermelinda`,
    contactId: id,
    dueAt: new Date(Date.now() + 61_000),
  });
  await call('POST', `tasks/${task.id}/reminders`, { minutesBefore: 1 });
  const messages = ['Oi!', `Sou ${NAME}, ${EMAIL}, adorei!`].map((body, at) => ({
    clientId: `m${at}`,
    chat: { waId: '554188223344@c.us' },
    direction: 'inbound',
    body,
    name: NAME,
    sentAt: new Date().toISOString(),
  }));
  await call('POST', 'messages/sync', { channel: { externalId: '5541900000000' }, messages });
  for (const engine of ['sentiment', 'copilot']) {
    const conversationHistory = [{ role: 'user', content: `Sou ${NAME}, ${PHONE}` }];
    await call(
      'POST',
      `ai/${engine}`,
      engine === 'copilot' ? { conversationHistory } : { text: `${NAME} gostou: ${EMAIL}` },
    );
  }
  const file = await call<Made>(
    'POST',
    'imports?fileName=clientes.csv',
    `nome,telefone,email\n${NAME},${PHONE},${EMAIL}\n,x,${EMAIL}\n`,
  );
  const started = await call<{ operationId: string }>('POST', `imports/${file.id}/start`, { mode: 'update' });
  await ended(started.operationId);
  const exported = await call<{ operationId: string }>('POST', 'exports', {});
  await ended(exported.operationId);
  await expect
    .poll(async () => (await call<{ data: unknown[] }>('GET', 'notifications')).data.length, { timeout: 60_000 })
    .toBeGreaterThan(0);
  await expect
    .poll(async () => (await all.pool.query(`select from job where finished_at is null`)).rowCount, { timeout: 60_000 })
    .toBe(0);

  const before = new Set((await grepPostgres(all.pool, NEEDLES)).map((hit) => hit.split('.')[0]));
  for (const table of ['contact', 'contact_identity', 'message', 'activity', 'deal', 'task', 'job', 'notification'])
    expect(before).toContain(table);

  const { operationId } = await call<{ operationId: string }>('POST', `contacts/${id}/erasure`);
  await ended(operationId);
  // What other processes had in hand is over too: events are handed out, AI has looked.
  await expect
    .poll(async () => (await all.pool.query('select from outbox_event where position is null')).rowCount, {
      timeout: 60_000,
    })
    .toBe(0);
  expect(await grepPostgres(all.pool, NEEDLES)).toEqual([]);
  const client = new Redis(redis.url);
  const texts = (await dumpRedis(client)).map((text) => text.normalize('NFD').replaceAll(/\p{M}/gu, '').toLowerCase());
  client.disconnect();
  expect(texts.length).toBeGreaterThan(5);
  expect(texts.filter((text) => NEEDLES.some((needle) => text.includes(needle)))).toEqual([]);
  const receipt = await call<{ stores: { store: string; ok: boolean }[] }>(
    'GET',
    `privacy/requests/${operationId}/receipt`,
  );
  expect(receipt.stores.filter(({ ok }) => !ok)).toEqual([]);
  const { data } = await call<{ data: unknown[] }>('GET', `suppressions?phone=${encodeURIComponent(PHONE)}`);
  expect(data).toMatchObject([{ reason: 'erasure' }]);
  expect(await call('GET', 'audit/verify')).toMatchObject({ ok: true });
  expect(await call<{ title: string }>('GET', `deals/${deal.id}`)).toMatchObject({ title: 'Plano de [erased]' });
}, 240_000);
