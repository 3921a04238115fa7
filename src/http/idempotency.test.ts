import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, onServer, type TestApp } from '#test/harness.ts';
import { purge } from '#src/modules/jobs/relay.query.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp({ DATABASE_POOL: '12' });
});
afterAll(() => test.close());
beforeEach(async () => {
  ana = await aUser(test.rt);
});

const post = async (url: string, payload: object | undefined, key: string | undefined, who: Pick<TestUser, 'headers'> = ana) => {
  const headers = { ...who.headers, ...(key === undefined ? {} : { 'idempotency-key': key }) };
  const answer = await test.app.inject({ method: 'POST', url, headers, ...(payload ? { payload } : {}) });
  const { location, etag, 'idempotent-replayed': replayed, 'retry-after': retryAfter } = answer.headers;
  return { status: answer.statusCode, body: answer.json(), text: answer.body, location, etag, replayed, retryAfter, type: answer.headers['content-type'] };
};
const run = async (sql: string, values: unknown[] = []) => (await test.rt.systemPool.query(sql, values)).rows;
const contacts = async (workspaceId = ana.workspace.id): Promise<number> =>
  (await run('select count(*)::int as n from contact where workspace_id = $1', [workspaceId]))[0].n;
const kept = (workspaceId = ana.workspace.id) =>
  run('select route, key, answer, is_over from idempotent_request where workspace_id = $1', [workspaceId]);

describe('a POST with an Idempotency-Key', () => {
  it('is done once and answered twice, with its status and what its head says of it', async () => {
    const first = await post('/api/contacts', { name: 'Bia', phone: '(11) 98765-4321' }, 'k1');
    expect(first).toMatchObject({ status: 201, replayed: undefined });
    expect(first.etag).toBeDefined();
    // The order of keys is no difference, nor is a change that came between.
    await test.app.inject({ method: 'PATCH', url: `/api/contacts/${first.body.id}`, headers: ana.headers, payload: { name: 'Bia Lima' } });
    const again = await post('/api/contacts', { phone: '(11) 98765-4321', name: 'Bia' }, 'k1');
    expect(again).toEqual({ ...first, replayed: 'true' });
    expect(await contacts()).toBe(1);
    const unkeyed = await post('/api/contacts', { name: 'Caio' }, undefined);
    expect(unkeyed).toMatchObject({ status: 201, replayed: undefined });
    expect(await kept()).toHaveLength(1);
  });
});
