import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { inTransaction } from '#src/db/transaction.query.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { doOperations, upload } from '#test/imports.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
});
afterAll(() => test.close());
beforeEach(async () => {
  ana = await aUser(test.rt);
});

const call = (method: 'GET' | 'POST', url: string, payload?: object) =>
  test.app.inject({ method, url, headers: ana.headers, ...(payload ? { payload } : {}) });
/** What an import came to, row by row. */
async function imported(file: string, body: object = { mode: 'update' }) {
  const { id } = (await upload(test, ana, file)).json();
  const started = await call('POST', `/api/imports/${id}/start`, body);
  expect([started.statusCode, started.body]).toEqual([202, expect.any(String)]);
  await doOperations(test);
  const { data } = (await call('GET', `/api/imports/${id}/rows?limit=100`)).json();
  return data.map(({ status, reason }: { status: string; reason: string | null }) => [status, reason]);
}
const isListed = async (phone: string) =>
  (await call('GET', `/api/suppressions?phone=${encodeURIComponent(phone)}`)).json().data.length > 0;
const consents = async () =>
  (
    await test.rt.systemPool.query(
      `select c.name, c.consent, array(select e.decision from consent_event e where e.contact_id = c.id and e.actor_id = $2
        and e.proof like 'Import %' order by e.id) as kept from contact c where c.workspace_id = $1 order by c.name`,
      [ana.workspace.id, ana.user.id],
    )
  ).rows;

describe('consent in a file', () => {
  it('that is denied puts every number on the list, whether a column or the import says it', async () => {
    await imported('nome,telefone,celular,consentimento\nAna,11985030001,11985030002,não\nBia,11985030003,,sim\n');
    await imported('nome,telefone\nCaio,11985030004\n', { mode: 'skip', consent: 'denied' });
    const phones = [1, 2, 3, 4].map((no) => `+551198503000${no}`);
    expect(await Promise.all(phones.map(isListed))).toEqual([true, true, false, true]);
    expect(await consents()).toEqual([
      { name: 'Ana', consent: 'denied', kept: ['denied'] },
      { name: 'Bia', consent: 'granted', kept: ['granted'] },
      { name: 'Caio', consent: 'denied', kept: ['denied'] },
    ]);
    await imported('nome,telefone,consent\nBia,11985030003,denied\n');
    expect([await isListed('+5511985030003'), (await consents())[1]]).toEqual([
      true,
      { name: 'Bia', consent: 'denied', kept: ['granted', 'denied'] },
    ]);
  });

  it('puts a number that is learnt at the same moment on the list', async () => {
    await imported('nome,telefone\nAna,11985030031\n');
    const pool = test.rt.systemPool;
    const { refused } = await inTransaction(pool, async (tx) => {
      const { rows } = await tx.query('select id from contact where workspace_id = $1 for key share', [
        ana.workspace.id,
      ]);
      await tx.query(
        `insert into contact_identity (workspace_id, id, contact_id, kind, value) values ($1, uuidv7(), $2, 'phone', '+5511985030032')`,
        [ana.workspace.id, rows[0].id],
      );
      const importing = imported('nome,telefone,consent\nAna,11985030031,denied\n');
      await Promise.race([importing, sleep(2000)]);
      return { refused: importing };
    });
    await refused;
    expect(await Promise.all(['+5511985030031', '+5511985030032'].map(isListed))).toEqual([true, true]);
  });

  it('puts numbers that come later to who said no on the list', async () => {
    await imported('nome,email,consent\nAna,ana@example.com,denied\n');
    expect(await imported('email,telefone\nana@example.com,11985030011\n', { mode: 'merge' })).toEqual([
      ['updated', null],
    ]);
    expect(await isListed('+5511985030011')).toBe(true);
  });

  it('that is granted is not taken for a number on the list, and the row says so', async () => {
    await call('POST', '/api/suppressions', { phone: '+5511985030021', reason: 'complaint' });
    await call('POST', '/api/contacts', { name: 'Bia', phone: '+5511985030022' });
    await call('POST', '/api/suppressions', { phone: '+5511985030022', reason: 'opt_out' });
    const file = 'nome,telefone,celular\nAna,1133445566,11985030021\nBia,11985030022,\nCaio,11985030023,\n';
    const told = [
      ['created', 'suppressed'],
      ['skipped', 'suppressed'],
      ['created', null],
    ];
    expect(await imported(file, { mode: 'merge', consent: 'granted', dryRun: true })).toEqual(told);
    expect(await imported(file, { mode: 'merge', consent: 'granted' })).toEqual(told);
    expect(await consents()).toEqual([
      { name: 'Ana', consent: 'unknown', kept: [] },
      { name: 'Bia', consent: 'unknown', kept: [] },
      { name: 'Caio', consent: 'granted', kept: ['granted'] },
    ]);
    expect(await isListed('+5511985030021')).toBe(true);
  });
});
