import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { inTime } from '#src/modules/segments/search.query.ts';
import { ownedDeals } from '#test/deals.ts';
import { aDeniedMember, aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
let label: string;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
  label = (await call('POST', '/api/labels', { name: 'VIP', color: '#000000' })).json().id;
  await run(
    `insert into contact (workspace_id, id, name, company, lead_score, created_at, last_inbound_at)
      select $1, uuidv7(), 'Pessoa ' || lpad(n::text, 2, '0'), case when n % 2 = 0 then 'Padaria' end, nullif(n % 5, 0),
        '2026-01-01'::timestamptz + (n / 3) * interval '1 microsecond', case when n % 3 > 0 then '2026-02-01'::timestamptz + (n % 4) * interval '1 day' end
      from generate_series(1, 23) n`,
    [ana.workspace.id],
  );
  await run(`update contact set deleted_at = now() where name = 'Pessoa 23'`);
});
afterAll(() => test.close());

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
const call = (method: Method, url: string, payload?: object, headers: Record<string, string> = ana.headers) =>
  test.app.inject({ method, url, headers, ...(payload ? { payload } : {}) });
const run = async (sql: string, params: unknown[] = []) => (await test.rt.systemPool.query(sql, params)).rows;
const search = (body: object) => call('POST', '/api/contacts/search', { filter: { and: [] }, limit: 1, ...body });
const bakers = { field: 'company', op: 'eq', value: 'PADARIA' };

describe('segments', () => {
  it('are kept, counted before, and listed as they are now', async () => {
    const preview = (await call('POST', '/api/segments/preview', { filter: bakers })).json();
    expect(preview).toMatchObject({ count: 11, isCapped: false });
    expect(preview.sample).toHaveLength(10);
    expect(preview.sample[0]).toMatchObject({ name: 'Pessoa 22', company: 'Padaria', labels: [] });
    const made = await call('POST', '/api/segments', { name: 'Padarias', filter: bakers });
    expect([made.statusCode, made.json()]).toMatchObject([201, { name: 'Padarias', filter: bakers }]);
    const url = `/api/segments/${made.json().id}`;
    const { data, page } = (await call('GET', `${url}/contacts?limit=3&sort=name`)).json();
    expect(data.map(({ name }: { name: string }) => name)).toEqual(['Pessoa 02', 'Pessoa 04', 'Pessoa 06']);
    expect(page.hasMore).toBe(true);
    expect((await call('PATCH', url, { filter: { not: bakers } })).statusCode).toBe(200);
    expect((await call('GET', `${url}/contacts?limit=100`)).json().data).toHaveLength(11);
    expect((await call('DELETE', url)).statusCode).toBe(200);
    expect((await call('GET', `${url}/contacts`)).statusCode).toBe(404);
  });

  it('say which label or field they stand on that is gone', async () => {
    await call('POST', '/api/contact-fields', { key: 'size', name: 'Tamanho', kind: 'number' });
    const filter = { or: [bakers, { not: { custom: 'size', op: 'gt', value: 3 } }, { hasLabel: label }] };
    const { id } = (await call('POST', '/api/segments', { name: 'Grandes', filter })).json();
    expect((await call('GET', `/api/segments/${id}/contacts`)).statusCode).toBe(200);
    await run('delete from label where id = $1', [label]);
    await run(`delete from contact_field where key = 'size'`);
    const answer = await call('GET', `/api/segments/${id}/contacts`);
    expect(answer.json()).toMatchObject({
      status: 422,
      code: 'unknown_reference',
      errors: [
        { path: 'filter.or[1].not.custom', message: 'there is no field size' },
        { path: 'filter.or[2].hasLabel', message: `there is no label ${label}` },
      ],
    });
    expect((await call('POST', '/api/segments', { name: 'Mais', filter })).statusCode).toBe(422);
    expect((await call('PATCH', `/api/segments/${id}`, { name: 'Enormes' })).statusCode).toBe(200);
  });

  it.each([
    [{ field: 'leadScore', op: 'contains', value: 'x' }, 'filter.op'],
    [{ field: 'leadScore', op: 'gt', value: 'x' }, 'filter.value'],
    [{ field: 'createdAt', op: 'gt', value: '0000-01-01T00:00:00Z' }, 'filter.value'],
    [{ field: 'phone', op: 'contains', value: 'abc' }, 'filter.value'],
    [{ and: [bakers, { or: [{ field: 'nome', op: 'eq', value: 'x' }] }] }, 'filter.and[1].or[0].field'],
    [{ and: [bakers, { not: { ...bakers, extra: 1 } }] }, 'filter.and[1].not.extra'],
    [{ or: [] }, 'filter.or'],
    [
      { not: { not: { not: { not: { not: { not: { not: { not: bakers } } } } } } } },
      'filter.not.not.not.not.not.not.not.not',
    ],
    [{ and: Array.from({ length: 100 }, () => bakers) }, 'filter.and[99]'],
  ])('say what is wrong with %j', async (filter, path) => {
    const answer = await call('POST', '/api/segments/preview', { filter });
    expect([answer.statusCode, answer.json().errors[0].path]).toEqual([400, path]);
  });

  it.each(['-createdAt', 'name', '-leadScore', '-lastInboundAt'])(
    'are read by pages in the order of %s, each once',
    async (sort) => {
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const body = { filter: { and: [] }, sort, limit: 4, ...(cursor ? { cursor } : {}) };
        const { data, page } = (await call('POST', '/api/contacts/search', body)).json();
        seen.push(...data.map(({ id }: { id: string }) => id));
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined);
      const order = {
        '-createdAt': 'created_at desc, id desc',
        name: 'fold(name) collate "C", id',
        '-leadScore': 'lead_score desc nulls last, id desc',
        '-lastInboundAt': 'last_inbound_at desc nulls last, id desc',
      }[sort];
      const rows = await run(
        `select id from contact where workspace_id = $1 and deleted_at is null order by ${order}`,
        [ana.workspace.id],
      );
      expect(seen).toEqual(rows.map(({ id }) => id));
    },
  );

  it('refuse a cursor of another order, or one that is none', async () => {
    const { nextCursor } = (await search({ sort: 'name' })).json().page;
    const forged = Buffer.from(JSON.stringify(['-createdAt', '2026-13-40T99:00:00Z', crypto.randomUUID()])).toString(
      'base64url',
    );
    for (const body of [{ cursor: nextCursor }, { cursor: 'x' }, { cursor: forged }])
      expect((await search(body)).statusCode).toBe(400);
  });

  it('show a member who sees their own alone nobody else', async () => {
    const person = await aUser(test.rt);
    await aMember(test.rt, ana.workspace.id, person.user.id, 'member');
    await run(`update member set denies = '{contacts:all}' where user_id = $1 and workspace_id = $2`, [
      person.user.id,
      ana.workspace.id,
    ]);
    await run(`update contact set owner_id = $1 where name = 'Pessoa 01'`, [person.user.id]);
    const headers = { ...person.headers, 'x-workspace-id': ana.workspace.id };
    const all = { filter: { and: [] } };
    expect((await call('POST', '/api/segments/preview', all, headers)).json()).toMatchObject({ count: 1 });
    expect((await call('POST', '/api/contacts/search', all, headers)).json()).toMatchObject({
      data: [{ name: 'Pessoa 01' }],
    });
  });

  it('are changed by nobody who sees some contacts alone', async () => {
    const beto = await aDeniedMember(test.rt, ana.workspace.id, ['contacts:all']);
    const made = await call('POST', '/api/segments', { name: 'De todos', filter: bakers }, beto.headers);
    expect(made.statusCode).toBe(201);
    const url = `/api/segments/${made.json().id}`;
    for (const [method, body] of [['PATCH', { name: 'Meu' }] as const, ['DELETE', undefined] as const]) {
      const refused = (await call(method, url, body, beto.headers)).json();
      expect(refused).toMatchObject({ status: 403, code: 'forbidden' });
      expect(refused.detail).toContain('contacts:all');
      expect((await call(method, url, body)).statusCode).toBe(200);
    }
  });

  it('tell a member who sees their own deals alone nothing of the others', async () => {
    const beto = await aDeniedMember(test.rt, ana.workspace.id, ['deals:all']);
    const owners = [ana.user.id, beto.user.id];
    const { pipelineId, stageId, contactIds } = await ownedDeals(test.rt.systemPool, ana, owners);
    const leaves = [{ dealStage: stageId }, { inPipeline: pipelineId }, { inPipeline: pipelineId, status: 'open' }];
    for (const filter of [...leaves, { not: { not: leaves[0] } }]) {
      const ids = async (headers: Record<string, string>) => {
        const { data } = (await call('POST', '/api/contacts/search', { filter, limit: 100 }, headers)).json();
        return data.map(({ id }: { id: string }) => id).toSorted();
      };
      expect(await ids(ana.headers)).toEqual(contactIds.toSorted());
      expect(await ids(beto.headers)).toEqual([contactIds[1]]);
      const preview = await call('POST', '/api/segments/preview', { filter }, beto.headers);
      expect(preview.json()).toMatchObject({ count: 1, sample: [{ id: contactIds[1] }] });
    }
    const { id } = (await call('POST', '/api/segments', { name: 'Negócios', filter: leaves[0] })).json();
    const listed = (await call('GET', `/api/segments/${id}/contacts`, undefined, beto.headers)).json();
    expect(listed.data).toMatchObject([{ id: contactIds[1] }]);
    await run('delete from deal where contact_id = any($1)', [contactIds]);
    await run('delete from contact where id = any($1)', [contactIds]);
  });

  it('end with a problem, not with a fault of ours, what takes too long', async () => {
    const slow = inWorkspaceTx(test.rt.orm, ana.auth, (em) => inTime(em, () => em.execute('select pg_sleep(20)')));
    await expect(slow).rejects.toMatchObject({ status: 422, code: 'filter_too_slow' });
  });
});
