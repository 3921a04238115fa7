import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '#src/lib/ids.ts';
import { aContact, totalsOf } from '#test/deals.ts';
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

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
const call = (method: Method, url: string, payload?: object, headers: Record<string, string> = {}, who = ana) =>
  test.app.inject({ method, url, headers: { ...who.headers, ...headers }, ...(payload ? { payload } : {}) });
const names = (stages: { name: string }[]): string[] => stages.map(({ name }) => name);
interface Stage {
  id: string;
  name: string;
}
const aPipeline = async (stages?: object[]): Promise<{ id: string; url: string; stages: Stage[] }> => {
  const made = await call('POST', '/api/pipelines', { name: `p-${newId()}`, ...(stages ? { stages } : {}) });
  expect(made.statusCode).toBe(201);
  const { id, stages: own } = made.json();
  return { id, url: `/api/pipelines/${id}`, stages: own };
};
const aDeal = async (stageId: string | undefined, fields: object = {}): Promise<string> =>
  (await call('POST', '/api/deals', { title: 'x', contactId, stageId, ...fields })).json().id;
const onBoard = async (url: string, query = '') => (await call('GET', `${url}/board${query}`)).json().stages;

async function withOwner<Result>(work: (sql: Client['query']) => Promise<Result>): Promise<Result> {
  const client = new Client({ connectionString: test.config.DATABASE_URL });
  await client.connect();
  try {
    return await work(client.query.bind(client));
  } finally {
    await client.end();
  }
}

describe('a pipeline', () => {
  it('is there in every workspace, as the default, with stages', async () => {
    const eve = await aUser(test.rt);
    const { data } = (await call('GET', '/api/pipelines', undefined, {}, eve)).json();
    expect(data).toHaveLength(1);
    expect(data[0]).toMatchObject({ name: 'Vendas', isDefault: true });
    expect(data[0].stages.map(({ kind, probability }: Record<string, unknown>) => [kind, probability])).toEqual([
      ['open', 10],
      ['open', 25],
      ['open', 50],
      ['open', 75],
      ['won', 100],
      ['lost', 0],
    ]);
    expect((await call('DELETE', `/api/pipelines/${data[0].id}`, undefined, {}, eve)).json().code).toBe(
      'default_pipeline',
    );
  });

  it('is made with its own stages or the usual ones, renamed, made the default alone, and deleted', async () => {
    const own = [{ name: 'A' }, { name: 'B', probability: 20 }, { name: 'Fechado', kind: 'won' }];
    const { url, id, stages } = await aPipeline(own);
    expect(stages).toMatchObject([
      { name: 'A', kind: 'open', probability: 50, position: 1 },
      { name: 'B', kind: 'open', probability: 20, position: 2 },
      { name: 'Fechado', kind: 'won', probability: 100, position: 3 },
    ]);
    expect((await aPipeline()).stages).toHaveLength(6);
    const taken = await call('POST', '/api/pipelines', { name: 'VENDAS' });
    expect([taken.statusCode, taken.json().code]).toEqual([409, 'pipeline_exists']);
    expect((await call('PATCH', url, { name: 'Outra' })).json()).toMatchObject({ name: 'Outra', stages });
    expect((await call('GET', url)).json()).toMatchObject({ name: 'Outra', isDefault: false });

    const before = (await call('GET', '/api/pipelines'))
      .json()
      .data.find((one: { isDefault: boolean }) => one.isDefault);
    expect((await call('POST', `${url}/default`)).json()).toMatchObject({ id, isDefault: true });
    const { data } = (await call('GET', '/api/pipelines')).json();
    expect(data.filter((one: { isDefault: boolean }) => one.isDefault)).toHaveLength(1);
    expect((await call('POST', '/api/deals', { title: 'x', contactId })).json().stageId).toBe(stages[0]?.id);
    await call('POST', `/api/pipelines/${before.id}/default`);
    expect((await call('DELETE', url)).json().code).toBe('pipeline_not_empty');
    const [deal] = (await call('GET', `/api/deals?pipelineId=${id}`)).json().data;
    await call('DELETE', `/api/deals/${deal.id}`);
    expect((await call('DELETE', url)).json()).toEqual({ id, deleted: true });
    expect((await call('GET', url)).statusCode).toBe(404);
    expect((await call('GET', `${url}/stages`)).statusCode).toBe(404);
  });

  it.each([
    [{ name: 'x', stages: [] }, 'stages'],
    [{ name: 'x', stages: [{ name: 'Ganho', kind: 'won' }] }, 'stages'],
    [{ name: 'x', stages: [{ name: 'a' }, { name: 'b', kind: 'lost', probability: 5 }] }, 'stages[1].probability'],
    [{ name: ' ' }, 'name'],
  ])('says what is wrong with %j', async (body, path) => {
    const answer = await call('POST', '/api/pipelines', body);
    expect([answer.statusCode, answer.json().errors?.[0].path]).toEqual([400, path]);
  });

  it('is one of a hundred at most, also when several are made at once', async () => {
    const eve = await aUser(test.rt);
    await withOwner((sql) =>
      sql(
        `insert into pipeline (workspace_id, id, name) select $1, gen_random_uuid(), 'p' || n from generate_series(1, 96) n`,
        [eve.workspace.id],
      ),
    );
    const made = await Promise.all(
      Array.from({ length: 8 }, (_, n) => call('POST', '/api/pipelines', { name: `x${n}` }, {}, eve)),
    );
    expect(made.map(({ statusCode }) => statusCode).toSorted((a, b) => a - b)).toEqual([
      201, 201, 201, 409, 409, 409, 409, 409,
    ]);
  });

  it('is the administrators’ to change, and everybody’s to read', async () => {
    const bia = await aUser(test.rt);
    await aMember(test.rt, ana.workspace.id, bia.user.id, 'member');
    const headers = { 'x-workspace-id': ana.workspace.id };
    expect((await call('GET', '/api/pipelines', undefined, headers, bia)).statusCode).toBe(200);
    expect((await call('POST', '/api/pipelines', { name: 'x' }, headers, bia)).statusCode).toBe(403);
  });
});

describe('stages', () => {
  it('are added, changed and reordered', async () => {
    const { url, stages } = await aPipeline();
    const made = await call('POST', `${url}/stages`, { name: 'Contrato', probability: 90 });
    expect([made.statusCode, made.json()]).toEqual([
      201,
      { id: expect.any(String), name: 'Contrato', kind: 'open', probability: 90, position: 7 },
    ]);
    const { id } = made.json();
    expect((await call('PATCH', `${url}/stages/${id}`, { name: 'Assinatura' })).json()).toMatchObject({
      name: 'Assinatura',
      probability: 90,
    });
    const won = stages[4]?.id;
    expect((await call('PATCH', `${url}/stages/${won}`, { probability: 50 })).statusCode).toBe(400);
    const ids = [id, ...stages.map((one) => one.id).toReversed()];
    const reordered = (await call('PATCH', `${url}/stages/reorder`, { stageIds: ids })).json();
    expect(reordered.data.map((one: Stage) => one.id)).toEqual(ids);
    expect((await call('GET', `${url}/stages`)).json()).toEqual(reordered);
    expect((await call('PATCH', `${url}/stages/reorder`, { stageIds: ids.slice(1) })).statusCode).toBe(400);
    const doubled = [...ids.slice(1), ids[1]];
    expect((await call('PATCH', `${url}/stages/reorder`, { stageIds: doubled })).statusCode).toBe(400);
  });

  it('go away when they are empty, or hand their deals on in their order', async () => {
    const { url, stages } = await aPipeline([{ name: 'A' }, { name: 'B' }, { name: 'G', kind: 'won' }]);
    const [a, b, won] = stages.map(({ id }) => id);
    const there = await aDeal(b);
    const moved = [await aDeal(a), await aDeal(a), await aDeal(a)];
    const deleted = await aDeal(a);
    await call('DELETE', `/api/deals/${deleted}`);
    expect((await call('DELETE', `${url}/stages/${a}`)).json().code).toBe('stage_not_empty');
    expect((await call('DELETE', `${url}/stages/${a}?targetStageId=${won}`)).statusCode).toBe(400);
    expect((await call('DELETE', `${url}/stages/${a}?targetStageId=${a}`)).statusCode).toBe(400);
    expect((await call('DELETE', `${url}/stages/${a}?targetStageId=${newId()}`)).statusCode).toBe(404);
    expect((await call('DELETE', `${url}/stages/${a}?targetStageId=${b}`)).json()).toEqual({ id: a, deleted: true });
    const [stage] = await onBoard(url);
    expect(stage.deals.map(({ id }: { id: string }) => id)).toEqual([there, ...moved]);
    expect(stage.count).toBe(4);
    const { data } = (await call('GET', `/api/deals/${moved[0]}/history`)).json();
    expect(data).toMatchObject([
      { fromStage: 'A', toStage: 'B' },
      { fromStage: null, toStage: 'A' },
    ]);
    const { rows } = await test.rt.systemPool.query(
      `select count(*)::int as events from outbox_event where type = 'deal.moved' and data ->> 'fromStageId' = $1`,
      [a],
    );
    expect(rows).toEqual([{ events: 3 }]);
    expect((await call('POST', `/api/deals/${deleted}/restore`)).json()).toMatchObject({ stageId: b });
    expect((await call('DELETE', `${url}/stages/${b}`)).json().code).toBe('last_open_stage');
    expect((await call('DELETE', `${url}/stages/${won}`)).statusCode).toBe(200);
    expect((await call('POST', `/api/deals/${there}/won`)).json().code).toBe('no_won_stage');
  });
});

describe('the board', () => {
  it('shows the first deals of each stage, what all come to by currency, and goes on by cursor', async () => {
    const { url, stages } = await aPipeline([{ name: 'A' }, { name: 'B' }, { name: 'G', kind: 'won' }]);
    const [a, b] = stages.map(({ id }) => id);
    const ids: string[] = [];
    for (let at = 0; at < 5; at += 1)
      ids.push(await aDeal(a, { amountMinor: 100, currency: at % 2 === 0 ? 'BRL' : 'USD' }));
    const gone = await aDeal(b, { amountMinor: 9 });
    await call('DELETE', `/api/deals/${gone}`);
    const board = await onBoard(url, '?limitPerStage=2');
    expect(names(board)).toEqual(['A', 'B', 'G']);
    expect(board[0]).toMatchObject({
      count: 5,
      totals: [
        { currency: 'BRL', count: 3, amountMinor: 300 },
        { currency: 'USD', count: 2, amountMinor: 200 },
      ],
      nextCursor: expect.any(String),
    });
    expect(board[1]).toMatchObject({ count: 0, totals: [], deals: [], nextCursor: null });
    const rest = (await call('GET', `/api/deals?stageId=${a}&sort=position&cursor=${board[0].nextCursor}`)).json().data;
    expect([...board[0].deals, ...rest].map(({ id }: { id: string }) => id)).toEqual(ids);
    expect(board[0].deals[0]).toEqual((await call('GET', `/api/deals/${ids[0]}`)).json());
    expect((await call('GET', `/api/pipelines/${newId()}/board`)).statusCode).toBe(404);
    await call('POST', `/api/deals/${ids[0]}/won`);
    await call('PATCH', `/api/deals/${ids[1]}`, { currency: 'EUR', amountMinor: 1 });
    const later = await onBoard(url);
    expect(later.map(({ count }: { count: number }) => count)).toEqual([4, 0, 1]);
    expect(later[0].totals).toEqual([
      { currency: 'BRL', count: 2, amountMinor: 200 },
      { currency: 'EUR', count: 1, amountMinor: 1 },
      { currency: 'USD', count: 1, amountMinor: 100 },
    ]);
  });

  it('shows a member who sees their own alone those, and what they come to', async () => {
    const { url, stages } = await aPipeline();
    const bia = await aUser(test.rt);
    await aMember(test.rt, ana.workspace.id, bia.user.id, 'member');
    await test.rt.systemPool.query(
      `update member set denies = '{deals:all}' where user_id = $1 and workspace_id = $2`,
      [bia.user.id, ana.workspace.id],
    );
    await aDeal(stages[0]?.id, { amountMinor: 100 });
    const hers = await aDeal(stages[0]?.id, { amountMinor: 7, ownerId: bia.user.id });
    const answer = await call('GET', `${url}/board`, undefined, { 'x-workspace-id': ana.workspace.id }, bia);
    const [first] = answer.json().stages;
    expect(first.deals.map(({ id }: { id: string }) => id)).toEqual([hers]);
    expect(first.totals).toEqual([{ currency: 'BRL', count: 1, amountMinor: 7 }]);
    // Whoever leaves leaves their deals behind, which are then nobody's.
    await test.rt.systemPool.query('delete from member where user_id = $1 and workspace_id = $2', [
      bia.user.id,
      ana.workspace.id,
    ]);
    const { kept, counted } = await totalsOf(test.rt.systemPool, ana.workspace.id);
    expect(kept).toEqual(counted);
  });

  it('goes with its workspace', async () => {
    const eve = await aUser(test.rt);
    const person = await aContact(test.rt, eve);
    await call('POST', '/api/deals', { title: 'x', contactId: person }, {}, eve);
    // As the owner: no role of a process deletes a workspace's row.
    const { rows } = await withOwner((sql) =>
      sql('delete from workspace where id = $1 returning id', [eve.workspace.id]),
    );
    expect(rows).toHaveLength(1);
    for (const table of ['pipeline', 'pipeline_stage', 'deal', 'deal_total', 'deal_stage_history']) {
      const left = await test.rt.systemPool.query(`select 1 from ${table} where workspace_id = $1`, [eve.workspace.id]);
      expect(`${table}: ${left.rowCount}`).toBe(`${table}: 0`);
    }
  });
});
