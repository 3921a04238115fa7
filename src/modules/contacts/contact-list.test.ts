import type { EntityManager } from '@mikro-orm/postgresql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { loadContacts, planOf } from '#test/contacts.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { binStatement } from '#src/modules/contacts/bin.query.ts';
import { findContactPage, type ContactList, type ListedContact } from '#src/modules/contacts/contact-list.query.ts';
import { ContactQuery, SORTS, type ContactView } from '#src/modules/contacts/contacts.schemas.ts';

const MANY = 20_000;
let test: TestApp;
/** Whose workspace has a few contacts, and whose has many. */
let ana: TestUser;
let bia: TestUser;
beforeAll(async () => {
  test = await openTestApp({ DEFAULT_PLAN: 'enterprise' });
  [ana, bia] = [await aUser(test.rt), await aUser(test.rt)];
  await loadContacts(test.config.DATABASE_URL, { workspaceId: bia.workspace.id, ownerId: bia.user.id, count: MANY });
});
afterAll(() => test.close());

const rows = async (sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> =>
  (await test.rt.systemPool.query(sql, values)).rows;
const list = async (query: Record<string, string>, who = ana) => {
  const answer = await test.app.inject({ url: '/api/contacts', query, headers: who.headers });
  expect(answer.statusCode).toBe(200);
  return answer.json<{ data: ContactView[]; page: { nextCursor: string | null; hasMore: boolean } }>();
};
const namesOf = async (query: Record<string, string>, who = ana) =>
  (await list(query, who)).data.map(({ name }) => name);
async function pages(query: Record<string, string>, who = ana, between = async () => {}): Promise<ContactView[]> {
  const seen: ContactView[] = [];
  let cursor: string | null = null;
  do {
    const { data, page } = await list(cursor === null ? query : { ...query, cursor }, who);
    seen.push(...data);
    cursor = page.nextCursor;
    await between();
  } while (cursor !== null);
  return seen;
}
const add = (more: string, values: unknown[] = []) =>
  rows(
    `insert into contact (workspace_id, id, name, lead_score, last_inbound_at, created_at) select $1, uuidv7(), ${more}`,
    [ana.workspace.id, ...values],
  );

describe('a list of contacts', () => {
  it.each(SORTS.flatMap((name) => [name, `-${name}`]))(
    'has each once and in order by %s, while others come',
    async (sort) => {
      await rows('delete from contact where workspace_id = $1', [ana.workspace.id]);
      // Many of the same value, and of none, also within a millisecond.
      await add(`'Nome ' || n % 5, nullif(n % 4, 0), case when n % 3 > 0 then now() - n % 7 * interval '1 hour' end,
      now() - n % 6 * interval '1 microsecond' from generate_series(1, 60) n`);
      const before = (await rows('select id from contact where workspace_id = $1', [ana.workspace.id])).map(
        ({ id }) => id,
      );
      let turn = 0;
      const seen = await pages({ sort, limit: '7' }, ana, async () => {
        turn += 1;
        await add(
          `'Nome ' || $2 % 7, $2::int % 5, now() - $2 % 9 * interval '1 hour', now() - $2 % 11 * interval '1 microsecond'`,
          [turn],
        );
      });
      const ids = seen.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      expect(before.filter((id) => !ids.includes(String(id)))).toEqual([]);
      const keyOf = {
        createdAt: ({ createdAt }: ContactView) => createdAt,
        lastInboundAt: ({ lastInboundAt }: ContactView) => lastInboundAt ?? '',
        leadScore: ({ leadScore }: ContactView) => String((leadScore ?? -1) + 1).padStart(3, '0'),
        name: ({ name }: ContactView) => name.toLowerCase(),
      }[sort.replace('-', '') as (typeof SORTS)[number]];
      const keys = seen.map(keyOf);
      const sorted = keys.toSorted();
      expect(keys).toEqual(sort.startsWith('-') ? sorted.toReversed() : sorted);
    },
  );

  it('takes a cursor only for the list it is of', async () => {
    const { page } = await list({ sort: 'name', limit: '1' }, bia);
    const others: Record<string, string>[] = [
      { sort: '-name' },
      { sort: 'leadScore' },
      { sort: 'name', consent: 'granted' },
    ];
    for (const other of others) {
      const query = { ...other, cursor: page.nextCursor ?? '' };
      const answer = await test.app.inject({ url: '/api/contacts', query, headers: bia.headers });
      expect([answer.statusCode, answer.json().errors[0].path]).toEqual([400, 'query.cursor']);
    }
  });

  it('holds names as long as they may be', async () => {
    await rows('delete from contact where workspace_id = $1', [ana.workspace.id]);
    for (const end of ['a', 'b', 'c']) await add(`repeat('漢', 199) || $2, null, null, now()`, [end]);
    expect((await pages({ sort: 'name', limit: '1' })).length).toBe(3);
  });

  it('is searched without accents and case, by beginnings, parts, and digits of a phone in both forms', async () => {
    await rows('delete from contact where workspace_id = $1', [ana.workspace.id]);
    const post = (payload: object) =>
      test.app.inject({ method: 'POST', url: '/api/contacts', headers: ana.headers, payload });
    await post({ name: 'João Conceição', company: 'Padaria São Bento', phone: '11 98765-4321' });
    await post({ name: 'Joana Lima', email: 'joana@example.com' });
    await post({ name: 'Mariana', email: 'Mariana@Example.com' });
    await post({ name: '100% Natural_Ltda', phone: '+1 212 555 2368' });
    const found: Record<string, string[]> = {
      'joao conceicao': ['João Conceição'],
      CONCEIÇÃO: ['João Conceição'],
      'são jo': ['João Conceição'],
      'joana@example.com': ['Joana Lima'],
      jo: ['Joana Lima', 'João Conceição'],
      ao: [],
      oan: ['Joana Lima'],
      'EXAMPLE.com': ['Joana Lima', 'Mariana'],
      '(11) 98765': ['João Conceição'],
      '9 8765-4321': ['João Conceição'],
      '(21) 98765-4321': [],
      'ANA@example.com': ['Joana Lima', 'Mariana'],
      'mariana@': ['Mariana'],
      'riana@ex': ['Mariana'],
      '1187654321': ['João Conceição'],
      '2368': ['100% Natural_Ltda'],
      '100%': ['100% Natural_Ltda'],
      'a%c': [],
      natural_l: ['100% Natural_Ltda'],
      'natural-l': [],
      '\\': [],
    };
    for (const [q, names] of Object.entries(found)) expect([q, await namesOf({ q, sort: 'name' })]).toEqual([q, names]);
  });

  const filtered: Record<string, string>[] = [
    { label: 'rare' },
    { label: 'common' },
    { label: 'none such' },
    { q: 'sobrenome7' },
    { q: 'sobrenome77', sort: 'name' },
    { q: 'contato' },
    { consent: 'denied', sort: 'leadScore' },
    { minScore: '90', consent: 'granted', sort: 'name' },
    { archived: 'true' },
    { archived: 'any', createdBefore: '2026-01-01T00:00:00+03:00', sort: 'createdAt' },
    {
      label: 'common',
      consent: 'granted',
      minScore: '50',
      lastInboundAfter: '2025-06-01T00:00:00Z',
      q: 'nome',
      sort: '-lastInboundAt',
    },
    { label: 'rare', archived: 'any', createdAfter: '2024-06-01T00:00:00Z', sort: '-leadScore' },
  ];
  it.each(filtered)('finds by %j what reading all finds, page by page', async (query) => {
    const { label, q, consent, minScore, createdBefore, createdAfter, lastInboundAfter, archived = 'false' } = query;
    const all = await rows(
      `select id from contact c where workspace_id = $1 and ($2::text is null or exists (select from contact_label cl join label l
          on l.workspace_id = cl.workspace_id and l.id = cl.label_id where cl.workspace_id = c.workspace_id and cl.contact_id = c.id and l.name = $2))
        and ($3::text is null or strpos(search, $3) > 0) and ($4::text is null or consent = $4) and ($5::int is null or lead_score >= $5)
        and ($6::timestamptz is null or created_at < $6) and ($7::timestamptz is null or created_at >= $7)
        and ($8::timestamptz is null or last_inbound_at >= $8) and ($9 = 'any' or (archived_at is not null)::text = $9)`,
      [bia.workspace.id, label, q, consent, minScore, createdBefore, createdAfter, lastInboundAfter, archived],
    );
    // As many pages as show that it goes on; the last ones are seen from the other end.
    const first = await list({ ...query, limit: '100' }, bia);
    const rest = all.length > 1500 ? [] : await pages({ ...query, limit: '100' }, bia);
    const ids = new Set(all.map(({ id }) => id));
    expect(first.data.filter(({ id }) => !ids.has(id))).toEqual([]);
    expect(first.data.length).toBe(Math.min(100, all.length));
    if (all.length <= 1500) expect(rest.length).toBe(all.length);
    expect(new Set(rest.map(({ id }) => id)).size).toBe(rest.length);
  });

  it('shows a member who sees their own alone no others, in any of the ways it is found', async () => {
    const limited = await aUser(test.rt);
    await aMember(test.rt, bia.workspace.id, limited.user.id, 'member');
    await rows(`update member set denies = '{contacts:all}' where user_id = $1 and workspace_id = $2`, [
      limited.user.id,
      bia.workspace.id,
    ]);
    await rows(
      `update contact set owner_id = $1 where workspace_id = $2 and id in
        (select contact_id from contact_label cl join label l on l.workspace_id = cl.workspace_id and l.id = cl.label_id
         where cl.workspace_id = $2 and l.name = 'rare' order by contact_id limit 5)`,
      [limited.user.id, bia.workspace.id],
    );
    const headers = { ...limited.headers, 'x-workspace-id': bia.workspace.id };
    const asked: Record<string, string>[] = [
      {},
      { sort: 'name' },
      { label: 'rare' },
      { label: 'common' },
      { q: 'nome', sort: 'leadScore' },
      { ownerId: bia.user.id },
    ];
    for (const one of asked) {
      const query = { ...one, archived: 'any' };
      const { data } = (await test.app.inject({ url: '/api/contacts', query, headers })).json();
      const owners = new Set(data.map(({ ownerId }: ContactView) => ownerId));
      owners.delete(limited.user.id);
      expect([query, [...owners]]).toEqual([query, []]);
      if (!one['ownerId'] && one['label'] !== 'common') expect(data).toHaveLength(5);
    }
  });
});

describe('the plans of a list', () => {
  const asked: Record<string, string>[] = [
    ...SORTS.flatMap((name) => [{ sort: name }, { sort: `-${name}` }]),
    { q: 'sobrenome777' },
    { q: 'contato', sort: 'name' },
    { q: 'p4244@exa' },
    { q: '9 0019-3084' },
    { label: 'rare', sort: '-leadScore' },
    {
      label: 'common',
      consent: 'granted',
      minScore: '50',
      lastInboundAfter: '2025-06-01T00:00:00Z',
      createdAfter: '2024-01-01T00:00:00Z',
    },
  ];
  it.each(asked)('read no table from end to end: %j', async (query) => {
    const { sort, limit, cursor: _, ...filters } = ContactQuery.parse(query);
    const name = SORTS.find((one) => sort.endsWith(one)) ?? 'createdAt';
    const asking = (after: ContactList['after']): ContactList => ({
      filters,
      onlyOwner: undefined,
      sort: { name, isDescending: sort.startsWith('-') },
      after,
      limit: limit + 1,
    });
    const plans: string[] = [];
    await inWorkspaceTx(test.rt.orm, { workspaceId: bia.workspace.id }, async (em: EntityManager) => {
      const ask = async (statement: { sql: string; values: unknown[] }) => {
        plans.push(await planOf(em, statement));
        return em.execute<ListedContact[]>(statement.sql, statement.values);
      };
      // Of twenty thousand rows a scan can be the cheapest; whether there is another way is what is asked.
      await em.execute('set local enable_seqscan = off');
      const page = await findContactPage(em, asking(null), ask);
      const last = page.at(-1);
      if (last) await findContactPage(em, asking([last.sort_key, last.id]), ask);
    });
    expect(plans.length).toBeGreaterThan(0);
    for (const plan of plans) expect(plan).not.toMatch(/Seq Scan on contact/);
    // A page begins where the last one ended, not at the beginning.
    if (Object.keys(query).join() === 'sort') expect(plans[1]).toMatch(/Index Cond: .*ROW\(/);
    if (query['q']?.includes('@')) expect(plans[0]).toMatch(/Index Cond: .*email_key >=/);
    if (query['q'] === '9 0019-3084') expect(plans[0]).toMatch(/Index Cond: .*phone_tail =/);
    if (query['q'] === 'sobrenome777') expect(plans[1]).toMatch(/Index Cond: .*search ~~/);
  });

  it('of the bin begins where the last page ended', async () => {
    await inWorkspaceTx(test.rt.orm, { workspaceId: bia.workspace.id }, async (em: EntityManager) => {
      await em.execute('set local enable_seqscan = off');
      for (const ownerId of [undefined, bia.user.id]) {
        const plan = await planOf(em, binStatement({ ownerId, after: [1, bia.workspace.id], limit: 26 }));
        expect(plan).not.toMatch(/Seq Scan on contact|Sort Key: .*deleted_at/);
        expect(plan).toMatch(/Index Scan using contact_bin[\s\S]*Index Cond: .*ROW\(/);
      }
    });
  });
});
