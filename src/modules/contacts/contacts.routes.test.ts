import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { identifyContacts } from '#src/modules/contacts/identify.query.ts';

let test: TestApp;
let ana: TestUser;
let eve: TestUser;
/** Members of ana's workspace; one sees their own contacts alone. */
let viewer: TestUser;
let limited: TestUser;
const inAnas = (user: TestUser): TestUser => ({
  ...user,
  headers: { ...user.headers, 'x-workspace-id': ana.workspace.id } as TestUser['headers'],
});
beforeAll(async () => {
  test = await openTestApp();
  eve = await aUser(test.rt);
});
afterAll(() => test.close());
beforeEach(async () => {
  ana = await aUser(test.rt);
  [viewer, limited] = [inAnas(await aUser(test.rt)), inAnas(await aUser(test.rt))];
  await aMember(test.rt, ana.workspace.id, viewer.user.id, 'viewer');
  await aMember(test.rt, ana.workspace.id, limited.user.id, 'member');
  await test.rt.systemPool.query(
    `update member set denies = '{contacts:all}' where workspace_id = $1 and user_id = $2`,
    [ana.workspace.id, limited.user.id],
  );
});

type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
const call = (method: Method, url: string, payload?: object, who = ana, headers: Record<string, string> = {}) =>
  test.app.inject({ method, url, headers: { ...who.headers, ...headers }, ...(payload ? { payload } : {}) });
const make = async (payload: object, who = ana) => {
  const answer = await call('POST', '/api/contacts', payload, who);
  expect(answer.statusCode).toBe(201);
  return answer.json();
};
const rows = async (sql: string): Promise<Record<string, unknown>[]> =>
  (await test.rt.systemPool.query(sql.replaceAll('$w', `'${ana.workspace.id}'`))).rows;
const names = ({ labels }: { labels: { name: string }[] }) => labels.map(({ name }) => name);
const codeOf = async (answer: ReturnType<typeof call>) => {
  const { statusCode, json } = await answer;
  return [statusCode, json().code];
};

describe('a contact', () => {
  it('is made of what people type, and read, changed, deleted and restored', async () => {
    const body = { name: 'João Açaí', phone: '(11) 8765-4321', email: 'Joao@Example.com', company: 'Açaí & Cia' };
    const made = await make({ ...body, labels: ['VIP', 'Novo'], consent: 'granted' });
    expect(made).toMatchObject({
      name: 'João Açaí',
      phone: '+5511987654321',
      email: 'joao@example.com',
      labels: [{ name: 'Novo' }, { name: 'VIP' }],
      identities: [
        { kind: 'email', value: 'joao@example.com' },
        { kind: 'phone', value: '+5511987654321' },
      ],
      leadScore: null,
      sentiment: null,
      lastInboundAt: null,
      consent: 'granted',
      ownerId: null,
      source: 'manual',
      version: 1,
    });
    const url = `/api/contacts/${made.id}`;
    const read = await call('GET', url);
    expect(read.json()).toEqual(made);
    const changed = await call('PATCH', url, { phone: '+1 212 555 2368', company: null, ownerId: limited.user.id });
    expect(changed.json()).toMatchObject({
      phone: '+12125552368',
      company: null,
      version: 2,
      ownerId: limited.user.id,
    });
    expect(changed.json().identities).toContainEqual({ kind: 'phone', value: '+12125552368' });
    expect(changed.json().identities).toHaveLength(2);
    expect((await call('PATCH', url, { name: 'João Açaí' })).json().version).toBe(2);
    expect((await call('DELETE', url)).json()).toEqual({ id: made.id, deleted: true });
    expect((await call('GET', url)).statusCode).toBe(404);
    const restored = await call('POST', `${url}/restore`);
    expect(restored.json()).toMatchObject({ id: made.id, phone: '+12125552368', version: 4 });
    expect(restored.json().identities).toHaveLength(2);
    const events = await rows(`select type, subject_id, data from outbox_event where workspace_id = $w order by id`);
    expect(events.map(({ type }) => type)).toEqual([
      'contact.created',
      'contact.updated',
      'contact.deleted',
      'contact.restored',
    ]);
    expect(events[1]).toMatchObject({
      subject_id: made.id,
      data: { contactId: made.id, ownerId: limited.user.id, changed: ['phone', 'company', 'ownerId'] },
    });
    const actions = (await call('GET', '/api/audit?limit=4'))
      .json()
      .data.map(({ action }: { action: string }) => action);
    expect(actions).toEqual(['contact.restored', 'contact.deleted', 'contact.updated', 'contact.created']);
    const { data } = (await call('GET', `${url}/timeline?limit=3`)).json();
    expect(data.map(({ type }: { type: string }) => type)).toEqual([
      'contact.restored',
      'contact.deleted',
      'contact.updated',
    ]);
    // Nothing of the person stays where it cannot be erased.
    const audit = JSON.stringify(await rows(`select before, after from audit_log where workspace_id = $w`));
    expect(audit).not.toMatch(/João|2125552368|joao@/);
  });

  it('is changed only from the state it was read in, where that is said', async () => {
    const made = await make({ name: 'Ana' });
    const url = `/api/contacts/${made.id}`;
    const etag = String((await call('GET', url)).headers['etag']);
    expect((await call('PATCH', url, { name: 'Bia' }, ana, { 'if-match': etag })).statusCode).toBe(200);
    expect(await codeOf(call('PATCH', url, { name: 'Cia' }, ana, { 'if-match': etag }))).toEqual([
      412,
      'version_mismatch',
    ]);
    expect(await codeOf(call('PATCH', url, { name: 'Cia', version: 1 }))).toEqual([412, 'version_mismatch']);
    expect((await call('PATCH', url, { name: 'Cia', version: 2 })).json()).toMatchObject({ name: 'Cia', version: 3 });
  });

  it('has its phone to itself, in either form, and whose it is is told to who may see that', async () => {
    const first = await make({ name: 'Ana', phone: '11 98765-4321' });
    const again = await call('POST', '/api/contacts', { name: 'Bia', phone: '+551187654321' });
    expect([again.statusCode, again.json().code]).toEqual([409, 'phone_taken']);
    expect(again.json().errors).toEqual([
      { path: 'phone', code: 'phone_taken', message: expect.stringContaining(first.id) },
    ]);
    const hidden = await call('POST', '/api/contacts', { name: 'Bia', phone: '11987654321' }, limited);
    expect([hidden.statusCode, hidden.json().code]).toEqual([409, 'phone_taken']);
    expect(hidden.body).not.toContain(first.id);
    const other = await make({ name: 'Bia' });
    expect(await codeOf(call('PATCH', `/api/contacts/${other.id}`, { phone: '11987654321' }))).toEqual([
      409,
      'phone_taken',
    ]);
    expect((await rows(`select 1 from contact where workspace_id = $w`)).length).toBe(2);
  });

  it('leaves its phone to others while it is in the bin, and cannot come back then', async () => {
    const first = await make({ name: 'Ana', phone: '11 98765-4321', email: 'ana@example.com' });
    await call('DELETE', `/api/contacts/${first.id}`);
    const second = await make({ name: 'Ana', phone: '11 98765-4321', email: 'ana@example.com' });
    const refused = await call('POST', `/api/contacts/${first.id}/restore`);
    expect([refused.statusCode, refused.json().code]).toEqual([409, 'phone_taken']);
    expect(refused.body).toContain(second.id);
    await call('DELETE', `/api/contacts/${second.id}`);
    expect((await call('POST', `/api/contacts/${first.id}/restore`)).statusCode).toBe(200);
    expect((await call('POST', `/api/contacts/${first.id}/restore`)).statusCode).toBe(404);
  });

  it('answers under an id that was merged into it, but is not deleted by that', async () => {
    const [loser, winner] = [await make({ name: 'Ana' }), await make({ name: 'Ana Lima' })];
    await rows(`update contact set merged_into = '${winner.id}', deleted_at = now() where id = '${loser.id}'`);
    const read = await call('GET', `/api/contacts/${loser.id}`);
    expect(read.json()).toMatchObject({ id: winner.id, name: 'Ana Lima' });
    expect((await call('POST', `/api/contacts/${loser.id}/notes`, { text: 'Oi' })).json().contactId).toBe(winner.id);
    expect(await codeOf(call('DELETE', `/api/contacts/${loser.id}`))).toEqual([409, 'contact_merged']);
    expect((await call('POST', `/api/contacts/${loser.id}/restore`)).statusCode).toBe(404);
  });

  it('is one where two are made at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => call('POST', '/api/contacts', { name: 'Ana', phone: '11987654321' })),
    );
    expect(answers.map(({ statusCode }) => statusCode).toSorted((a, b) => a - b)).toEqual([201, 409, 409, 409, 409]);
  });

  it('reads numbers as the country of the workspace writes them', async () => {
    await call('PATCH', `/api/workspaces/${ana.workspace.id}`, { country: 'PT' });
    expect((await make({ name: 'Rui', phone: '912 345 678' })).phone).toBe('+351912345678');
  });

  it.each([
    [{ name: ' ' }, 'name'],
    [{ name: 'Ana', phone: '123' }, 'phone'],
    [{ name: 'Ana', email: 'ana' }, 'email'],
    [{ name: 'Ana', ownerId: '00000000-0000-7000-8000-000000000000' }, 'ownerId'],
    [{ name: 'Ana', customFields: { size: 1 } }, 'customFields.size'],
    [{ name: 'Ana', leadScore: 3 }, 'leadScore'],
  ])('says what is wrong with %j', async (body, path) => {
    const answer = await call('POST', '/api/contacts', body);
    expect([answer.statusCode, answer.json().errors[0].path]).toEqual([400, path]);
  });
});

describe('who may see a contact', () => {
  it('is every member; strangers find nothing, and viewers change nothing', async () => {
    const made = await make({ name: 'Ana', phone: '11987654321' });
    const url = `/api/contacts/${made.id}`;
    const requests: [Method, string, object?][] = [
      ['GET', url],
      ['PATCH', url, { name: 'x' }],
      ['POST', `${url}/restore`],
      ['PUT', `${url}/labels`, { labels: [] }],
      ['POST', `${url}/labels`, { labels: ['x'] }],
      ['DELETE', `${url}/labels/${made.id}`],
      ['GET', `${url}/timeline`],
      ['POST', `${url}/notes`, { text: 'x' }],
      ['DELETE', url],
    ];
    for (const [method, path, body] of requests) {
      expect([path, (await call(method, path, body, eve)).statusCode]).toEqual([path, 404]);
      const asViewer = (await call(method, path, body, viewer)).statusCode;
      expect([method, path, asViewer]).toEqual([method, path, method === 'GET' ? 200 : 403]);
    }
    expect((await call('GET', '/api/contacts', undefined, eve)).json().data).toEqual([]);
    const asked = { phones: ['11987654321'] };
    expect((await call('POST', '/api/contacts/lookup', asked, eve)).json().data[0].contact).toBeNull();
    expect((await call('POST', '/api/contacts/lookup', asked, viewer)).json().data[0].contact.id).toBe(made.id);
  });

  it('is, for a member who sees their own alone, who looks after it', async () => {
    const others = await make({ name: 'Dos outros', phone: '11987654321' });
    const own = await make({ name: 'Meu', phone: '11987654322' }, limited);
    expect(own.ownerId).toBe(limited.user.id);
    for (const [method, tail, body] of [
      ['GET', ''],
      ['PATCH', '', { name: 'x' }],
      ['DELETE', ''],
      ['GET', '/timeline'],
      ['POST', '/notes', { text: 'x' }],
      ['PUT', '/labels', { labels: [] }],
    ] as [Method, string, object?][])
      expect((await call(method, `/api/contacts/${others.id}${tail}`, body, limited)).statusCode).toBe(404);
    const listed = (await call('GET', '/api/contacts', undefined, limited)).json().data;
    expect(listed.map(({ id }: { id: string }) => id)).toEqual([own.id]);
    const found = await call('POST', '/api/contacts/lookup', { phones: ['11987654321', '11987654322'] }, limited);
    expect(found.json().data.map(({ contact }: { contact: { id: string } | null }) => contact?.id)).toEqual([
      undefined,
      own.id,
    ]);
    expect(
      (await call('PATCH', `/api/contacts/${own.id}`, { ownerId: ana.user.id }, limited)).json().errors[0].path,
    ).toBe('ownerId');
    await call('DELETE', `/api/contacts/${others.id}`);
    expect((await call('POST', `/api/contacts/${others.id}/restore`, undefined, limited)).statusCode).toBe(404);
  });
});

describe('what hangs on a contact', () => {
  it('are labels, replaced, added and taken', async () => {
    const { id } = await make({ name: 'Ana', labels: ['VIP'] });
    const url = `/api/contacts/${id}/labels`;
    expect(names((await call('POST', url, { labels: ['Novo', 'vip'] })).json())).toEqual(['Novo', 'VIP']);
    const put = (await call('PUT', url, { labels: ['novo', 'Quente'] })).json();
    expect([names(put), put.version]).toEqual([['Novo', 'Quente'], 3]);
    expect((await call('PUT', url, { labels: ['Novo', 'Quente'] })).json().version).toBe(3);
    const [{ id: labelId }] = put.labels;
    expect((await call('DELETE', `${url}/${labelId}`)).json()).toEqual({ id: labelId, deleted: true });
    expect((await call('DELETE', `${url}/${labelId}`)).statusCode).toBe(404);
    expect((await call('GET', '/api/labels')).json().data).toHaveLength(3);
    const many = Array.from({ length: 50 }, (_, at) => `l${at}`);
    expect((await call('POST', url, { labels: many })).json().errors[0].path).toBe('labels');
    expect((await call('GET', `/api/contacts/${id}`)).json().labels).toHaveLength(1);
  });

  it('are notes, in a timeline that pages each once', async () => {
    const { id } = await make({ name: 'Ana' });
    for (let at = 0; at < 7; at += 1) {
      const note = await call('POST', `/api/contacts/${id}/notes`, { text: `n${at}` });
      expect([note.statusCode, note.json()]).toMatchObject([
        201,
        { type: 'note.added', payload: { text: `n${at}` }, actorId: ana.user.id },
      ]);
    }
    // Those of one moment too.
    await rows(`update activity set occurred_at = now() where workspace_id = $w`);
    const seen: string[] = [];
    let cursor = '';
    do {
      const { data, page } = (await call('GET', `/api/contacts/${id}/timeline?limit=3${cursor}`)).json();
      seen.push(...data.map((one: { id: string }) => one.id));
      cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`;
    } while (cursor !== '');
    expect([seen.length, new Set(seen).size]).toEqual([8, 8]);
  });

  it('are fields of the workspace’s own, which hold what they are defined to', async () => {
    const field = (key: string, kind: string, more: object = {}) =>
      call('POST', '/api/contact-fields', { key, kind, name: key, ...more });
    expect((await field('born', 'date')).json()).toMatchObject({ key: 'born', kind: 'date', options: [] });
    await field('size', 'select', { options: ['S', 'M'] });
    await field('visits', 'number');
    await field('site', 'url');
    await field('adult', 'boolean');
    await field('notes', 'text');
    expect((await field('none', 'select')).json().errors[0].path).toBe('options');
    expect(await codeOf(field('born', 'text'))).toEqual([409, 'contact_field_exists']);
    const fields = {
      born: '1990-02-28',
      size: 'S',
      visits: 2.5,
      site: 'https://example.com/a',
      adult: true,
      notes: 'oi',
    };
    const made = await make({ name: 'Ana', customFields: fields });
    expect(made.customFields).toEqual(fields);
    const wrong = {
      born: '1990-02-30',
      size: 'L',
      visits: 'two',
      site: 'javascript:alert(1)',
      adult: 1,
      notes: false,
      x: 1,
    };
    const refused = await call('PATCH', `/api/contacts/${made.id}`, { customFields: wrong });
    expect(refused.statusCode).toBe(400);
    expect(
      refused
        .json()
        .errors.map(({ path }: { path: string }) => path)
        .toSorted(),
    ).toEqual(
      Object.keys(wrong)
        .map((key) => `customFields.${key}`)
        .toSorted(),
    );
    const changed = await call('PATCH', `/api/contacts/${made.id}`, { customFields: { visits: null, size: 'M' } });
    expect(changed.json().customFields).toEqual({ ...fields, visits: undefined, size: 'M' });
    const { data } = (await call('GET', '/api/contact-fields')).json();
    const renamed = await call('PATCH', `/api/contact-fields/${data[0].id}`, { name: 'Nascimento' });
    expect(renamed.json()).toMatchObject({ key: 'born', name: 'Nascimento' });
    expect((await call('PATCH', `/api/contact-fields/${data[0].id}`, { key: 'other' })).statusCode).toBe(400);
    await rows(`insert into contact_field (workspace_id, id, key, name, kind)
      select $w, uuidv7(), 'k' || n, 'k', 'text' from generate_series(1, 92) n`);
    const codes = await Promise.all(Array.from({ length: 6 }, (_, at) => codeOf(field(`one_more_${at}`, 'text'))));
    expect(codes.filter(([status]) => status !== 201)).toEqual(
      Array.from({ length: 4 }, () => [409, 'too_many_fields']),
    );
    expect(await rows('select count(*)::int as n from contact_field where workspace_id = $w')).toEqual([{ n: 100 }]);
  });

  it('has fields that administrators and their keys make; members by a grant', async () => {
    const size = { key: 'size', name: 'Tamanho', kind: 'number' };
    const { id } = (await call('POST', '/api/contact-fields', size)).json();
    const bia = inAnas(await aUser(test.rt));
    await aMember(test.rt, ana.workspace.id, bia.user.id, 'member');
    const statuses = async (who: TestUser) => {
      const made = await call('POST', '/api/contact-fields', { ...size, key: `k${Date.now()}` }, who);
      const renamed = await call('PATCH', `/api/contact-fields/${id}`, { name: 'Porte' }, who);
      const read = await call('GET', '/api/contact-fields', undefined, who);
      return [made, renamed, read].map(({ statusCode }) => statusCode);
    };
    const key = async (scopes: string[]): Promise<TestUser> => {
      const made = await call('POST', '/api/api-keys', { name: 'Chave', scopes });
      return { ...ana, headers: { authorization: `Bearer ${made.json().secret}` } };
    };
    expect(await statuses(bia)).toEqual([403, 403, 200]);
    const refused = await call('DELETE', `/api/contact-fields/${id}`, undefined, bia);
    expect([refused.statusCode, refused.json().detail]).toEqual([
      403,
      expect.stringContaining('contact-fields:manage'),
    ]);
    expect(await statuses(await key(['contacts:read', 'contacts:write']))).toEqual([201, 200, 200]);
    expect(await statuses(await key(['contacts:read']))).toEqual([403, 403, 200]);
    const path = `/api/workspaces/${ana.workspace.id}/members/${bia.user.id}`;
    expect((await call('PATCH', path, { grants: ['contact-fields:manage'] })).statusCode).toBe(200);
    await expect.poll(() => statuses(bia)).toEqual([201, 200, 200]);
  });

  it('is what messages made of it: its lookup finds WhatsApp’s form', async () => {
    const listKey = { appSecret: test.rt.config.APP_SECRET, workspaceId: ana.workspace.id };
    const [known] = await inWorkspaceTx(test.rt.orm, { workspaceId: ana.workspace.id }, (em) =>
      identifyContacts(em, [{ waId: '551187654321@c.us', name: 'Ana' }], { actorId: null, source: 'message', listKey }),
    );
    const asked = ['(11) 98765-4321', '+55 11 8765-4321', 'nobody', '+1 212 555 2368'];
    const { data } = (await call('POST', '/api/contacts/lookup', { phones: asked })).json();
    expect(data.map(({ phone }: { phone: string }) => phone)).toEqual(asked);
    expect(data.map(({ contact }: { contact: { id: string } | null }) => contact?.id)).toEqual([
      known?.contactId,
      known?.contactId,
      undefined,
      undefined,
    ]);
    expect((await call('GET', `/api/contacts/${known?.contactId}`)).json().source).toBe('message');
  });
});
