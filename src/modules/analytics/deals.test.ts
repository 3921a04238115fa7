import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rollUpAll } from '#src/modules/analytics/rollup.ts';
import { createRandom } from '#test/fuzz/random.ts';
import { aContact } from '#test/deals.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
let contactId: string;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
  contactId = await aContact(test.rt, ana);
});
afterAll(() => test.close());

const call = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, payload?: object, who = ana) =>
  test.app.inject({
    method,
    url,
    headers: { ...who.headers, 'x-workspace-id': ana.workspace.id },
    ...(payload ? { payload } : {}),
  });
const aDeal = async (fields: object = {}): Promise<string> =>
  (await call('POST', '/api/deals', { title: 'x', contactId, ...fields })).json().id;
const count = () => rollUpAll({ pool: test.rt.pool, keepMonths: 120, log: test.rt.log }, ana.workspace.id);
const figures = async (query = '', who = ana) =>
  (await call('GET', `/api/analytics/deals${query}`, undefined, who)).json();

const marks = () =>
  test.rt.systemPool.query('select 1 from analytics_mark where workspace_id = $1', [ana.workspace.id]);

const lines = (all: object[]): string[] =>
  all.map((one) => JSON.stringify(Object.entries(one).toSorted(([a], [b]) => (a < b ? -1 : 1)))).toSorted();

describe('the figures of deals', () => {
  it('follow what is made, won, lost, changed, opened again and deleted', async () => {
    const won = await aDeal({ amountMinor: 100 });
    const lost = await aDeal({ amountMinor: 50 });
    const usd = await aDeal({ amountMinor: 7, currency: 'USD' });
    await call('POST', `/api/deals/${won}/won`);
    await call('POST', `/api/deals/${lost}/lost`, { reason: 'Caro' });
    await count();
    const first = await figures();
    expect(first).toMatchObject({ scope: 'workspace', groupBy: 'pipeline' });
    expect(first.total).toEqual([
      { currency: 'BRL', created: 2, won: 1, lost: 1, createdMinor: 150, wonMinor: 100, lostMinor: 50, winRate: 0.5 },
      { currency: 'USD', created: 1, won: 0, lost: 0, createdMinor: 7, wonMinor: 0, lostMinor: 0, winRate: null },
    ]);
    expect((await figures('?groupBy=user')).data[0]).toMatchObject({ key: ana.user.id, currency: 'BRL', created: 2 });
    await call('PATCH', `/api/deals/${won}`, { amountMinor: 200 });
    await call('POST', `/api/deals/${lost}/reopen`);
    await call('DELETE', `/api/deals/${usd}`);
    await count();
    expect((await figures()).total).toEqual([
      { currency: 'BRL', created: 2, won: 1, lost: 0, createdMinor: 250, wonMinor: 200, lostMinor: 0, winRate: 1 },
    ]);
    const series = (await call('GET', '/api/analytics/timeseries?metric=deals.won')).json();
    expect(series.data.reduce((sum: number, { value }: { value: number }) => sum + value, 0)).toBe(1);
  });

  it('leave no mark where nothing that is counted changed', async () => {
    const id = await aDeal();
    await count();
    const [pipeline] = (await call('GET', '/api/pipelines')).json().data;
    await call('POST', `/api/deals/${id}/move`, { stageId: pipeline.stages[1].id });
    await call('PATCH', `/api/deals/${id}`, { title: 'Outro' });
    expect((await marks()).rowCount).toBe(0);
    await call('POST', `/api/deals/${id}/won`);
    expect((await marks()).rowCount).toBeGreaterThan(0);
  });

  it('are those of their own for who sees their own alone', async () => {
    const bia = await aUser(test.rt);
    await aMember(test.rt, ana.workspace.id, bia.user.id, 'member');
    await test.rt.systemPool.query(
      `update member set denies = '{deals:all}' where user_id = $1 and workspace_id = $2`,
      [bia.user.id, ana.workspace.id],
    );
    await aDeal({ ownerId: bia.user.id, amountMinor: 3 });
    await count();
    expect(await figures('', bia)).toMatchObject({ scope: 'own', total: [{ created: 1, createdMinor: 3 }] });
  });

  it('equal a plain count over random deals and changes of them', async () => {
    const random = createRandom(11);
    const ids: string[] = [];
    for (let at = 0; at < 30; at += 1)
      ids.push(await aDeal({ amountMinor: random.int(1e6), currency: random.pick(['BRL', 'EUR']) }));
    for (let at = 0; at < 60; at += 1) {
      const id = random.pick(ids) ?? '';
      const [verb, payload] = random.pick([
        ['won', undefined],
        ['lost', { reason: 'Caro' }],
        ['reopen', undefined],
        ['restore', undefined],
        ['delete', undefined],
        ['patch', { amountMinor: random.int(1e6), ownerId: random.pick([null, ana.user.id]) }],
      ]);
      if (verb === 'delete') await call('DELETE', `/api/deals/${id}`);
      else if (verb === 'patch') await call('PATCH', `/api/deals/${id}`, payload);
      else await call('POST', `/api/deals/${id}/${verb}`, payload);
      if (random.chance(0.2)) await count();
    }
    await count();
    const { rows } = await test.rt.systemPool.query(
      `select d.currency, count(*)::int as created, count(*) filter (where status = 'won')::int as won,
        count(*) filter (where status = 'lost')::int as lost, sum(amount_minor)::float8 as "createdMinor",
        coalesce(sum(amount_minor) filter (where status = 'won'), 0)::float8 as "wonMinor",
        coalesce(sum(amount_minor) filter (where status = 'lost'), 0)::float8 as "lostMinor"
      from deal d where workspace_id = $1 and deleted_at is null group by 1 order by 1`,
      [ana.workspace.id],
    );
    expect((await figures()).total.map((one: object) => ({ ...one, winRate: 0 }))).toEqual(
      rows.map((one) => ({ ...one, winRate: 0 })),
    );
    const by = {
      pipeline: [`pipeline_id::text`, `pipeline_id::text`],
      user: [`owner_id::text`, `owner_id::text`],
      day: [
        `(d.created_at at time zone w.time_zone)::date::text`,
        `(d.closed_at at time zone w.time_zone)::date::text`,
      ],
    } as const;
    for (const [groupBy, [made, closed]] of Object.entries(by)) {
      const { rows: counted } = await test.rt.systemPool.query(
        `select key, currency, sum((what = 'created')::int)::int as created, sum((what = 'won')::int)::int as won,
          sum((what = 'lost')::int)::int as lost, coalesce(sum(amount_minor) filter (where what = 'created'), 0)::float8 as "createdMinor",
          coalesce(sum(amount_minor) filter (where what = 'won'), 0)::float8 as "wonMinor",
          coalesce(sum(amount_minor) filter (where what = 'lost'), 0)::float8 as "lostMinor"
        from (select ${made} as key, 'created' as what, d.* from deal d join workspace w on w.id = d.workspace_id
          union all select ${closed}, d.status, d.* from deal d join workspace w on w.id = d.workspace_id where d.closed_at is not null) d
        where workspace_id = $1 and deleted_at is null group by key, currency`,
        [ana.workspace.id],
      );
      const { data } = await figures(`?groupBy=${groupBy}`);
      expect([groupBy, lines(data.map(({ winRate: _rate, ...one }: { winRate: number }) => one))]).toEqual([
        groupBy,
        lines(counted),
      ]);
    }
    const { rows: left } = await test.rt.systemPool.query(
      `select 1 from analytics_daily where workspace_id = $1 and source = 'deals' and dimensions[2] = 'USD'`,
      [ana.workspace.id],
    );
    expect(left).toEqual([]);
  });
});
