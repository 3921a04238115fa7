import { afterAll, beforeAll, expect, it } from 'vitest';
import { aDeniedMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
const call = (method: Method, url: string, payload?: object, headers: Record<string, string> = {}) =>
  test.app.inject({ method, url, headers: { ...ana.headers, ...headers }, ...(payload ? { payload } : {}) });

async function aContact(fields: Record<string, unknown>): Promise<string> {
  const id = crypto.randomUUID();
  const columns = { workspace_id: ana.workspace.id, id, ...fields };
  const names = Object.keys(columns);
  await test.rt.systemPool.query(
    `insert into contact (${names.join()}) values (${names.map((_, at) => `$${at + 1}`).join()})`,
    Object.values(columns),
  );
  return id;
}

it('is changed by who made it, and by who sees all contacts', async () => {
  const beto = await aDeniedMember(test.rt, ana.workspace.id, ['contacts:all']);
  const mine = await call('POST', '/api/templates', { name: 'De Ana', body: 'Oi' });
  const theirs = await call('POST', '/api/templates', { name: 'De Beto', body: 'Oi' }, beto.headers);
  expect([mine.statusCode, theirs.statusCode]).toEqual([201, 201]);
  for (const root of ['/api/templates', '/api/messages/templates'])
    for (const [method, body] of [['PATCH', { body: 'Olá' }] as const, ['DELETE', undefined] as const]) {
      const refused = (await call(method, `${root}/${mine.json().id}`, body, beto.headers)).json();
      expect(refused).toMatchObject({ status: 403, code: 'forbidden' });
      expect(refused.detail).toContain('contacts:all');
    }
  const url = `/api/templates/${theirs.json().id}`;
  // Another's version makes the template nobody else's.
  expect((await call('PATCH', url, { body: 'Bom dia' })).statusCode).toBe(200);
  expect((await call('PATCH', url, { name: 'Ainda de Beto' }, beto.headers)).statusCode).toBe(200);
  expect((await call('DELETE', url, undefined, beto.headers)).statusCode).toBe(200);
  expect((await call('DELETE', `/api/templates/${mine.json().id}`)).statusCode).toBe(200);
});

it('is made, changed into a new version, read back by number, copied and deleted', async () => {
  const body = 'Oi, {{contact.first_name|"amigo"}}!';
  const made = await call('POST', '/api/templates', { name: 'Boas-vindas', body });
  expect([made.statusCode, made.json()]).toMatchObject([
    201,
    { name: 'Boas-vindas', category: 'utility', language: 'pt-BR', version: 1, variables: ['contact.first_name'] },
  ]);
  const url = `/api/templates/${made.json().id}`;
  const etag = String(made.headers['etag']);
  expect((await call('PATCH', url, { name: 'Olá' }, { 'if-match': etag })).json()).toMatchObject({ version: 1 });
  expect((await call('PATCH', url, { body: 'x' }, { 'if-match': etag })).statusCode).toBe(412);
  expect((await call('PATCH', url, { body: 'Bom dia' })).json()).toMatchObject({ version: 2, variables: [] });
  expect((await call('PATCH', url, { body: 'Bom dia' })).json()).toMatchObject({ version: 2 });
  const versions = (await call('GET', `${url}/versions`)).json().data;
  expect(versions.map((one: { version: number; body: string }) => [one.version, one.body])).toEqual([
    [2, 'Bom dia'],
    [1, body],
  ]);
  const clash = await call('POST', '/api/templates', { name: 'OLÁ', body: 'x' });
  expect([clash.statusCode, clash.json().code]).toEqual([409, 'template_exists']);
  const copies = [await call('POST', `${url}/duplicate`), await call('POST', `/api/messages${url.slice(4)}/duplicate`)];
  expect(copies.map((copy) => copy.json())).toMatchObject([
    { name: 'Olá (2)', version: 1, body: 'Bom dia' },
    { name: 'Olá (3)', version: 1 },
  ]);
  expect((await call('GET', '/api/messages/templates?limit=2')).json()).toMatchObject({ page: { hasMore: true } });
  expect((await call('DELETE', url)).json()).toMatchObject({ deleted: true });
  expect((await call('GET', `${url}/versions`)).statusCode).toBe(404);
});

it('says at save what is wrong and where', async () => {
  const answer = await call('POST', '/api/templates', { name: 'Errado', body: 'Oi,\n{{contact.nome|"x"}}' });
  expect(answer.json()).toMatchObject({ status: 400, errors: [{ path: 'body', code: 'unknown_variable' }] });
  expect(answer.json().detail).toContain('line 2, column 3, position 6');
  const unknown = await call('POST', '/api/templates', { name: 'Errado', body: '{{custom.plan|"x"}}' });
  expect(unknown.json().errors[0].code).toBe('unknown_variable');
});

it('shows what a contact would get, and whether it would be sent', async () => {
  await test.rt.systemPool.query(
    `insert into contact_field (workspace_id, id, key, name, kind) values ($1, gen_random_uuid(), 'plan', 'Plano', 'text')`,
    [ana.workspace.id],
  );
  const body = '{{contact.first_name|"amigo"}} {{custom.plan|""}} {{contact.company|"-"}}';
  const { id } = (await call('POST', '/api/templates', { name: 'Plano', body })).json();
  const bia = await aContact({ name: 'Bia {{contact.phone|"x"}}', custom_fields: '{"plan": "ouro"}' });
  const nobody = await aContact({ name: '+551187654321' });
  const preview = async (contactId: string, more: object = {}) =>
    (await call('POST', `/api/templates/${id}/preview`, { contactId, ...more })).json();
  expect(await preview(bia)).toEqual({
    version: 1,
    text: 'Bia ouro -',
    fallbacks: ['contact.company'],
    unresolved: [],
    isSendable: true,
  });
  expect(await preview(nobody)).toMatchObject({ unresolved: ['custom.plan'], isSendable: false });
  await call('PATCH', `/api/templates/${id}`, { body: '{{contact.name|"-"}}' });
  expect(await preview(bia)).toMatchObject({ version: 2, text: 'Bia {{contact.phone|"x"}}' });
  expect(await preview(bia, { version: 1 })).toMatchObject({ text: 'Bia ouro -' });
  expect(await preview(bia, { version: 7 })).toMatchObject({ status: 404 });
  expect(await preview(crypto.randomUUID())).toMatchObject({ status: 404 });
});
