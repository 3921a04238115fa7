import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { labelIds } from '#src/modules/contacts/contact-labels.query.ts';
import { Label } from '#src/modules/contacts/label.entity.ts';
import { aContact } from '#test/deals.ts';
import { aDeniedMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
let eve: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  [ana, eve] = [await aUser(test.rt), await aUser(test.rt)];
});
afterAll(() => test.close());

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
const call = (method: Method, url: string, payload?: object, headers: Record<string, string> = {}, who = ana) =>
  test.app.inject({ method, url, headers: { ...who.headers, ...headers }, ...(payload ? { payload } : {}) });
const VIP = { name: 'VIP', color: '#25d366' };

describe('a plain resource', () => {
  it('is made, read, listed, changed and deleted, and every change is in the audit log', async () => {
    const made = await call('POST', '/api/labels', VIP);
    expect(made.statusCode).toBe(201);
    const label = made.json();
    expect(label).toEqual({
      ...VIP,
      id: expect.any(String),
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
    });
    const url = `/api/labels/${label.id}`;
    expect((await call('GET', url)).json()).toEqual(label);
    const changed = await call('PATCH', url, { color: '#000000' });
    expect(changed.json()).toMatchObject({ name: 'VIP', color: '#000000' });
    expect((await call('GET', '/api/labels')).json().data).toEqual([changed.json()]);
    expect((await call('DELETE', url)).json()).toEqual({ id: label.id, deleted: true });
    expect((await call('GET', url)).statusCode).toBe(404);
    const { data } = (await call('GET', '/api/audit?limit=10')).json();
    const actions = data
      .map(({ action }: { action: string }) => action)
      .filter((action: string) => action.startsWith('label'));
    expect(actions).toEqual(['label.deleted', 'label.changed', 'label.created']);
    // What is in the log stays for good, so it holds no words of anybody's.
    const written = `select before, after from audit_log where target_id = $1 order by seq`;
    expect((await test.rt.systemPool.query(written, [label.id])).rows).toEqual([
      { before: null, after: { fields: ['name', 'color'] } },
      { before: null, after: { fields: ['color'] } },
      { before: null, after: null },
    ]);
  });

  it('is changed by nobody who sees some contacts alone', async () => {
    const beto = await aDeniedMember(test.rt, ana.workspace.id, ['contacts:all']);
    const made = await call('POST', '/api/labels', { ...VIP, name: 'De Beto' }, {}, beto);
    expect(made.statusCode).toBe(201);
    const { id } = made.json();
    const contactId = await aContact(test.rt, ana);
    await call('POST', `/api/contacts/${contactId}/labels`, { labels: ['De Beto'] });
    const changes = [
      ['PATCH', `/api/labels/${id}`, { name: 'Outro' }],
      ['PATCH', '/api/labels/reorder', { labelIds: [id] }],
      ['DELETE', `/api/labels/${id}`, undefined],
    ] as const;
    for (const [method, url, body] of changes) {
      const refused = (await call(method, url, body, {}, beto)).json();
      expect(refused).toMatchObject({ status: 403, code: 'forbidden' });
      expect(refused.detail).toContain('contacts:all');
    }
    expect((await call('GET', `/api/contacts/${contactId}`)).json().labels).toMatchObject([{ id, name: 'De Beto' }]);
    for (const [method, url, body] of changes) expect((await call(method, url, body)).statusCode).toBe(200);
  });

  it('refuses a name that is taken, in any case, and a change made on the ground of an older state', async () => {
    const { id } = (await call('POST', '/api/labels', { ...VIP, name: 'Novo' })).json();
    const again = await call('POST', '/api/labels', { ...VIP, name: 'NOVO' });
    expect([again.statusCode, again.json().code]).toEqual([409, 'label_exists']);
    const etag = String((await call('GET', `/api/labels/${id}`)).headers['etag']);
    expect((await call('PATCH', `/api/labels/${id}`, { name: 'Mais novo' }, { 'if-match': etag })).statusCode).toBe(
      200,
    );
    const late = await call('PATCH', `/api/labels/${id}`, { name: 'Outro' }, { 'if-match': etag });
    expect([late.statusCode, late.json().code]).toEqual([412, 'version_mismatch']);
  });

  it('pages by key, each once', async () => {
    for (let at = 0; at < 7; at += 1) await call('POST', '/api/labels', { ...VIP, name: `p${at}` }, {}, eve);
    const names: string[] = [];
    let cursor = '';
    do {
      const { data, page } = (await call('GET', `/api/labels?limit=3${cursor}`, undefined, {}, eve)).json();
      names.push(...data.map(({ name }: { name: string }) => name));
      cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`;
    } while (cursor !== '');
    expect(names).toEqual(['p0', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6']);
  });

  it.each([
    [{ ...VIP, color: 'green' }, 'color'],
    [{ ...VIP, name: ' ' }, 'name'],
    [{ color: '#000000' }, 'name'],
    [{ ...VIP, size: 3 }, 'size'],
  ])('says what is wrong with %j', async (body, path) => {
    const answer = await call('POST', '/api/labels', body);
    expect(answer.statusCode).toBe(400);
    expect(answer.json().errors[0].path).toBe(path);
  });
});

const namesOf = async (who: TestUser, limit = 100): Promise<string[]> => {
  const names: string[] = [];
  let cursor = '';
  do {
    const { data, page } = (await call('GET', `/api/labels?limit=${limit}${cursor}`, undefined, {}, who)).json();
    names.push(...data.map(({ name }: { name: string }) => name));
    cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`;
  } while (cursor !== '');
  return names;
};
const actions = async (who: TestUser): Promise<string[]> =>
  (await call('GET', '/api/audit?limit=20', undefined, {}, who))
    .json()
    .data.map(({ action }: { action: string }) => action)
    .filter((action: string) => action.startsWith('label'));

describe('labels', () => {
  it('are made many at once; those that are there stay as they are', async () => {
    const bia = await aUser(test.rt);
    const old = (await call('POST', '/api/labels', { ...VIP, name: 'Água' }, {}, bia)).json();
    const labels = ['Novo', 'ÁGUA', 'Frio', 'novo'].map((name) => ({ name, color: '#101010' }));
    const made = await call('POST', '/api/labels/bulk', { labels }, {}, bia);
    expect(made.statusCode).toBe(201);
    const { results } = made.json();
    expect(
      results.map(({ outcome, label }: { outcome: string; label: { name: string } }) => [outcome, label.name]),
    ).toEqual([
      ['created', 'Novo'],
      ['existing', 'Água'],
      ['created', 'Frio'],
      ['existing', 'Novo'],
    ]);
    expect(results[1].label).toEqual(old);
    expect((await call('GET', `/api/labels/${results[2].label.id}`, undefined, {}, bia)).json()).toEqual(
      results[2].label,
    );
    const again = (await call('POST', '/api/labels/bulk', { labels }, {}, bia)).json();
    expect(new Set(again.results.map(({ outcome }: { outcome: string }) => outcome))).toEqual(new Set(['existing']));
    expect(await namesOf(bia)).toHaveLength(3);
    expect(await actions(bia)).toEqual(['labels.created', 'label.created']);
    const wrong = await call('POST', '/api/labels/bulk', { labels: [VIP, { ...VIP, color: 'x' }] }, {}, bia);
    expect([wrong.statusCode, wrong.json().errors[0].path]).toEqual([400, 'labels[1].color']);
  });

  it('that are made by many at once are each made once', async () => {
    const bia = await aUser(test.rt);
    const labels = Array.from({ length: 40 }, (_, at) => ({ name: `l${at}`, color: '#101010' }));
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, at) =>
        call('POST', '/api/labels/bulk', { labels: at % 2 === 0 ? labels : labels.toReversed() }, {}, bia),
      ),
    );
    const results = answers.flatMap((answer) => answer.json().results as { outcome: string }[]);
    expect(results).toHaveLength(240);
    expect(results.filter(({ outcome }) => outcome === 'created')).toHaveLength(40);
  });

  it('stand in the order they were put in, and new ones behind them', async () => {
    const bia = await aUser(test.rt);
    const labels = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ name, color: '#101010' }));
    const { results } = (await call('POST', '/api/labels/bulk', { labels }, {}, bia)).json();
    const [a, b, c, d, e] = results.map(({ label }: { label: { id: string } }) => label.id);
    const order = (labelIds: string[]) => call('PATCH', '/api/labels/reorder', { labelIds }, {}, bia);
    expect((await order([d, b])).json()).toEqual({ labelIds: [d, b, a, c, e] });
    expect(await namesOf(bia, 2)).toEqual(['d', 'b', 'a', 'c', 'e']);
    await call('POST', '/api/labels', { ...VIP, name: 'aa' }, {}, bia);
    await call('POST', '/api/labels', { ...VIP, name: 'z' }, {}, bia);
    expect(await namesOf(bia, 3)).toEqual(['d', 'b', 'a', 'c', 'e', 'aa', 'z']);
    await order([e]);
    expect(await namesOf(bia, 1)).toEqual(['e', 'd', 'b', 'a', 'c', 'aa', 'z']);
    expect((await order([a, a])).json().errors[0].path).toBe('labelIds');
    const theirs = (await call('POST', '/api/labels', { ...VIP, name: 'theirs' }, {}, eve)).json().id;
    expect((await order([a, theirs])).statusCode).toBe(404);
    await Promise.all([order([a, b, c]), order([c, b, a]), order([e, d]), order([b])]);
    const places = await test.rt.systemPool.query('select position from label where workspace_id = $1 order by 1', [
      bia.workspace.id,
    ]);
    expect(places.rows.map(({ position }) => position)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect((await actions(bia)).filter((action) => action === 'labels.reordered')).toHaveLength(6);
  });
});

describe('labels by their names', () => {
  it('are all there, each in its place, also where one is deleted while they are looked for', async () => {
    const { id } = (await call('POST', '/api/labels', { ...VIP, name: 'Alfa' })).json();
    const other = await test.rt.systemPool.connect();
    try {
      await other.query('begin');
      await other.query(`insert into label (workspace_id, id, name, color) values ($1, uuidv7(), 'Beta', '#000000')`, [
        ana.workspace.id,
      ]);
      // Passes Alfa by, which is there, and waits for who makes Beta.
      const looking = inWorkspaceTx(test.rt.orm, ana.auth, async (em) => {
        const ids = await labelIds(em, ['Alfa', 'Beta']);
        const found = await em.find(Label, { id: { $in: ids } });
        return ids.map((one) => found.find((label) => label.id === one)?.name);
      });
      await new Promise((resolve) => void setTimeout(resolve, 500));
      await other.query('delete from label where id = $1', [id]);
      await other.query('commit');
      expect(await looking).toEqual(['Alfa', 'Beta']);
    } finally {
      await other.query('rollback');
      other.release();
    }
  });
});
