import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { purgeImports } from '#src/modules/imports/imports.query.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { doOperations, manyPeople, upload } from '#test/imports.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp({ DEFAULT_PLAN: 'enterprise' });
});
afterAll(() => test.close());

const call = (method: 'GET' | 'POST', url: string, payload?: object, who = ana) =>
  test.app.inject({ method, url, headers: who.headers, ...(payload ? { payload } : {}) });
const get = async (url: string, who = ana) => (await call('GET', url, undefined, who)).json();

/** Uploads, starts and does an import; what it came to. */
async function runImport(file: string | Buffer, body: object, who = ana, type?: string) {
  const uploaded = await upload(test, who, file, type);
  expect([uploaded.statusCode, uploaded.body]).toEqual([201, expect.any(String)]);
  const { id } = uploaded.json();
  const started = await call('POST', `/api/imports/${id}/start`, body, who);
  expect([started.statusCode, started.body]).toEqual([202, expect.stringContaining('/api/operations/')]);
  await doOperations(test);
  return get(`/api/imports/${id}`, who);
}
const contacts = async (who = ana) => {
  const sql = `select name, phone, email, company, position, consent, source, owner_id, version, custom_fields,
    (select array_agg(l.name::text order by l.name) from contact_label cl join label l on l.workspace_id = cl.workspace_id and l.id = cl.label_id
      where cl.workspace_id = c.workspace_id and cl.contact_id = c.id) as labels,
    (select array_agg(kind || ':' || value order by kind, value) from contact_identity i
      where i.workspace_id = c.workspace_id and i.contact_id = c.id) as identities
    from contact c where workspace_id = $1 order by created_at, id`;
  return (await test.rt.systemPool.query(sql, [who.workspace.id])).rows;
};
const rowsOf = async (id: string, query = '') => (await get(`/api/imports/${id}/rows?limit=100${query}`)).data;
const field = (key: string, kind: string, options: string[] = []) =>
  inWorkspaceTx(test.rt.orm, { workspaceId: ana.workspace.id }, (em) =>
    em.execute(
      `insert into contact_field (workspace_id, id, key, name, kind, options) values (current_workspace(), uuidv7(), ?, ?, ?, array(select json_array_elements_text(?::json)))`,
      [key, key, kind, JSON.stringify(options)],
    ),
  );

beforeAll(async () => {
  ana = await aUser(test.rt);
});

describe('an import', () => {
  it('finds out what a Brazilian file is, and makes contacts of its rows', async () => {
    ana = await aUser(test.rt);
    const file =
      'Nome;Celular;E-mail;Empresa;Cargo;Etiquetas;CPF\r\nMaria José;(11) 98765-4321;MARIA@example.com;Açaí & Cia;Dona;VIP, Novo;529.982.247-25\r\n' +
      'João;11 3456-7890;;;;;\r\n;;;;;;\r\n;+1 212 555 2368;;;;;\r\n';
    const uploaded = await upload(test, ana, Buffer.from(file, 'latin1'));
    expect(uploaded.statusCode).toBe(201);
    const view = uploaded.json();
    expect(view).toMatchObject({
      status: 'uploaded',
      format: 'csv',
      encoding: 'windows-1252',
      delimiter: ';',
      rows: 3,
      header: ['Nome', 'Celular', 'E-mail', 'Empresa', 'Cargo', 'Etiquetas', 'CPF'],
      fileName: 'contatos.csv',
    });
    expect(view.columns.map(({ to }: { to: string }) => to)).toEqual([
      'name',
      'phone',
      'email',
      'company',
      'position',
      'labels',
      'ignore',
    ]);
    expect(view.columns[6].newField).toEqual({ key: 'cpf', name: 'CPF', kind: 'text' });
    expect(view.preview[0]).toEqual([
      'Maria José',
      '(11) 98765-4321',
      'MARIA@example.com',
      'Açaí & Cia',
      'Dona',
      'VIP, Novo',
      '529.982.247-25',
    ]);
    await call('POST', `/api/imports/${view.id}/start`, { mode: 'skip', labels: ['Importado'], consent: 'granted' });
    expect(await get(`/api/imports/${view.id}`)).toMatchObject({ status: 'queued', done: 0 });
    await doOperations(test);
    expect(await get(`/api/imports/${view.id}`)).toMatchObject({
      status: 'completed',
      done: 3,
      counts: { created: 3, updated: 0, skipped: 0, invalid: 0 },
    });
    expect(await contacts()).toMatchObject([
      {
        name: 'Maria José',
        phone: '+5511987654321',
        email: 'maria@example.com',
        company: 'Açaí & Cia',
        position: 'Dona',
        consent: 'granted',
        source: 'import',
        labels: ['Importado', 'Novo', 'VIP'],
        identities: ['email:maria@example.com', 'phone:+5511987654321'],
      },
      { name: 'João', phone: '+551134567890', email: null, labels: ['Importado'] },
      { name: '+12125552368', phone: '+12125552368' },
    ]);
    const { rows: events } = await test.rt.systemPool.query(
      `select type, count(*)::int as n from outbox_event where workspace_id = $1 and type in ('contact.created', 'import.completed') group by 1 order by 1`,
      [ana.workspace.id],
    );
    expect(events).toEqual([
      { type: 'contact.created', n: 3 },
      { type: 'import.completed', n: 1 },
    ]);
    const { rows: left } = await test.rt.systemPool.query('select 1 from import_file_chunk where workspace_id = $1', [
      ana.workspace.id,
    ]);
    expect(left).toEqual([]);
    expect((await call('POST', `/api/imports/${view.id}/start`, { mode: 'skip' })).json().code).toBe('import_started');
  });

  it('skips, overwrites or fills contacts that are known', async () => {
    ana = await aUser(test.rt);
    await runImport('nome,telefone,empresa\nAna,11987654321,Alfa\n', { mode: 'skip', consent: 'denied' });
    const again = 'nome,telefone,empresa,cargo\nAna Lima,+55 11 8765-4321,Beta,Chefe\n';
    expect((await runImport(again, { mode: 'skip' })).counts).toEqual({
      created: 0,
      updated: 0,
      skipped: 1,
      invalid: 0,
    });
    expect(await contacts()).toMatchObject([{ name: 'Ana', company: 'Alfa', position: null, version: 1 }]);
    expect((await runImport(again, { mode: 'merge', consent: 'granted' })).counts.updated).toBe(1);
    expect(await contacts()).toMatchObject([{ name: 'Ana', company: 'Alfa', position: 'Chefe', consent: 'denied' }]);
    expect((await runImport(again, { mode: 'update', consent: 'granted' })).counts.updated).toBe(1);
    expect(await contacts()).toMatchObject([
      { name: 'Ana Lima', company: 'Beta', position: 'Chefe', consent: 'denied' },
    ]);
    const same = await runImport(again, { mode: 'update' });
    expect(same.counts).toEqual({ created: 0, updated: 0, skipped: 1, invalid: 0 });
    expect(await rowsOf(same.id)).toMatchObject([{ row: 1, status: 'skipped', reason: 'unchanged' }]);
  });

  it('takes one person for one, in whichever form their number stands, and the dry run says the same', async () => {
    ana = await aUser(test.rt);
    const head = 'nome,telefone,e-mail\n';
    const filler = manyPeople(1500)
      .split('\n')
      .slice(1, -1)
      .map((line) => line.split(';').slice(0, 3).join(','));
    const file = `${head}Bia,(21) 98888-7777,\nBia de novo,+55 21 8888-7777,bia@example.com\n${filler.join('\n')}\nBia,21988887777,bia@example.com\n,,bia@example.com\n`;
    const uploaded = (await upload(test, ana, file)).json();
    const dry = (await call('POST', `/api/imports/${uploaded.id}/start`, { mode: 'merge', dryRun: true })).json();
    await doOperations(test);
    const counts = { created: 1501, updated: 1, skipped: 2, invalid: 0 };
    expect(await get(`/api/imports/${uploaded.id}`)).toMatchObject({ status: 'completed', dryRun: true, counts });
    expect(await contacts()).toEqual([]);
    // It ends where it is watched too, and says nothing to those who are told of imports.
    const told = await test.rt.systemPool.query(
      `select type, data from outbox_event where workspace_id = $1 and type in ('operation.progressed', 'import.completed') order by id`,
      [ana.workspace.id],
    );
    expect(told.rows.at(-1)).toMatchObject({
      type: 'operation.progressed',
      data: {
        operationId: dry.operationId,
        kind: 'contacts.import',
        status: 'completed',
        done: 1504,
        total: 1504,
        counts,
      },
    });
    expect(told.rows.map(({ type }) => type)).not.toContain('import.completed');
    expect(await get(dry.links.self)).toMatchObject({ status: 'completed', done: 1504, total: 1504, counts });
    expect((await rowsOf(uploaded.id)).slice(0, 2)).toMatchObject([
      { status: 'created', contactId: null },
      { status: 'updated' },
    ]);
    expect((await call('POST', `/api/imports/${uploaded.id}/start`, { mode: 'merge' })).statusCode).toBe(202);
    await doOperations(test);
    expect(await get(`/api/imports/${uploaded.id}`)).toMatchObject({ status: 'completed', dryRun: false, counts });
    expect((await contacts()).filter(({ phone }) => phone === '+5521988887777')).toMatchObject([
      { name: 'Bia', email: 'bia@example.com', identities: ['email:bia@example.com', 'phone:+5521988887777'] },
    ]);
    expect(await contacts()).toHaveLength(1501);
  });

  it('refuses rows that cannot be, says why, and gives them back', async () => {
    ana = await aUser(test.rt);
    await field('nascimento', 'date');
    await field('gasto', 'number');
    await field('plano', 'select', ['Básico', 'Ouro']);
    const file =
      'nome,telefone,email,nascimento,gasto,plano\n' +
      'Boa,11987654321,boa@example.com,31/12/1990,"1.234,56",basico\n' +
      'Fone,123,,,,\nMail,,não é,,,\nNinguém,,,,,\nDia,11987654322,,31/02/1990,,\n"=HYPERLINK(""x"")",1,,,,\n' +
      'Extra,11987654323,,,,,sobra\nPlano,11987654324,,,,prata\nGasto,11987654325,,,muito,\n';
    const done = await runImport(file, { mode: 'skip' });
    expect(done.counts).toEqual({ created: 1, updated: 0, skipped: 0, invalid: 8 });
    expect((await contacts())[0].custom_fields).toEqual({ nascimento: '1990-12-31', gasto: 1234.56, plano: 'Básico' });
    const invalid = await rowsOf(done.id, '&status=invalid');
    expect(invalid.map(({ reason, column }: { reason: string; column: string }) => [reason, column])).toEqual([
      ['invalid_phone', 'telefone'],
      ['invalid_email', 'email'],
      ['no_identity', null],
      ['invalid_date', 'nascimento'],
      ['invalid_phone', 'telefone'],
      ['too_many_cells', 'Column 7'],
      ['unknown_option', 'plano'],
      ['invalid_number', 'gasto'],
    ]);
    const csv = await call('GET', `/api/imports/${done.id}/rejected.csv`);
    const lines = csv.body.trimEnd().split('\r\n');
    expect(lines).toHaveLength(9);
    expect(lines[0]).toBe('"nome","telefone","email","nascimento","gasto","plano","reason","column"');
    expect(lines[5]).toBe(`"'=HYPERLINK(""x"")","1","","","","","invalid_phone","telefone"`);
    expect(lines[6]).toContain('"sobra"');
    const page = await get(`/api/imports/${done.id}/rows?limit=3`);
    const next = await get(`/api/imports/${done.id}/rows?limit=3&cursor=${page.page.nextCursor}`);
    expect([...page.data, ...next.data].map(({ row }) => row)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('takes forms, UTF-16, tabs, files without a header and several columns of one kind', async () => {
    ana = await aUser(test.rt);
    const utf16 = Buffer.from(
      '\ufeffFirst Name\tLast Name\tTelefone\tWhatsApp\r\nÉrica\tSão João\t1134567890\t11987654321\r\n',
      'utf16le',
    );
    expect(await runImport(utf16, { mode: 'skip' })).toMatchObject({
      encoding: 'utf-16le',
      delimiter: '\t',
      counts: { created: 1 },
    });
    expect(await contacts()).toMatchObject([
      { name: 'Érica São João', phone: '+551134567890', identities: ['phone:+551134567890', 'phone:+5511987654321'] },
    ]);
    const bare = await upload(test, ana, '11987650001\n11987650002\n');
    expect(bare.json()).toMatchObject({ rows: 2, header: ['Column 1'], mapping: [{ column: 0, to: 'phone' }] });
    const boundary = 'xyz';
    const form = `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="a.csv"\r\ncontent-type: text/csv\r\n\r\nsep=|\r\nnome|fone\r\nZé|11987650003\r\n\r\n--${boundary}--\r\n`;
    const sent = await upload(test, ana, form, `multipart/form-data; boundary=${boundary}`);
    expect(sent.json()).toMatchObject({ rows: 1, delimiter: '|', encoding: 'utf-8', header: ['nome', 'fone'] });
  });

  it('of a member who sees only their own touches no contact of others', async () => {
    ana = await aUser(test.rt);
    await runImport('nome,telefone\nAna,11987654321\n', { mode: 'skip' });
    const beto = await aUser(test.rt);
    await aMember(test.rt, ana.workspace.id, beto.user.id, 'member');
    await test.rt.systemPool.query(
      `update member set denies = '{contacts:all}' where user_id = $1 and workspace_id = $2`,
      [beto.user.id, ana.workspace.id],
    );
    const headers = { ...beto.headers, 'x-workspace-id': ana.workspace.id };
    const limited = { ...beto, headers };
    const done = await runImport('nome,telefone\nOutra,11987654321\nMeu,11987654322\n', { mode: 'update' }, limited);
    expect(done.counts).toEqual({ created: 1, updated: 0, skipped: 0, invalid: 1 });
    expect(await contacts()).toMatchObject([{ name: 'Ana' }, { name: 'Meu', owner_id: beto.user.id }]);
    const first = (await get('/api/imports')).data.at(-1);
    expect((await call('GET', `/api/imports/${first.id}`, undefined, limited)).statusCode).toBe(404);
    expect((await get('/api/imports', limited)).data).toHaveLength(1);
  });

  it('that is cancelled keeps what was done, and goes when it expires', async () => {
    ana = await aUser(test.rt);
    const { id } = (await upload(test, ana, manyPeople(5000))).json();
    const { operationId } = (await call('POST', `/api/imports/${id}/start`, { mode: 'skip' })).json();
    // A worker that is told to go after its first step gives the rest back.
    const going = new AbortController();
    const slow = doOperations(test, going.signal);
    await expect.poll(async () => (await get(`/api/imports/${id}`)).done, { interval: 5 }).toBeGreaterThan(0);
    going.abort();
    await slow;
    const { done } = await get(`/api/imports/${id}`);
    expect(done).toBeLessThan(5000);
    const cancelled = await call('POST', `/api/imports/${id}/cancel`);
    expect(cancelled.json()).toMatchObject({ status: 'cancelled', done, counts: { created: done } });
    expect(await contacts()).toHaveLength(done);
    expect((await call('POST', `/api/operations/${operationId}/cancel`)).statusCode).toBe(409);
    const { rows } = await test.rt.systemPool.query(
      `select data->>'status' as status from outbox_event where workspace_id = $1 and type = 'import.completed'`,
      [ana.workspace.id],
    );
    expect(rows).toEqual([{ status: 'cancelled' }]);
    await test.rt.systemPool.query(`update contact_import set expires_at = now() - interval '1 second' where id = $1`, [
      id,
    ]);
    expect((await call('GET', `/api/imports/${id}`)).statusCode).toBe(404);
    expect(await purgeImports(test.rt.systemPool)).toBe(1);
    expect((await test.rt.systemPool.query('select 1 from import_row where import_id = $1', [id])).rows).toEqual([]);
  });

  it.each([
    [[{ column: 0, to: 'name' }], 'no_identity'],
    [[{ column: 9, to: 'phone' }], 'no_such_column'],
    [
      [
        { column: 1, to: 'phone' },
        { column: 1, to: 'phone' },
      ],
      'column_twice',
    ],
    [
      [
        { column: 1, to: 'email' },
        { column: 0, to: 'email' },
      ],
      'field_twice',
    ],
    [
      [
        { column: 1, to: 'phone' },
        { column: 0, to: 'custom:nada' },
      ],
      'unknown_field',
    ],
  ])('refuses the mapping %j', async (mapping, code) => {
    const { id } = (await upload(test, ana, 'nome,telefone\nAna,11987654321\n')).json();
    const answer = await call('POST', `/api/imports/${id}/start`, { mode: 'skip', mapping });
    expect([answer.statusCode, answer.json().errors[0].code]).toEqual([422, code]);
  });
});

describe('a file that cannot be read', () => {
  const wide = Array.from({ length: 10_000 }, (_, at) => `c${at}`).join(',');
  it.each<[string, string | Buffer, number, string]>([
    ['nothing', '', 422, 'empty_file'],
    ['a header alone', 'nome,telefone\n', 422, 'no_rows'],
    ['a quote that is never closed', 'nome,telefone\n"Ana,11987654321\nBia,11987654322\n', 422, 'csv_malformed'],
    ['a line of ten megabytes', `nome,telefone\nAna,${'1'.repeat(10_000_000)}\n`, 422, 'csv_malformed'],
    ['zero bytes', 'nome,telefone\nA\0na,11987654321\n', 422, 'not_text'],
    ['ten thousand columns', `${wide}\n${wide}\n`, 422, 'too_many_columns'],
    ['a picture', Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'), 422, 'not_text'],
    ['an old Excel file', Buffer.from('d0cf11e0a1b11ae100000000', 'hex'), 422, 'legacy_excel'],
    ['a zip that is cut', Buffer.from('504b030414000000080000002100', 'hex'), 422, 'not_a_spreadsheet'],
  ])('%s: is refused, and nothing of it is kept', async (_, file, status, code) => {
    const answer = await upload(test, ana, file);
    expect([answer.statusCode, answer.json().code]).toEqual([status, code]);
    const { rows } = await test.rt.systemPool.query(`select 1 from contact_import where status = 'uploading'`);
    expect(rows).toEqual([]);
  });

  it('names headers that stand twice apart', async () => {
    const { header, mapping } = (await upload(test, ana, 'Telefone,Telefone,\n11987654321,11987654322,x\n')).json();
    expect(header).toEqual(['Telefone', 'Telefone (2)', 'Column 3']);
    expect(mapping).toEqual([
      { column: 0, to: 'phone' },
      { column: 1, to: 'phone' },
    ]);
  });

  it('says that JSON is no file, and what is no form', async () => {
    expect((await call('POST', '/api/imports', { a: 1 })).statusCode).toBe(415);
    expect((await upload(test, ana, 'x', 'multipart/form-data')).statusCode).toBeLessThan(500);
    expect((await upload(test, ana, '--x\r\nbad', 'multipart/form-data; boundary=x')).statusCode).toBe(400);
  });
});
