import { afterAll, beforeAll, expect, it } from 'vitest';
import { purgeContactExports } from '#src/modules/exports/exports.query.ts';
import { ownedDeals } from '#test/deals.ts';
import { aDeniedMember, aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { doOperations, manyPeople, upload } from '#test/imports.ts';

const COUNT = 6001;
let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp({ DEFAULT_PLAN: 'enterprise' });
  ana = await aUser(test.rt);
  const { id } = (await upload(test, ana, `${manyPeople(COUNT - 1)}=cmd|x;(21) 98888-7777;;Olá; \n`)).json();
  await call('POST', `/api/imports/${id}/start`, { mode: 'skip', labels: ['Todos'] });
  await doOperations(test);
});
afterAll(() => test.close());

const call = (method: 'GET' | 'POST', url: string, payload?: object, who = ana) =>
  test.app.inject({ method, url, headers: who.headers, ...(payload ? { payload } : {}) });
async function exported(body: object, who = ana) {
  const asked = await call('POST', '/api/exports', body, who);
  expect([asked.statusCode, asked.body]).toEqual([202, expect.any(String)]);
  const { id } = asked.json();
  expect((await call('GET', `/api/exports/${id}/download`, undefined, who)).statusCode).toBe(409);
  await doOperations(test);
  const view = (await call('GET', `/api/exports/${id}`, undefined, who)).json();
  const file = await call('GET', `/api/exports/${id}/download`, undefined, who);
  return { id, view, text: file.body, headers: file.headers };
}

it('has every contact in it once, in pages, and nothing a spreadsheet would run', async () => {
  const { view, text, headers } = await exported({ fields: ['name', 'phone', 'labels'] });
  expect(view).toMatchObject({ status: 'completed', rows: COUNT, sizeBytes: Buffer.byteLength(text) });
  expect(headers['content-type']).toContain('text/csv');
  const lines = text.trimEnd().split('\r\n');
  expect(lines[0]).toBe('"name","phone","labels"');
  expect(new Set(lines).size).toBe(COUNT + 1);
  expect(lines.at(-1)).toBe(`"'=cmd|x","'+5521988887777","Todos"`);
  const { rows } = await test.rt.systemPool.query('select 1 from contact_export_chunk where export_id = $1', [view.id]);
  expect(rows).toHaveLength(2);
  const { data } = (await call('GET', '/api/audit?limit=5')).json();
  expect(data[0]).toMatchObject({ action: 'contacts.exported', target: { id: view.id } });
});

it('takes a filter or ids, as lines of JSON too', async () => {
  const filter = { field: 'company', op: 'eq', value: 'Empresa 7' };
  const { text, view } = await exported({ filter, format: 'ndjson' });
  const people = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(people).toHaveLength(view.rows);
  expect(new Set(people.map(({ company }) => company))).toEqual(new Set(['Empresa 7']));
  expect(people[0]).toMatchObject({ labels: ['Todos'], consent: 'unknown', lastInboundAt: null });
  const { text: one } = await exported({ ids: [people[3].id], fields: ['id'] });
  expect(one).toBe(`"id"\r\n"${people[3].id}"\r\n`);
});

it('is for those who may, and refuses what there is not', async () => {
  const beto = await aUser(test.rt);
  await aMember(test.rt, ana.workspace.id, beto.user.id, 'member');
  const member = { ...beto, headers: { ...beto.headers, 'x-workspace-id': ana.workspace.id } };
  expect((await call('POST', '/api/exports', {}, member)).statusCode).toBe(403);
  expect((await call('POST', '/api/exports', { fields: ['custom:nada'] })).statusCode).toBe(422);
  expect((await call('POST', '/api/exports', { segmentId: ana.workspace.id })).statusCode).toBe(404);
  expect((await call('POST', '/api/exports', { ids: [ana.user.id], filter: { and: [] } })).statusCode).toBe(400);
});

it('counts only their own deals for a member who sees their own alone', async () => {
  const beto = await aDeniedMember(test.rt, ana.workspace.id, ['deals:all']);
  const { stageId, contactIds } = await ownedDeals(test.rt.systemPool, ana, [ana.user.id, beto.user.id]);
  const filter = { dealStage: stageId };
  const { id } = (await call('POST', '/api/segments', { name: 'Negócios', filter })).json();
  for (const selection of [{ filter }, { segmentId: id }]) {
    expect((await exported({ ...selection, fields: ['id'] })).view.rows).toBe(2);
    const { text } = await exported({ ...selection, fields: ['id'] }, beto);
    expect(text).toBe(`"id"\r\n"${contactIds[1]}"\r\n`);
  }
});

it('goes when it expires, and leaves nothing where it is cancelled', async () => {
  const { id } = (await call('POST', '/api/exports', {})).json();
  expect((await call('POST', `/api/operations/${id}/cancel`)).statusCode).toBe(202);
  expect((await call('GET', `/api/exports/${id}`)).json().status).toBe('cancelled');
  await test.rt.systemPool.query(`update contact_export set expires_at = now() - interval '61 minutes' where id = $1`, [
    id,
  ]);
  expect((await call('GET', `/api/exports/${id}`)).statusCode).toBe(404);
  expect(await purgeContactExports(test.rt.systemPool)).toBe(1);
});

it('is read again by an import as it is: every contact by its id, nothing new and nothing changed', async () => {
  const bia = await aUser(test.rt);
  const people = [
    { name: '=Ana', phone: '+5511985040001', email: 'ana@example.com', consent: 'denied', labels: ['+vip', 'b'] },
    { name: '-Bia', company: "@D'Ávila" },
    { name: "'+Caio", phone: '+5511985040002' },
  ];
  for (const payload of people) expect((await call('POST', '/api/contacts', payload, bia)).statusCode).toBe(201);
  const { text } = await exported({}, bia);
  const uploaded = (await upload(test, bia, text)).json();
  const targets = uploaded.mapping.map(({ to }: { to: string }) => to);
  expect(targets).toEqual(['id', 'name', 'phone', 'email', 'company', 'position', 'labels', 'consent']);
  expect(uploaded.preview.map(([, name]: string[]) => name)).toEqual(people.map(({ name }) => name));
  const states = async () =>
    (
      await test.rt.systemPool.query(
        'select id, name, company, version, (select count(*)::int from contact_identity i where i.contact_id = c.id) as known from contact c where workspace_id = $1 order by id',
        [bia.workspace.id],
      )
    ).rows;
  const before = await states();
  for (const dryRun of [true, false]) {
    await call('POST', `/api/imports/${uploaded.id}/start`, { mode: 'update', dryRun }, bia);
    await doOperations(test);
    const view = (await call('GET', `/api/imports/${uploaded.id}`, undefined, bia)).json();
    expect(view.counts).toEqual({ created: 0, updated: 0, skipped: 3, invalid: 0 });
  }
  expect(await states()).toEqual(before);
  const stranger = (await upload(test, ana, text)).json();
  await call('POST', `/api/imports/${stranger.id}/start`, { mode: 'update' });
  await doOperations(test);
  const { data } = (await call('GET', `/api/imports/${stranger.id}/rows`)).json();
  expect(data.map(({ status, reason }: { status: string; reason: string }) => [status, reason])).toEqual([
    ['created', null],
    ['invalid', 'no_identity'],
    ['created', null],
  ]);
});
