import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kinds } from '#src/modules/bulk/kinds.ts';
import { runOperation } from '#src/modules/bulk/run.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { remindDue } from '#src/modules/reminders/remind.ts';
import { STORES } from '#src/modules/privacy/stores.ts';
import { isSuppressed } from '#src/modules/privacy/suppression.ts';
import { grepPostgres } from '#test/erasure.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
const run = async (sql: string, values: unknown[] = []) => (await test.rt.systemPool.query(sql, values)).rows;
beforeAll(async () => {
  test = await openTestApp({ DEFAULT_PLAN: 'enterprise' });
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
async function send(method: Method, path: string, payload?: object, headers: Record<string, string> = ana.headers) {
  const request = { method, url: `/api/${path}`, headers, ...(payload ? { payload } : {}) };
  const answer = await test.app.inject(request);
  return { status: answer.statusCode, body: answer.json(), text: answer.body };
}
async function work(id: string) {
  await run('update bulk_operation set due_at = now() where id = $1 and due_at is not null', [id]);
  const stopping = new AbortController().signal;
  await runOperation(
    { orm: test.rt.orm, kinds, appSecret: test.config.APP_SECRET, log: test.rt.log, stopping },
    ana.workspace.id,
    id,
  );
}

const NAME = 'Quitéria Zaplónn';
const EMAIL = 'Quiteria.Z@exemplo-canario.com.br';
const PHONE = '+5511973315577';
const WA_ID = '551173315577@c.us';
const OLD_PHONE = '+5521965417788';
const NEEDLES = [
  'quiteria',
  'zaplonn',
  EMAIL.toLowerCase(),
  '5511973315577',
  '551173315577',
  '11973315577',
  '973315577',
  '73315577',
  '73315-577',
  '97331-5577',
  '21965417788',
  'lid-canario-9',
];

/** A contact with something of theirs everywhere. */
async function aKnownPerson(): Promise<string> {
  const sent = (clientId: string, body: string, direction = 'inbound') => ({
    clientId,
    chat: { waId: WA_ID },
    direction,
    body,
    name: NAME,
    sentAt: new Date().toISOString(),
  });
  const batch = [sent('a', `Oi, sou a ${NAME}, ${EMAIL}`), sent('b', 'Olá, Quiteria!', 'outbound')];
  const synced = await send('POST', 'messages/sync', { channel: { externalId: '5511900000000' }, messages: batch });
  const { contactId } = (await send('GET', `messages/${synced.body.results[0].messageId}`)).body;
  await run('update contact set email = $2, company = $3, custom_fields = $4, phone = $5, name = $6 where id = $1', [
    contactId,
    EMAIL,
    `${NAME} ME`,
    { apelido: 'Quitéria' },
    PHONE,
    NAME,
  ]);
  for (const [kind, value] of [
    ['email', EMAIL.toLowerCase()],
    ['lid', 'lid-canario-9@lid'],
    ['phone', OLD_PHONE],
  ])
    await run(
      `insert into contact_identity (workspace_id, id, contact_id, kind, value) values ($1, uuidv7(), $2, $3, $4)
        on conflict do nothing`,
      [ana.workspace.id, contactId, kind, value],
    );
  const label = (await send('POST', 'labels', { name: 'VIP', color: '#000000' })).body.id;
  await run('insert into contact_label (workspace_id, contact_id, label_id) values ($1, $2, $3)', [
    ana.workspace.id,
    contactId,
    label,
  ]);
  const channelId = (await send('POST', 'channels', { name: 'Celular', kind: 'extension' })).body.id;
  const campaign = { name: `Para ${NAME}`, channelId, content: { text: `Oi ${NAME}` }, audience: { all: true } };
  const campaignId = (await send('POST', 'campaigns', campaign)).body.id;
  await run(
    `insert into campaign_item (workspace_id, id, campaign_id, channel_id, contact_id, address_hash, variant, status, provider_message_id, text)
      values ($1, uuidv7(), $2, $3, $4, campaign_address_hash($1, $5), 0, 'sent', $6, $7)`,
    [ana.workspace.id, campaignId, channelId, contactId, PHONE, `true_${WA_ID}_3EB0`, `Quitéria, oi!`],
  );
  const deal = await send('POST', 'deals', { title: `Plano da Quitéria`, contactId, amountMinor: 100 });
  await send('POST', `deals/${deal.body.id}/lost`, { reason: `${NAME} desistiu` });
  await send('POST', 'activities', { type: 'note', contactId, text: `Mora com Zaplonn, tel (11) 97331-5577` });
  const title = `Ligar para QUITERIA`;
  const task = (
    await send('POST', 'tasks', { title, contactId, description: PHONE, dueAt: new Date(Date.now() + 86_400_000) })
  ).body;
  await send('POST', `tasks/${task.id}/reminders`, { minutesBefore: 60 });
  await run(`update reminder set remind_at = now()`);
  await remindDue(test.rt.systemPool, test.config.APP_SECRET);
  await send('POST', `tasks/${task.id}/reminders`, { minutesBefore: 30 });
  // In what is about others: the whole name, and the number in any spelling.
  await send('POST', 'tasks', { title: `Perguntar a ${NAME} (+55 11 97331-5577)`, dealId: deal.body.id });
  const other = {
    ...sent('c', `O número da Quitéria Zaplonn é 11 97331 5577`),
    chat: { waId: '5531988887777@c.us' },
    name: 'Outra',
  };
  await send('POST', 'messages/sync', { channel: { externalId: '5511900000000' }, messages: [other] });
  await send('POST', 'ai/sentiment', { text: `${NAME} adorou: ${EMAIL}` });
  await run(
    `update job set status = 'completed', finished_at = now(), result = $1, streamed_text = $2 where status = 'queued' and engine = 'sentiment'`,
    [{ phone: 5_511_973_315_577, text: NAME }, NAME],
  );
  await run(
    `insert into contact_merge (workspace_id, id, winner_id, loser_ids, before, after, moves)
      values ($1, uuidv7(), $2, '{}', $3, '{}', '[]')`,
    [ana.workspace.id, contactId, JSON.stringify([{ name: NAME }])],
  );
  await run(
    `insert into bulk_operation (workspace_id, id, user_id, kind, status, due_at, finished_at, input, state)
      values ($1, uuidv7(), $2, 'contacts.import', 'completed', null, now(), $3, '{}')`,
    [ana.workspace.id, ana.user.id, { phones: [PHONE, 11_973_315_577] }],
  );
  const [imported] = await run(
    `insert into contact_import (workspace_id, id, user_id, file_name, preview) values ($1, uuidv7(), $2, $3, $4) returning id`,
    [ana.workspace.id, ana.user.id, `${NAME}.csv`, JSON.stringify([[NAME, '(11) 97331-5577']])],
  );
  const ofImport = [ana.workspace.id, imported.id];
  await run(
    `insert into import_row (workspace_id, import_id, row_no, status, reason, cells) values ($1, $2, 1, 'invalid', 'x', $3)`,
    [...ofImport, JSON.stringify([NAME, 11_973_315_577])],
  );
  await run(
    `insert into import_file_chunk (workspace_id, import_id, part, chunk_no, content) values ($1, $2, 'csv', 0, $3)`,
    [...ofImport, Buffer.from(EMAIL)],
  );
  await run(`insert into import_identity (workspace_id, import_id, identity, person) values ($1, $2, $3, $4)`, [
    ...ofImport,
    PHONE,
    { name: NAME },
  ]);
  const [file] = await run(
    `insert into contact_export (workspace_id, id, user_id, format) values ($1, uuidv7(), $2, 'csv') returning id`,
    [ana.workspace.id, ana.user.id],
  );
  await run('insert into contact_export_chunk (workspace_id, export_id, chunk_no, content) values ($1, $2, 0, $3)', [
    ana.workspace.id,
    file.id,
    Buffer.from(`a,${EMAIL}`),
  ]);
  await send('POST', `contacts/${contactId}/opt-in`, { proof: `Formulário de ${NAME}` });
  // What members write of others, and call what is theirs.
  await run(`update contact set company = $1, position = $2, custom_fields = $3 where name = 'Outra'`, [
    `Padaria de ${NAME}`,
    `sócia de ${EMAIL}`,
    { indicada: `${NAME}, (11) 97331-5577`, fone: 5_511_973_315_577 },
  ]);
  for (const name of [NAME, `+55 (11) 97331-5577`, '11973315577', `${'x'.repeat(43)} ${NAME}`]) {
    await send('POST', 'labels', { name, color: '#000000' });
    await send('POST', 'segments', { name, filter: { and: [] } });
  }
  const texts = { name: `Para ${NAME}`, category: 'service', language: 'pt', body: `Oi, aqui é ${NAME}` };
  const template = (await send('POST', 'templates', texts)).body.id;
  await send('PATCH', `templates/${template}`, { body: `${PHONE} é o número` });
  return contactId;
}

describe('a person who is forgotten', () => {
  it('is exported whole before, and afterwards stands nowhere but by a hash', async () => {
    const contactId = await aKnownPerson();
    const before = await grepPostgres(test.rt.systemPool, NEEDLES);
    const seen = new Set(before.map((hit) => hit.split('.')[0]));
    for (const table of [
      'contact',
      'message',
      'deal',
      'task',
      'activity',
      'reminder',
      'notification',
      'job',
      'contact_merge',
      'import_row',
      'import_file_chunk',
      'contact_export_chunk',
    ])
      expect(seen).toContain(table);
    const exported = JSON.parse((await send('GET', `contacts/${contactId}/export`)).text);
    expect(exported.contact).toMatchObject({ name: NAME, phone: PHONE, email: EMAIL, labels: ['VIP'] });
    expect(exported.message.map(({ body }: { body: string }) => body)).toContain('Olá, Quiteria!');
    expect(exported).toMatchObject({ consent_event: [{ decision: 'granted' }], task: [{ description: PHONE }] });
    expect(exported.deal).toHaveLength(1);

    const accepted = await send('POST', `contacts/${contactId}/erasure`);
    expect(accepted.status).toBe(202);
    const { operationId } = accepted.body;
    expect((await send('POST', `contacts/${contactId}/erasure`)).body.operationId).toBe(operationId);
    await work(operationId);
    expect((await send('GET', `operations/${operationId}`)).body).toMatchObject({ status: 'completed', problem: null });

    expect(await grepPostgres(test.rt.systemPool, NEEDLES)).toEqual([]);
    const [tombstone] = await run(
      'select name, phone, email, company, custom_fields, erased_at is not null as is_erased from contact where id = $1',
      [contactId],
    );
    expect(tombstone).toEqual({
      name: '',
      phone: null,
      email: null,
      company: null,
      custom_fields: {},
      is_erased: true,
    });
    const receipt = (await send('GET', `privacy/requests/${operationId}/receipt`)).body;
    expect(receipt).toMatchObject({ contactId, completedAt: expect.any(String) });
    expect(receipt.stores.map(({ store, ok }: { store: string; ok: boolean }) => [store, ok])).toEqual(
      STORES.map(({ name }) => [name, true]),
    );
    const counts = new Map(receipt.stores.map(({ store, count }: { store: string; count: number }) => [store, count]));
    expect(Object.fromEntries(counts)).toMatchObject({
      campaign_item: 1,
      message: 2,
      conversation: 1,
      job: 1,
      contact_merge: 1,
      consent_event: 1,
      'deal.theirs': 1,
    });
    expect((await send('GET', 'privacy/requests')).body.data).toMatchObject([{ id: operationId, status: 'completed' }]);
    // What was not theirs is as it was, but for them.
    const left = await run('select body from message');
    expect(left).toEqual([{ body: 'O número da [erased] é [erased]' }]);
    expect(await run(`select company, position, custom_fields from contact where name = 'Outra'`)).toEqual([
      {
        company: 'Padaria de [erased]',
        position: 'sócia de [erased]',
        custom_fields: { indicada: '[erased], 0', fone: 0 },
      },
    ]);
    for (const table of ['label', 'segment'])
      expect(await run(`select name from ${table} where name like '%[erased]%' or name like 'xx%'`)).toHaveLength(4);
    expect(await run('select body from message_template_version order by version')).toEqual([
      { body: 'Oi, aqui é [erased]' },
      { body: '[erased] é o número' },
    ]);
    expect((await send('GET', 'audit/verify')).body).toMatchObject({ ok: true });
    expect(await run(`select data from outbox_event where type = 'contact.erased'`)).toMatchObject([
      { data: { contactId } },
    ]);
    for (const path of ['opt-out', 'opt-in', 'erasure'])
      expect(
        (
          await send(
            'POST',
            `contacts/${contactId}/${path}`,
            path === 'opt-in' ? { proof: 'sim' } : path === 'opt-out' ? {} : undefined,
          )
        ).status,
      ).toBe(404);
    const asked = { appSecret: test.config.APP_SECRET, workspaceId: ana.workspace.id };
    const phones = [PHONE, OLD_PHONE, '+551173315577', '+5511900000001'];
    const suppressed = await inWorkspaceTx(test.rt.orm, ana.auth, (em) => isSuppressed(em, asked, phones));
    expect([...suppressed].toSorted((a, b) => a.localeCompare(b))).toEqual(
      phones.slice(0, 3).toSorted((a, b) => a.localeCompare(b)),
    );
  });
});

describe('/api/suppressions', () => {
  it('knows numbers in any spelling, and nobody can read them off', async () => {
    const added = await send('POST', 'suppressions', { phone: '(11) 98444-7171' });
    expect(added).toMatchObject({ status: 201, body: { reason: 'manual', source: 'manual' } });
    expect((await send('POST', 'suppressions', { phone: '+551184447171' })).body.id).toBe(added.body.id);
    const phones = ['+5511984447171', '+5511984446262', '11 98444-6262', 'nada disso'];
    expect((await send('POST', 'suppressions/import', { phones })).body).toEqual({
      added: 1,
      alreadyThere: 1,
      invalid: [3],
    });
    expect((await send('GET', `suppressions?phone=${encodeURIComponent('+5511984447171')}`)).body.data).toEqual([
      added.body,
    ]);
    expect((await send('GET', `suppressions?phone=11977770000`)).body.data).toEqual([]);
    expect(await grepPostgres(test.rt.systemPool, ['984447171', '84447171'])).toEqual([]);
    const guest = await aUser(test.rt);
    await aMember(test.rt, ana.workspace.id, guest.user.id, 'member');
    const headers = { ...guest.headers, 'x-workspace-id': ana.workspace.id };
    expect((await send('DELETE', `suppressions/${added.body.id}`, undefined, headers)).status).toBe(403);
    const theirs = await send('POST', 'suppressions', { phone: '+5511984447171' }, guest.headers);
    const hashes = await run('select distinct address_hash from suppression where id = any($1)', [
      [added.body.id, theirs.body.id],
    ]);
    expect(hashes).toHaveLength(2);
    expect((await send('DELETE', `suppressions/${added.body.id}`)).status).toBe(200);
    expect((await send('DELETE', `suppressions/${added.body.id}`)).status).toBe(404);
  });
});

describe('consent', () => {
  it('is written down with its proof, and taking it back stops marketing at once', async () => {
    const [row] = await run(
      `insert into contact (workspace_id, id, name, phone) values ($1, uuidv7(), 'Davi', '+5511985554444') returning id`,
      [ana.workspace.id],
    );
    const path = `contacts/${row.id}`;
    const isListed = async () =>
      (await send('GET', `suppressions?phone=${encodeURIComponent('+551185554444')}`)).body.data.length;
    expect((await send('POST', `${path}/opt-in`, {})).status).toBe(400);
    expect((await send('POST', `${path}/consent`, { decision: 'granted' })).status).toBe(400);
    expect((await send('POST', `${path}/opt-out`, {})).body).toMatchObject({ contactId: row.id, consent: 'denied' });
    expect(await isListed()).toBe(1);
    const granted = { decision: 'granted', proof: 'Mensagem de 26/11', legalBasis: 'contract' };
    expect((await send('POST', `${path}/consent`, granted)).body).toMatchObject({ consent: 'granted' });
    expect(await isListed()).toBe(0);
    expect(
      await run('select decision, legal_basis, proof from consent_event where contact_id = $1 order by id', [row.id]),
    ).toEqual([
      { decision: 'denied', legal_basis: 'consent', proof: null },
      { decision: 'granted', legal_basis: 'contract', proof: 'Mensagem de 26/11' },
    ]);
    expect(await run('select consent, version from contact where id = $1', [row.id])).toEqual([
      { consent: 'granted', version: 3 },
    ]);
    const told = await run(`select type from outbox_event where subject_id = $1 order by id`, [row.id]);
    expect(told.map(({ type }) => type)).toEqual(['contact.opted_out', 'contact.opted_in']);
  });
});
