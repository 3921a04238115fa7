import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
async function send(method: Method, path: string, payload?: object, ifMatch?: string) {
  const headers = { ...ana.headers, ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }) };
  const answer = await test.app.inject({ method, url: `/api/${path}`, headers, ...(payload ? { payload } : {}) });
  return { status: answer.statusCode, body: answer.json(), etag: String(answer.headers['etag']) };
}

/** Whatever says an ETag when it is read, with how to make one and change it. */
const RESOURCES: [path: string, made: object, change: object][] = [
  ['contacts', { name: 'Bia' }, { name: 'Bia Lima' }],
  ['tasks', { title: 'Ligar' }, { title: 'Ligar hoje' }],
  ['templates', { name: 'Olá', category: 'utility', language: 'pt-BR', body: 'Olá!' }, { name: 'Oi' }],
  ['labels', { name: 'VIP', color: '#000000' }, { name: 'Ouro' }],
  ['contact-fields', { key: 'size', name: 'Tamanho', kind: 'number' }, { name: 'Porte' }],
  ['segments', { name: 'Todos', filter: { field: 'name', op: 'contains', value: 'a' } }, { name: 'Alguns' }],
  ['pipelines', { name: 'Vendas B' }, { name: 'Vendas C' }],
  ['webhooks', { name: 'a', url: 'https://example.com/hook', events: ['contact.created'] }, { name: 'b' }],
];

describe('what was changed since it was read', () => {
  it.each(RESOURCES)('%s: is neither deleted nor changed, and what was not, is', async (path, made, change) => {
    const { status, body, etag: first } = await send('POST', path, made);
    expect([status, body.code]).toEqual([201, undefined]);
    const one = `${path}/${body.id}`;
    expect((await send('GET', one)).etag).toBe(first);
    expect((await send('PATCH', one, change, first)).status).toBe(200);
    for (const [method, patch] of [['PATCH', change], ['DELETE']] as const)
      expect((await send(method, one, patch, first)).body).toMatchObject({ status: 412, code: 'version_mismatch' });
    const { status: seen, etag } = await send('GET', one);
    expect(seen).toBe(200);
    expect((await send('DELETE', one, undefined, etag)).status).toBe(200);
    expect((await send('GET', one)).status).toBe(404);
  });

  it('a deal', async () => {
    const contactId = (await send('POST', 'contacts', { name: 'Caio' })).body.id;
    const { body, etag: first } = await send('POST', 'deals', { title: 'Plano', contactId });
    const { etag } = await send('PATCH', `deals/${body.id}`, { title: 'Plano anual' });
    expect((await send('DELETE', `deals/${body.id}`, undefined, first)).status).toBe(412);
    expect((await send('DELETE', `deals/${body.id}`, undefined, etag)).status).toBe(200);
  });

  it('a task is neither completed nor opened again', async () => {
    const { body, etag: first } = await send('POST', 'tasks', { title: 'Ligar' });
    const one = `tasks/${body.id}`;
    const { etag: open } = await send('PATCH', one, { title: 'Ligar já' });
    expect((await send('POST', `${one}/complete`, undefined, first)).status).toBe(412);
    expect((await send('GET', one)).body.status).toBe('open');
    expect((await send('POST', `${one}/complete`, undefined, open)).body.status).toBe('completed');
    expect((await send('POST', `${one}/reopen`, undefined, open)).status).toBe(412);
    const { etag: done } = await send('GET', one);
    expect((await send('POST', `${one}/reopen`, undefined, done)).body.status).toBe('open');
  });

  it("a contact's labels stay", async () => {
    const { body, etag: first } = await send('POST', 'contacts', { name: 'Davi', labels: ['Frio'] });
    const labels = `contacts/${body.id}/labels`;
    const { body: warm } = await send('POST', labels, { labels: ['Morno'] }, first);
    expect(warm.labels).toHaveLength(2);
    expect((await send('PUT', labels, { labels: [] }, first)).status).toBe(412);
    expect((await send('DELETE', `${labels}/${warm.labels[0].id}`, undefined, first)).status).toBe(412);
    const { body: now, etag } = await send('GET', `contacts/${body.id}`);
    expect(now.labels).toHaveLength(2);
    expect((await send('PUT', labels, { labels: [] }, etag)).body.labels).toEqual([]);
  });
});
