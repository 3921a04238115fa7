import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '#src/lib/ids.ts';
import { aContact } from '#test/deals.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
let contactId: string;
let stages: { id: string; name: string; kind: string; probability: number }[];
let pipelineId: string;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
  contactId = await aContact(test.rt, ana);
  const [pipeline] = (await call('GET', '/api/pipelines')).json().data;
  pipelineId = pipeline.id;
  stages = pipeline.stages;
});
afterAll(() => test.close());

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
const call = (method: Method, url: string, payload?: object, headers: Record<string, string> = {}, who = ana) =>
  test.app.inject({ method, url, headers: { ...who.headers, ...headers }, ...(payload ? { payload } : {}) });
const stageNamed = (name: string): string => stages.find((one) => one.name === name)?.id ?? '';
const aDeal = async (fields: object = {}) =>
  (await call('POST', '/api/deals', { title: 'Site', contactId, ...fields })).json();
const eventsOf = async (dealId: string): Promise<string[]> =>
  (
    await test.rt.systemPool.query<{ type: string }>(
      `select type from outbox_event where data ->> 'dealId' = $1 order by id`,
      [dealId],
    )
  ).rows.map(({ type }) => type);

describe('a deal', () => {
  it('is made in the first stage of the default pipeline, in the currency of the workspace, by its owner', async () => {
    const made = await call('POST', '/api/deals', { title: 'Site novo', contactId, amountMinor: 150_000 });
    expect(made.statusCode).toBe(201);
    expect(made.json()).toMatchObject({
      title: 'Site novo',
      contactId,
      pipelineId,
      stageId: stageNamed('Novo'),
      ownerId: ana.user.id,
      amountMinor: 150_000,
      currency: 'BRL',
      probability: null,
      expectedCloseDate: null,
      status: 'open',
      closedAt: null,
      lostReason: null,
      version: 1,
    });
    const { id } = made.json();
    const got = await call('GET', `/api/deals/${id}`);
    expect(got.json()).toEqual(made.json());
    expect(got.headers['etag']).toBe(made.headers['etag']);
    expect(await eventsOf(id)).toEqual(['deal.created']);
  });

  it('is changed unless somebody was faster, and tells what changed', async () => {
    const { id } = await aDeal();
    const etag = String((await call('GET', `/api/deals/${id}`)).headers['etag']);
    const patch = { title: 'Loja', amountMinor: 7, expectedCloseDate: '2026-12-24', probability: 0 };
    const changed = await call('PATCH', `/api/deals/${id}`, patch, { 'if-match': etag });
    expect(changed.json()).toMatchObject({ ...patch, version: 2 });
    expect((await call('PATCH', `/api/deals/${id}`, { title: 'x' }, { 'if-match': etag })).statusCode).toBe(412);
    expect((await call('PATCH', `/api/deals/${id}`, patch)).json().version).toBe(2);
    const { rows } = await test.rt.systemPool.query(
      `select data -> 'changed' as changed from outbox_event where data ->> 'dealId' = $1 and type = 'deal.updated'`,
      [id],
    );
    expect(rows).toEqual([{ changed: ['title', 'amountMinor', 'probability', 'expectedCloseDate'] }]);
  });

  it('moves, is won, opens where it was, is lost for a reason; each is told and kept', async () => {
    const { id } = await aDeal();
    const url = `/api/deals/${id}`;
    const moved = await call('POST', `${url}/move`, { stageId: stageNamed('Proposta') });
    expect(moved.json()).toMatchObject({ stageId: stageNamed('Proposta'), status: 'open' });
    const won = (await call('POST', `${url}/won`)).json();
    expect(won).toMatchObject({ status: 'won', stageId: stageNamed('Ganho'), closedAt: expect.any(String) });
    expect((await call('POST', `${url}/lost`, { reason: 'Caro' })).json().code).toBe('deal_closed');
    expect((await call('POST', `${url}/reopen`)).json()).toMatchObject({
      status: 'open',
      stageId: stageNamed('Proposta'),
      closedAt: null,
    });
    expect((await call('POST', `${url}/reopen`)).json().code).toBe('deal_open');
    expect((await call('POST', `${url}/lost`, {})).statusCode).toBe(400);
    expect((await call('POST', `${url}/move`, { stageId: stageNamed('Perdido') })).json().errors[0].path).toBe(
      'reason',
    );
    expect((await call('POST', `${url}/lost`, { reason: 'Caro' })).json()).toMatchObject({
      status: 'lost',
      lostReason: 'Caro',
      stageId: stageNamed('Perdido'),
    });
    const { data } = (await call('GET', `${url}/history`)).json();
    expect(data.map(({ toStage, reason }: Record<string, unknown>) => [toStage, reason])).toEqual([
      ['Perdido', 'Caro'],
      ['Proposta', null],
      ['Ganho', null],
      ['Proposta', null],
      ['Novo', null],
    ]);
    const paged = (await call('GET', `${url}/history?limit=2`)).json();
    const rest = (await call('GET', `${url}/history?cursor=${paged.page.nextCursor}`)).json();
    expect([...paged.data, ...rest.data]).toEqual(data);
    expect(await eventsOf(id)).toEqual([
      'deal.created',
      'deal.moved',
      'deal.moved',
      'deal.won',
      'deal.moved',
      'deal.reopened',
      'deal.moved',
      'deal.lost',
    ]);
  });

  it('goes behind the deal that is named, first or last, and only in the stage that one is in', async () => {
    const stageId = stageNamed('Negociação');
    const ids: string[] = [];
    for (let at = 0; at < 3; at += 1) ids.push((await aDeal({ stageId })).id);
    const [a, b, c] = ids;
    const order = async () => {
      const { data } = (await call('GET', `/api/deals?stageId=${stageId}&sort=position`)).json();
      return data.map(({ id }: { id: string }) => id);
    };
    expect(await order()).toEqual([a, b, c]);
    await call('POST', `/api/deals/${c}/move`, { stageId, afterId: null });
    expect(await order()).toEqual([c, a, b]);
    await call('POST', `/api/deals/${c}/move`, { stageId, afterId: a });
    expect(await order()).toEqual([a, c, b]);
    await call('POST', `/api/deals/${a}/move`, { stageId });
    expect(await order()).toEqual([c, b, a]);
    const elsewhere = await aDeal();
    const wrong = await call('POST', `/api/deals/${a}/move`, { stageId, afterId: elsewhere.id });
    expect([wrong.statusCode, wrong.json().errors[0].path]).toEqual([400, 'afterId']);
    expect((await call('POST', `/api/deals/${a}/move`, { stageId: newId() })).statusCode).toBe(404);
    expect(await order()).toEqual([c, b, a]);
  });

  it('leaves the board into the bin and comes back to the end of its stage', async () => {
    const stageId = stageNamed('Qualificação');
    const [first, second] = [await aDeal({ stageId }), await aDeal({ stageId })];
    const url = `/api/deals/${first.id}`;
    expect((await call('DELETE', url)).json()).toEqual({ id: first.id, deleted: true });
    expect((await call('GET', url)).statusCode).toBe(404);
    expect((await call('POST', `${url}/move`, { stageId })).statusCode).toBe(404);
    expect((await call('POST', `/api/deals/${second.id}/restore`)).statusCode).toBe(404);
    expect((await call('POST', `${url}/restore`)).json()).toMatchObject({ stageId, status: 'open' });
    const { data } = (await call('GET', `/api/deals?stageId=${stageId}&sort=position`)).json();
    expect(data.map(({ id }: { id: string }) => id)).toEqual([second.id, first.id]);
    expect(await eventsOf(first.id)).toEqual(['deal.created', 'deal.deleted', 'deal.updated']);
  });

  it.each([
    [{ title: ' ' }, 'title'],
    [{ contactId: 'x' }, 'contactId'],
    [{ currency: 'real' }, 'currency'],
    [{ amountMinor: -1 }, 'amountMinor'],
    [{ probability: 101 }, 'probability'],
    [{ expectedCloseDate: '0001-01-01' }, 'expectedCloseDate'],
    [{ ownerId: newId() }, 'ownerId'],
    [{ status: 'won' }, 'status'],
  ])('says what is wrong with %j', async (fields, path) => {
    const answer = await call('POST', '/api/deals', { title: 'Site', contactId, ...fields });
    expect([answer.statusCode, answer.json().errors?.[0].path]).toEqual([400, path]);
  });
});

describe('who sees their own deals alone', () => {
  it('finds no others, cannot hand theirs on, and keeps theirs where they may not see the contact', async () => {
    const bia = await aUser(test.rt);
    await aMember(test.rt, ana.auth.workspaceId, bia.user.id, 'member');
    await test.rt.systemPool.query(
      `update member set denies = '{deals:all,contacts:all}' where workspace_id = $1 and user_id = $2`,
      [ana.auth.workspaceId, bia.user.id],
    );
    const as = (method: Method, url: string, payload?: object) =>
      call(method, url, payload, { 'x-workspace-id': ana.auth.workspaceId }, bia);
    const others = await aDeal();
    const hers = await aDeal({ ownerId: bia.user.id });
    expect((await as('GET', `/api/deals/${others.id}`)).statusCode).toBe(404);
    expect((await as('GET', `/api/deals/${others.id}/history`)).statusCode).toBe(404);
    expect((await as('POST', `/api/deals/${others.id}/won`)).statusCode).toBe(404);
    expect((await as('GET', `/api/deals/${hers.id}`)).statusCode).toBe(200);
    expect((await as('POST', `/api/deals/${hers.id}/won`)).statusCode).toBe(200);
    expect((await as('GET', '/api/deals')).json().data.map(({ id }: { id: string }) => id)).toEqual([hers.id]);
    expect((await as('GET', `/api/deals?ownerId=${ana.user.id}`)).json().data).toEqual([]);
    expect((await as('PATCH', `/api/deals/${hers.id}`, { ownerId: ana.user.id })).statusCode).toBe(403);
    expect((await as('POST', '/api/deals', { title: 'x', contactId })).statusCode).toBe(404);
  });
});

describe('the list of deals', () => {
  it('is paged by key in every sort, with every filter, each deal once', async () => {
    const eve = await aUser(test.rt);
    const ask = async (query: string) => {
      const seen: Record<string, unknown>[] = [];
      let cursor = '';
      do {
        const answer = await call('GET', `/api/deals?limit=4${query}${cursor}`, undefined, {}, eve);
        expect(answer.statusCode).toBe(200);
        const { data, page } = answer.json();
        seen.push(...data);
        cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`;
      } while (cursor !== '');
      return seen.map(({ title }) => String(title));
    };
    const person = await aContact(test.rt, eve);
    const titles: string[] = [];
    for (let at = 0; at < 13; at += 1) {
      const title = `Negócio ${String(at).padStart(2, '0')}`;
      titles.push(title);
      const date = at % 3 === 0 ? {} : { expectedCloseDate: `2026-11-${String(28 - (at % 5)).padStart(2, '0')}` };
      await call('POST', '/api/deals', { title, contactId: person, amountMinor: at % 4, ...date }, {}, eve);
    }
    expect(await ask('')).toEqual(titles.toReversed());
    expect(await ask('&sort=createdAt')).toEqual(titles);
    for (const sort of ['amount', 'expectedClose']) {
      const up = await ask(`&sort=${sort}`);
      expect(up.toSorted()).toEqual(titles);
      expect(await ask(`&sort=-${sort}`)).toEqual(up.toReversed());
    }
    expect((await ask('&sort=expectedClose')).slice(-5).toSorted()).toEqual(
      titles.filter((_, at) => at % 3 === 0).toSorted(),
    );
    expect(await ask('&sort=createdAt&q=negocio%2012')).toEqual(['Negócio 12']);
    expect(await ask('&q=%25')).toEqual([]);
    expect(await ask(`&status=open&contactId=${person}&ownerId=${eve.user.id}&sort=createdAt`)).toEqual(titles);
    expect(await ask(`&contactId=${newId()}`)).toEqual([]);
    expect((await ask('&expectedCloseFrom=2026-11-27&expectedCloseTo=2026-11-28')).length).toBe(
      titles.filter((_, at) => at % 3 !== 0 && at % 5 <= 1).length,
    );
    const bad = await call('GET', '/api/deals?sort=amount&cursor=bm8', undefined, {}, eve);
    expect([bad.statusCode, bad.json().errors[0].path]).toEqual([400, 'query.cursor']);
  });
});
