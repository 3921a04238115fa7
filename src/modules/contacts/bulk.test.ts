import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { kinds } from '#src/modules/bulk/kinds.ts';
import type { OperationKind } from '#src/modules/bulk/operation.ts';
import { runOperation } from '#src/modules/bulk/run.ts';
import { ownedDeals } from '#test/deals.ts';
import { aDeniedMember, aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

const MANY = 2500;

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
const call = (method: 'GET' | 'POST', url: string, payload?: object, headers: Record<string, string> = ana.headers) =>
  test.app.inject({ method, url, headers, ...(payload ? { payload } : {}) });
const people = async (count: number, ownerId: string | null = null): Promise<string[]> =>
  (
    await run(
      `insert into contact (workspace_id, id, name, owner_id, lead_score)
        select $1, uuidv7(), 'Pessoa ' || n, $3, n from generate_series(1, $2::int) n returning id`,
      [ws(), count, ownerId],
    )
  ).map(({ id }) => id);
const label = async (name: string): Promise<string> =>
  (await call('POST', '/api/labels', { name, color: '#000000' })).json().id;

/** Lets a worker do what is due. */
async function work(id: string, using: readonly OperationKind[] = kinds, stopping = new AbortController().signal) {
  await run('update bulk_operation set due_at = now() where id = $1 and due_at is not null', [id]);
  await runOperation(
    { orm: test.rt.orm, kinds: using, appSecret: test.config.APP_SECRET, log: test.rt.log, stopping },
    ws(),
    id,
  );
  return (await call('GET', `/api/operations/${id}`)).json();
}
async function done(payload: object, headers?: Record<string, string>) {
  const accepted = await call('POST', '/api/contacts/bulk', payload, headers);
  expect([accepted.statusCode, accepted.json().detail]).toEqual([202, undefined]);
  return work(accepted.json().operationId);
}
const everyone = { and: [] };
const told = (type: string) =>
  run(`select data from outbox_event where workspace_id = $1 and type = $2`, [ws(), type]).then((rows) =>
    rows.map(({ data }) => data),
  );

describe('one change of many contacts', () => {
  it('does each action once, and tells of those it changed', async () => {
    const ids = await people(3);
    const [a, b] = [await label('a'), await label('b')];
    const add = { action: 'addLabels', labelIds: [a, b], ids: ids.slice(0, 2) };
    expect(await done(add)).toMatchObject({
      status: 'completed',
      total: 2,
      done: 2,
      counts: { changed: 2, unchanged: 0, missing: 0 },
    });
    expect(await done({ ...add, ids: undefined, filter: everyone })).toMatchObject({
      counts: { changed: 1, unchanged: 2 },
    });
    expect(await done({ action: 'removeLabels', labelIds: [b], filter: { hasLabel: a } })).toMatchObject({
      counts: { changed: 3 },
    });
    expect(await done({ action: 'setOwner', ownerId: ana.user.id, ids })).toMatchObject({ counts: { changed: 3 } });
    expect(await done({ action: 'setOwner', ownerId: ana.user.id, ids })).toMatchObject({
      counts: { changed: 0, unchanged: 3 },
    });
    expect(await done({ action: 'archive', filter: { field: 'leadScore', op: 'gt', value: 1 } })).toMatchObject({
      counts: { changed: 2 },
    });
    expect(await done({ action: 'unarchive', filter: everyone })).toMatchObject({
      counts: { changed: 2, unchanged: 1 },
    });
    const changed: string[] = (await told('contact.updated')).map((data) => data.changed[0]);
    expect(changed.toSorted()).toEqual([
      ...Array.from({ length: 4 }, () => 'isArchived'),
      ...Array.from({ length: 6 }, () => 'labels'),
      ...Array.from({ length: 3 }, () => 'ownerId'),
    ]);
    await run(
      `insert into contact_identity (workspace_id, id, contact_id, kind, value) values ($1, uuidv7(), $2, 'email', 'x')`,
      [ws(), ids[0]],
    );
    expect(await done({ action: 'delete', ids: [...ids, crypto.randomUUID()] })).toMatchObject({
      counts: { changed: 3, missing: 1 },
    });
    expect(await told('contact.deleted')).toHaveLength(3);
    expect(await run('select released_at from contact_identity where workspace_id = $1', [ws()])).toEqual([
      { released_at: expect.any(Date) },
    ]);
    expect(await done({ action: 'archive', filter: everyone })).toMatchObject({
      done: 0,
      counts: { changed: 0, unchanged: 0 },
    });
  });

  it('killed anywhere, goes on where it was, and does nothing twice', async () => {
    await people(MANY);
    const a = await label('a');
    // Also where what it does changes who is in the list.
    const filter = { not: { hasLabel: a } };
    const { operationId: id } = (
      await call('POST', '/api/contacts/bulk', { action: 'addLabels', labelIds: [a], filter })
    ).json();
    const late = (await people(1))[0];
    let steps = 0;
    // The process is gone after its second step has written all, and before that is committed.
    const dying: OperationKind[] = kinds.map((one) => ({
      ...one,
      async step(em, operation, resources) {
        const step = await one.step(em, operation, resources);
        steps += 1;
        if (steps === 2) throw new Error('killed');
        return step;
      },
    }));
    expect(await work(id, dying)).toMatchObject({ status: 'queued', done: 1000 });
    // The next is told to go after one step, and gives it back.
    const stopping = new AbortController();
    const leaving: OperationKind[] = kinds.map((one) => ({
      ...one,
      step: (em, operation, resources) => one.step(em, operation, resources).finally(() => stopping.abort()),
    }));
    expect(await work(id, leaving, stopping.signal)).toMatchObject({ status: 'queued', done: 2000 });
    expect(await work(id)).toMatchObject({ status: 'completed', done: MANY, counts: { changed: MANY, unchanged: 0 } });
    const [row] = await run(
      `select count(*)::int as labelled, (select count(*)::int from contact where workspace_id = $1 and version = 2) as touched,
        (select count(distinct data ->> 'contactId')::int from outbox_event where workspace_id = $1 and type = 'contact.updated') as people,
        (select count(*)::int from outbox_event where workspace_id = $1 and type = 'contact.updated') as events,
        (select count(*)::int from activity where workspace_id = $1 and type = 'contact.updated') as activities
       from contact_label where workspace_id = $1`,
      [ws()],
    );
    expect(row).toEqual({ labelled: MANY, touched: MANY, people: MANY, events: MANY, activities: MANY });
    // Who came while it ran is not of it.
    expect(await run('select version from contact where id = $1', [late])).toEqual([{ version: 1 }]);
  });

  it('ends when it is cancelled, between steps', async () => {
    await people(MANY);
    const { operationId: id } = (
      await call('POST', '/api/contacts/bulk', { action: 'archive', filter: everyone })
    ).json();
    const stopping = new AbortController();
    const once: OperationKind[] = kinds.map((one) => ({
      ...one,
      step: (em, operation, resources) => one.step(em, operation, resources).finally(() => stopping.abort()),
    }));
    expect(await work(id, once, stopping.signal)).toMatchObject({ status: 'queued', done: 1000 });
    expect((await call('POST', `/api/operations/${id}/cancel`)).statusCode).toBe(202);
    expect(await work(id)).toMatchObject({ status: 'cancelled', done: 1000 });
    const [row] = await run('select count(archived_at)::int as n from contact where workspace_id = $1', [ws()]);
    expect(row).toEqual({ n: 1000 });
  });

  it('touches only their own for a member who sees their own alone', async () => {
    const person = await aUser(test.rt);
    await aMember(test.rt, ws(), person.user.id, 'member');
    await run(`update member set denies = '{contacts:all}' where workspace_id = $1 and user_id = $2`, [
      ws(),
      person.user.id,
    ]);
    const [theirs, others] = [await people(2, person.user.id), await people(2)];
    const headers = { ...person.headers, 'x-workspace-id': ws() };
    const filtered = await call('POST', '/api/contacts/bulk', { action: 'archive', filter: everyone }, headers);
    expect(await work(filtered.json().operationId)).toMatchObject({ counts: { changed: 2 } });
    const named = await call('POST', '/api/contacts/bulk', { action: 'delete', ids: [...theirs, ...others] }, headers);
    expect(await work(named.json().operationId)).toMatchObject({ counts: { changed: 2, missing: 2 } });
    const given = await call(
      'POST',
      '/api/contacts/bulk',
      { action: 'setOwner', ownerId: ana.user.id, ids: theirs },
      headers,
    );
    expect(given.json()).toMatchObject({ status: 400, errors: [{ path: 'ownerId' }] });
  });

  it('counts only their own deals for a member who sees their own alone', async () => {
    const beto = await aDeniedMember(test.rt, ws(), ['deals:all']);
    const { stageId } = await ownedDeals(test.rt.systemPool, ana, [ana.user.id, beto.user.id]);
    const archive = { action: 'archive', filter: { dealStage: stageId } };
    const asked = await call('POST', '/api/contacts/bulk', archive, beto.headers);
    expect(await work(asked.json().operationId)).toMatchObject({ counts: { changed: 1, unchanged: 0 } });
    expect(await done(archive)).toMatchObject({ counts: { changed: 1, unchanged: 1 } });
  });

  it('says what is wrong before it begins, and what went wrong on the way', async () => {
    const ids = await people(1);
    const stranger = crypto.randomUUID();
    for (const [payload, status, path] of [
      [{ action: 'archive' }, 400, 'body'],
      [{ action: 'archive', ids, filter: everyone }, 400, 'body'],
      [{ action: 'explode', ids }, 400, 'action'],
      [{ action: 'addLabels', labelIds: [stranger], ids }, 422, 'labelIds[0]'],
      [{ action: 'setOwner', ownerId: stranger, ids }, 400, 'ownerId'],
      [{ action: 'archive', filter: { hasLabel: stranger } }, 422, 'filter.hasLabel'],
    ] as const) {
      const refused = await call('POST', '/api/contacts/bulk', payload);
      expect([refused.statusCode, refused.json().errors[0].path]).toEqual([status, path]);
    }
    const a = await label('a');
    const { operationId: id } = (
      await call('POST', '/api/contacts/bulk', { action: 'archive', filter: { hasLabel: a } })
    ).json();
    await test.app.inject({ method: 'DELETE', url: `/api/labels/${a}`, headers: ana.headers });
    expect(await work(id)).toMatchObject({ status: 'failed', problem: { code: 'unknown_reference' } });
  });
});
