import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, onServer, type TestApp } from '#test/harness.ts';
import { kinds } from '#src/modules/bulk/kinds.ts';
import { runOperation } from '#src/modules/bulk/run.ts';
import { purge } from '#src/modules/jobs/relay.query.ts';
import { rotateStep } from '#src/modules/vault/rotation.ts';
import { readKeks } from '#src/modules/vault/vault.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp({ DEFAULT_PLAN: 'enterprise', DATABASE_POOL: '12' });
});
afterAll(() => test.close());
beforeEach(async () => {
  ana = await aUser(test.rt);
});

const post = async (
  url: string,
  payload: object | undefined,
  key: string | undefined,
  headers: Record<string, string> = ana.headers,
) => {
  const sent = { ...headers, ...(key === undefined ? {} : { 'idempotency-key': key }) };
  const answer = await test.app.inject({ method: 'POST', url, headers: sent, ...(payload ? { payload } : {}) });
  const { location, etag, 'idempotent-replayed': replayed, 'retry-after': retryAfter } = answer.headers;
  const head = { location, etag, replayed, retryAfter, type: answer.headers['content-type'] };
  return { status: answer.statusCode, body: answer.json(), text: answer.body, ...head };
};
const make = (payload: object, key?: string, headers?: Record<string, string>) =>
  post('/api/contacts', payload, key, headers);
const run = async (sql: string, values: unknown[] = []) => (await test.rt.systemPool.query(sql, values)).rows;
const contacts = async (workspaceId = ana.workspace.id): Promise<number> =>
  (await run('select count(*)::int as n from contact where workspace_id = $1', [workspaceId]))[0].n;
const kept = () =>
  run('select route, key, answer, is_over from idempotent_request where workspace_id = $1', [ana.workspace.id]);
/** Makes the requests of ana's workspace as old as that. */
const age = (seconds: number) =>
  run(`update idempotent_request set created_at = now() - $2 * interval '1 second' where workspace_id = $1`, [
    ana.workspace.id,
    seconds,
  ]);
const BIA = { name: 'Bia', phone: '(11) 98765-4321' };

describe('a POST with an Idempotency-Key', () => {
  it('is done once and answered twice, with its status and what its head says of it', async () => {
    const first = await make(BIA, 'k1');
    expect(first).toMatchObject({ status: 201, replayed: undefined });
    expect(first.etag).toBeDefined();
    const url = `/api/contacts/${first.body.id}`;
    await test.app.inject({ method: 'PATCH', url, headers: ana.headers, payload: { name: 'Bia Lima' } });
    // The order of names is no difference, nor is a change that came between.
    expect(await make({ phone: BIA.phone, name: 'Bia' }, 'k1')).toEqual({ ...first, replayed: 'true' });
    expect(await contacts()).toBe(1);
    expect(await make({ name: 'Caio' })).toMatchObject({ status: 201, replayed: undefined });
    expect(await kept()).toMatchObject([{ route: 'POST /api/contacts', key: 'k1', is_over: true }]);
  });

  it('answers what was accepted to be done later with the same operation', async () => {
    const { body } = await make(BIA);
    const url = `/api/contacts/${body.id}/erasure`;
    const first = await post(url, undefined, 'k1');
    expect(first.status).toBe(202);
    expect(await post(url, undefined, 'k1')).toEqual({ ...first, replayed: 'true' });
  });

  it('is another request under the same key: 422, and nothing is done', async () => {
    const [a, b] = [await make(BIA, 'k1'), await make({ name: 'Caio' }, 'k2')];
    const mismatch = { status: 422, body: { code: 'idempotency_mismatch' } };
    expect(await make({ ...BIA, name: 'Ana' }, 'k1')).toMatchObject(mismatch);
    expect(await contacts()).toBe(2);
    // The same body to another of the route's resources, and with another query.
    const note = (id: string) => post(`/api/contacts/${id}/notes`, { text: 'Ligar' }, 'k3');
    expect((await note(a.body.id)).status).toBe(201);
    expect(await note(b.body.id)).toMatchObject(mismatch);
    // Another route has keys of its own.
    expect((await post('/api/labels', { name: 'VIP', color: '#ff0000' }, 'k1')).status).toBe(201);
  });

  it('has nothing to do with the keys of colleagues and other workspaces', async () => {
    const [beto, eve] = [await aUser(test.rt), await aUser(test.rt)];
    await aMember(test.rt, ana.workspace.id, beto.user.id, 'member');
    const his = { ...beto.headers, 'x-workspace-id': ana.workspace.id };
    const made = [
      await make({ name: 'Bia' }, 'k'),
      await make({ name: 'Bia' }, 'k', his),
      await make({ name: 'Bia' }, 'k', eve.headers),
    ];
    for (const one of made) expect(one).toMatchObject({ status: 201, replayed: undefined });
    expect(new Set(made.map(({ body }) => body.id)).size).toBe(3);
    expect([await contacts(), await contacts(eve.workspace.id)]).toEqual([2, 1]);
    expect((await make({ name: 'Bia' }, 'k', his)).body.id).toBe(made[1]?.body.id);
  });

  it('keeps no refusal: asked again, it is looked at again', async () => {
    const other = await make(BIA);
    expect(await make({ ...BIA, name: 'Caio' }, 'k')).toMatchObject({ status: 409, body: { code: 'phone_taken' } });
    expect(await make({ phone: 7 }, 'k')).toMatchObject({ status: 400 });
    expect(await kept()).toEqual([]);
    await test.app.inject({ method: 'DELETE', url: `/api/contacts/${other.body.id}`, headers: ana.headers });
    expect(await make({ ...BIA, name: 'Caio' }, 'k')).toMatchObject({ status: 201, replayed: undefined });
    for (const key of ['', 'a b', 'é', 'x'.repeat(256)])
      expect(await make(BIA, key)).toMatchObject({
        status: 400,
        body: { errors: [{ path: 'headers.idempotency-key' }] },
      });
  });

  it('is done once by a hundred at the same time', async () => {
    const all = await Promise.all(Array.from({ length: 100 }, () => make(BIA, 'k')));
    const done = all.filter(({ status }) => status === 201);
    // Of a hundred on twelve connections some may find the database too slow, where much else runs.
    const busy = all.filter(({ status }) => status === 409);
    const late = all.filter(({ body }) => body.code === 'database_unavailable');
    process.stdout.write(`100 at once: ${done.length} answered, ${busy.length} busy, ${late.length} late\n`);
    expect(done.length + busy.length + late.length).toBe(100);
    expect(done.filter(({ replayed }) => replayed === undefined)).toHaveLength(1);
    expect(new Set(done.map(({ text }) => text)).size).toBe(1);
    for (const { body, retryAfter } of busy) expect([body.code, retryAfter]).toEqual(['idempotency_in_progress', '1']);
    expect(await contacts()).toBe(1);
    expect(await make(BIA, 'k')).toMatchObject({ status: 201, replayed: 'true' });
  });

  it('may be sent again after a failure that is ours', async () => {
    await onServer(test.config.DATABASE_URL, async (client) => {
      await client.query(
        `create function fails() returns trigger language plpgsql as $$ begin raise exception 'broken'; end $$`,
      );
      await client.query('create trigger fails before insert on contact for each row execute function fails()');
      try {
        expect((await make(BIA, 'k')).status).toBe(500);
      } finally {
        await client.query('drop function fails cascade');
      }
    });
    expect(await kept()).toEqual([]);
    expect(await make(BIA, 'k')).toMatchObject({ status: 201, replayed: undefined });
    expect(await contacts()).toBe(1);
  });

  it('leaves no key where nothing was changed, and where a key says nothing', async () => {
    await make(BIA);
    for (let times = 0; times < 2; times += 1) {
      expect(await post('/api/contacts/lookup', { phones: [BIA.phone] }, 'k')).toMatchObject({
        status: 200,
        replayed: undefined,
      });
      expect(await post(`/api/workspaces/${ana.workspace.id}/switch`, undefined, 'k')).toMatchObject({
        status: 200,
        replayed: undefined,
      });
      const csv = await test.app.inject({
        method: 'POST',
        url: '/api/imports',
        headers: { ...ana.headers, 'idempotency-key': 'k', 'content-type': 'text/csv' },
        payload: 'nome,telefone\nCaio,11987654322\n',
      });
      expect([csv.statusCode, csv.headers['idempotent-replayed']]).toEqual([201, undefined]);
    }
    const { id } = ana.user;
    const change = { currentPassword: ana.password, newPassword: 'another long password 7' };
    expect((await post('/api/auth/change-password', change, 'k')).status).toBeLessThan(300);
    expect(await run('select 1 from idempotent_request where user_id = $1', [id])).toEqual([]);
  });

  it('works where it makes or enters another workspace than the one it was asked in', async () => {
    const first = await post('/api/workspaces', { name: 'Filial' }, 'k');
    expect(first.status).toBe(201);
    expect(await post('/api/workspaces', { name: 'Filial' }, 'k')).toEqual({ ...first, replayed: 'true' });
    expect(await run('select 1 from member where user_id = $1', [ana.user.id])).toHaveLength(2);
  });
});

describe('what a request was answered', () => {
  it('is sealed, also a secret that is shown once, and told again after the keys have changed', async () => {
    const key = await post('/api/api-keys', { name: 'Robô', scopes: ['contacts:read'] }, 'k');
    const hook = await post(
      '/api/webhooks',
      { name: 'Gancho', url: 'https://example.com/hook', events: ['contact.created'] },
      'k',
    );
    expect([key.status, hook.status]).toEqual([201, 201]);
    const secrets = [key.body.secret, hook.body.secret];
    for (const secret of secrets) expect(secret.length).toBeGreaterThan(20);
    const dump = JSON.stringify(
      await run(`select r::text, encode(answer, 'escape') from idempotent_request r where workspace_id = $1`, [
        ana.workspace.id,
      ]),
    );
    for (const secret of [...secrets, 'Robô', 'example.com']) expect(dump).not.toContain(secret);
    const { rt } = test;
    await rt.vault.rotate(ana.workspace.id);
    const needs = { systemPool: rt.systemPool, vault: rt.vault, keks: readKeks(test.config), log: rt.log };
    const before = (await kept()).map(({ answer }) => answer);
    while ((await rotateStep(needs)) > 0);
    const after = (await kept()).map(({ answer }) => answer);
    expect(after.some((answer) => before.some((old) => old.equals(answer)))).toBe(false);
    expect(await post('/api/api-keys', { name: 'Robô', scopes: ['contacts:read'] }, 'k')).toEqual({
      ...key,
      replayed: 'true',
    });
  });

  it('is kept for a day', async () => {
    const first = await make({ name: 'Bia' }, 'k');
    await age(23 * 3600);
    await purge(test.rt.systemPool, 3600);
    expect((await make({ name: 'Bia' }, 'k')).body.id).toBe(first.body.id);
    await age(25 * 3600);
    await purge(test.rt.systemPool, 3600);
    expect(await kept()).toEqual([]);
    expect(await make({ name: 'Bia' }, 'k')).toMatchObject({ status: 201, replayed: undefined });
    expect(await contacts()).toBe(2);
  });

  it('goes with an erasure, of the whole workspace, and the key still keeps it from being done again', async () => {
    const { body } = await make(BIA, 'k');
    await make({ name: 'Caio' }, 'other');
    const { body: accepted } = await post(`/api/contacts/${body.id}/erasure`, undefined, 'erase');
    const { rt, config } = test;
    const needs = { orm: rt.orm, kinds, appSecret: config.APP_SECRET, log: rt.log };
    await run('update bulk_operation set due_at = now() where id = $1', [accepted.operationId]);
    await runOperation({ ...needs, stopping: new AbortController().signal }, ana.workspace.id, accepted.operationId);
    expect(await run('select status from bulk_operation where id = $1', [accepted.operationId])).toEqual([
      { status: 'completed' },
    ]);
    const rows = await kept();
    expect(new Set(rows.map(({ key }) => key))).toEqual(new Set(['erase', 'k', 'other']));
    for (const row of rows) expect(row).toMatchObject({ answer: null, is_over: true });
    const unknown = { status: 409, body: { code: 'idempotency_result_unknown' } };
    expect(await make(BIA, 'k')).toMatchObject(unknown);
    expect(await make({ name: 'Caio' }, 'other')).toMatchObject(unknown);
    expect(await contacts()).toBe(2);
  });

  it('is not known where the process died with it: still at work for a minute, then unknown', async () => {
    await make(BIA, 'k');
    await run('update idempotent_request set answer = null, is_over = false where workspace_id = $1', [
      ana.workspace.id,
    ]);
    await age(10);
    expect(await make(BIA, 'k')).toMatchObject({
      status: 409,
      body: { code: 'idempotency_in_progress' },
      retryAfter: '1',
    });
    await age(70);
    expect(await make(BIA, 'k')).toMatchObject({
      status: 409,
      body: { code: 'idempotency_result_unknown' },
      retryAfter: undefined,
    });
    expect(await contacts()).toBe(1);
  });
});
