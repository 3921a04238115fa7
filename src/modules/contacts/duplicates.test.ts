import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { findDuplicates, scanContacts } from '#src/modules/contacts/duplicates.query.ts';
import { nextPairs } from '#src/modules/contacts/duplicates.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { onServer, openTestApp, type TestApp } from '#test/harness.ts';

const MANY = 4000;
const PART = 1000;

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
});
afterAll(() => test.close());
beforeEach(async () => {
  ana = await aUser(test.rt);
});

const run = async (sql: string, params: unknown[] = []) => (await test.rt.systemPool.query(sql, params)).rows;
const ws = () => ana.workspace.id;
const inTx = <Result>(work: Parameters<typeof inWorkspaceTx<Result>>[2]) => inWorkspaceTx(test.rt.orm, ana.auth, work);
const START = { a: '00000000-0000-0000-0000-000000000000', b: '00000000-0000-0000-0000-000000000000' };

async function person(fields: Record<string, string | null>, identities: [kind: string, value: string][] = []) {
  const { name = 'Ana', phone = null, email = null, company = null, owner_id = null } = fields;
  const [{ id }] = await run(
    `insert into contact (workspace_id, id, name, phone, email, company, owner_id) values ($1, uuidv7(), $2, $3, $4, $5, $6) returning id`,
    [ws(), name, phone, email, company, owner_id],
  );
  for (const [kind, value] of identities)
    await run(
      `insert into contact_identity (workspace_id, id, contact_id, kind, value) values ($1, uuidv7(), $2, $3, $4)`,
      [ws(), id, kind, value],
    );
  return id;
}

interface Page {
  data: { contacts: { id: string }[]; reasons: string[] }[];
  page: { nextCursor: string | null; hasMore: boolean };
}
const page = async (query = '', headers: Record<string, string> = ana.headers): Promise<Page> =>
  (await test.app.inject({ method: 'GET', url: `/api/contacts/duplicates${query}`, headers })).json();
const pairsOf = ({ data }: Page) =>
  data.map(({ contacts, reasons }) => [contacts.map(({ id }) => id), reasons.toSorted()]);

describe('contacts that may be one', () => {
  it('are found by either form of a phone, an address in any case, and names that are spelt alike', async () => {
    const a = await person({ name: 'José da Silva' }, [['phone', '+5511987654321']]);
    const b = await person({ name: 'Zé' }, [['wa_id', '551187654321']]);
    const c = await person({ name: 'Maria', email: 'maria@x.com' });
    const d = await person({ name: 'Mariazinha', email: 'MARIA@x.com' });
    const e = await person({ name: 'João Pereira', company: 'Padaria São João' });
    const f = await person({ name: 'Joao Pereira Neto', company: 'PADARIA SAO JOAO' });
    const g = await person({ name: 'Carlos Souza', phone: '+5511912345678' });
    const h = await person({ name: 'Carlos Sousa', phone: '+5521912345678' });
    // Alike in one way alone.
    await person({ name: 'João Pereira', company: 'Oficina' });
    await person({ name: 'Beatriz', company: 'Padaria São João' });
    await person({ name: 'Paula', phone: '+5531912345678' });
    expect(pairsOf(await page())).toEqual([
      [[a, b], ['phone']],
      [[c, d], ['email']],
      [[e, f], ['name_and_company']],
      [[g, h], ['name_and_phone_tail']],
    ]);
  });

  it('are told once with all reasons, page by page, and not when one is in the bin', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 5; n += 1) ids.push(await person({ name: 'Ana Lima', email: 'a@x.com', company: 'Loja' }));
    await run('update contact set deleted_at = now() where id = $1', [ids.pop()]);
    const all: ReturnType<typeof pairsOf> = [];
    let cursor = '';
    do {
      const got = await page(`?limit=2${cursor}`);
      expect(got.data.length).toBeLessThanOrEqual(2);
      all.push(...pairsOf(got));
      cursor = got.page.nextCursor === null ? '' : `&cursor=${got.page.nextCursor}`;
    } while (cursor !== '');
    const expected = ids.flatMap((a, at) =>
      ids.slice(at + 1).map((b) => [
        [a, b],
        ['email', 'name_and_company'],
      ]),
    );
    expect(all).toEqual(expected);
    const wrong = await test.app.inject({
      method: 'GET',
      url: '/api/contacts/duplicates?cursor=x',
      headers: ana.headers,
    });
    expect(wrong.statusCode).toBe(400);
  });

  it('are only one’s own for a member who sees their own alone', async () => {
    const someone = await aUser(test.rt);
    await aMember(test.rt, ws(), someone.user.id, 'member');
    await run(`update member set denies = '{contacts:all}' where workspace_id = $1 and user_id = $2`, [
      ws(),
      someone.user.id,
    ]);
    const own = { email: 'a@x.com', owner_id: someone.user.id };
    const [a, b] = [await person({ name: 'Um', ...own }), await person({ name: 'Dois', ...own })];
    await person({ name: 'Três', email: 'a@x.com' });
    expect(pairsOf(await page('', { ...someone.headers, 'x-workspace-id': ws() }))).toEqual([[[a, b], ['email']]]);
    expect(await page()).toMatchObject({ data: { length: 3 } });
  });

  it('are looked for by index: what a thousand cost does not grow with the rest', async () => {
    for (let from = 1; from <= MANY; from += PART)
      await run(
        `with made as (
            insert into contact (workspace_id, id, name, phone, email, company)
              select $1, uuidv7(), 'Pessoa ' || md5(n::text), '+55119' || lpad(n::text, 8, '0'), 'p' || n || '@x.com', 'Empresa ' || (n % 50)
              from generate_series($2::int, $3::int) n returning workspace_id, id, phone)
          insert into contact_identity (workspace_id, id, contact_id, kind, value) select workspace_id, uuidv7(), id, 'phone', phone from made`,
        [ws(), from, from + PART - 1],
      );
    await person({ name: 'Zé', email: `p${MANY}@x.com` }, [['wa_id', '5511900000077']]);
    await onServer(test.config.DATABASE_URL, (client) => client.query('analyze contact, contact_identity'));
    const started = performance.now();
    const looked = await inTx(async (em) => {
      const ids = await scanContacts(em, { from: START.a, ownerId: null, limit: 1000 });
      const [before] = await em.execute<[{ n: number }]>(COUNT);
      await findDuplicates(em, ids, { after: START, ownerId: null, limit: 26 });
      const [after] = await em.execute<[{ n: number }]>(COUNT);
      return after.n - before.n;
    });
    process.stdout.write(
      `Duplicates: a thousand of ${MANY} contacts looked at ${looked} rows, ${Math.round(performance.now() - started)} ms\n`,
    );
    expect(looked).toBeLessThan(60_000);
    const first = await inTx((em) => nextPairs(em, START, { limit: 25, ownerId: null, scan: 500, maxScan: 2000 }));
    expect(first).toMatchObject({ pairs: [{ reasons: ['phone'] }], next: { a: expect.any(String) } });
    const next = first.next ?? START;
    const second = await inTx((em) => nextPairs(em, next, { limit: 25, ownerId: null, scan: 500, maxScan: 2500 }));
    expect(second).toMatchObject({ pairs: [{ reasons: ['email'] }], next: null });
  });
});

/** Rows and index entries of contacts that the transaction has looked at so far. */
const COUNT = `select sum(pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched(c.oid))::float8 as n
  from pg_class c where c.relname in ('contact', 'contact_identity') or c.oid in
    (select indexrelid from pg_index where indrelid in ('contact'::regclass, 'contact_identity'::regclass))`;
