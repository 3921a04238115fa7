import { Writable } from 'node:stream';
import { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, expectTypeOf, it } from 'vitest';
import { buildApp } from '#src/app.ts';
import { queryAs, type Scope } from '#src/db/tenant.ts';
import { createLog } from '#src/lib/log.ts';
import { SETTINGS, settingsOf } from '#src/modules/settings/registry.ts';
import { createSettings, INSTALLATION } from '#src/modules/settings/settings.ts';
import { verifyChain } from '#src/modules/audit/chain.ts';
import { openRuntime } from '#src/runtime.ts';
import { aMember, aUser, onPlan, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp({ OPS_USER: 'ops' });
});
beforeEach(async () => {
  ana = await aUser(test.rt);
  await onPlan(test.rt, ana.workspace.id, 'pro');
});
afterAll(() => test.close());

type Headers = Record<string, string>;
const get = (url: string, headers: Headers = ana.headers) => test.app.inject({ url, headers });
const patch = (url: string, payload: object, headers: Headers = ana.headers) =>
  test.app.inject({ method: 'PATCH', url, payload, headers });
const ops = (): Headers => ({
  authorization: `Basic ${Buffer.from(`ops:${test.config.OPS_PASSWORD}`).toString('base64')}`,
});
const lastEntries = async (limit: number) => (await get(`/api/audit?limit=${limit}`)).json().data;

async function memberOf(workspaceId: string, role: 'viewer' | 'admin'): Promise<Headers> {
  const user = await aUser(test.rt);
  await aMember(test.rt, workspaceId, user.user.id, role);
  return { ...user.headers, 'x-workspace-id': workspaceId };
}

const SCOPES = ['user', 'workspace'] as const;
const EXAMPLES = {
  user: { key: 'ui.theme', value: 'dark', other: 'light', wrong: 'pink', byDefault: 'system' },
  workspace: { key: 'ai.tone', value: 'formal', other: 'neutral', wrong: 'rude', byDefault: 'friendly' },
};

describe('the table', () => {
  it('has defaults that fit their own schemas', () => {
    const values = Object.entries(SETTINGS).filter(([, one]) => !one.isSecret);
    const parsed = values.map(([key, one]) => [key, one.schema.parse(one.byDefault)]);
    expect(parsed).toEqual(values.map(([key, one]) => [key, one.byDefault]));
  });

  it('gives code the types of its schemas, and no secret', async () => {
    const values = await test.rt.settings.readWorkspace(ana.workspace.id);
    expectTypeOf(values['privacy.retentionDays']).toEqualTypeOf<number>();
    expectTypeOf(values['ai.tone']).toEqualTypeOf<'friendly' | 'formal' | 'neutral'>();
    expectTypeOf(values).not.toHaveProperty('ai.providerKey.openai');
    expectTypeOf(values).not.toHaveProperty('ui.theme');
    expect(Object.keys(values)).not.toContain('ai.providerKey.openai');
    expect(values['privacy.retentionDays']).toBe(730);
  });
});

describe.each(SCOPES)('/api/settings/%s', (scope) => {
  const url = `/api/settings/${scope}`;
  const { key, value, other, wrong, byDefault } = EXAMPLES[scope];

  it('has defaults, takes changes, gives defaults back, and writes each down', async () => {
    const first = await get(url);
    expect(Object.keys(first.json())).toEqual([...settingsOf(scope).keys()]);
    expect(first.json()[key]).toBe(byDefault);
    const changed = await patch(url, { [key]: value });
    expect(changed.json()).toEqual({ ...first.json(), [key]: value });
    expect(changed.headers['etag']).not.toBe(first.headers['etag']);
    const second = await get(url);
    expect(second.json()).toEqual(changed.json());
    expect(second.headers['etag']).toBe(changed.headers['etag']);
    expect((await patch(url, { [key]: null })).json()).toEqual(first.json());
    const [reset, set] = await lastEntries(2);
    const action = `settings.${scope}_changed`;
    expect(reset).toMatchObject({ action, before: { [key]: value }, after: { [key]: byDefault } });
    expect(set).toMatchObject({
      action,
      before: { [key]: byDefault },
      after: { [key]: value },
      actor: { id: ana.user.id },
    });
  });

  it('writes nothing down when nothing changes', async () => {
    const { headers } = await patch(url, { [key]: value });
    expect((await patch(url, { [key]: value })).headers['etag']).toBe(headers['etag']);
    const entries = await lastEntries(10);
    expect(entries.map((entry: { action: string }) => entry.action)).toEqual([
      `settings.${scope}_changed`,
      'auth.login',
    ]);
  });

  it('refuses unknown keys, keys of other scopes, wrong values and no change at all, and changes nothing then', async () => {
    const foreign = EXAMPLES[scope === 'user' ? 'workspace' : 'user'];
    for (const [body, path] of [
      [{ [key]: value, 'no.such.key': 1 }, 'no.such.key'],
      [{ [key]: value, [foreign.key]: foreign.value }, foreign.key],
      [{ [key]: wrong }, key],
      [{ constructor: 1 }, 'constructor'],
      [{}, 'body'],
      [[], 'body'],
    ] as const) {
      const answer = await patch(url, body);
      expect(answer.json()).toMatchObject({ status: 400, code: 'validation_failed', errors: [{ path }] });
    }
    expect((await get(url)).json()[key]).toBe(byDefault);
  });

  it('lets one of two win who change the same state', async () => {
    const etag = String((await get(url)).headers['etag']);
    const answers = await Promise.all(
      [value, other].map((wanted) => patch(url, { [key]: wanted }, { ...ana.headers, 'if-match': etag })),
    );
    const [winner, loser] = answers.toSorted((a, b) => a.statusCode - b.statusCode);
    expect([winner?.statusCode, loser?.statusCode]).toEqual([200, 412]);
    expect(loser?.json()).toMatchObject({ code: 'version_mismatch', title: 'Precondition failed' });
    expect((await get(url)).json()).toEqual(winner?.json());
    expect((await patch(url, { [key]: null }, { ...ana.headers, 'if-match': '*' })).statusCode).toBe(200);
    expect((await patch(url, { [key]: other }, { ...ana.headers, 'if-match': `W/${etag}` })).statusCode).toBe(412);
  });
});

describe('who may', () => {
  it('viewers read the settings of the workspace and change none; others do not see it', async () => {
    const viewer = await memberOf(ana.workspace.id, 'viewer');
    const admin = await memberOf(ana.workspace.id, 'admin');
    const stranger = { ...(await aUser(test.rt)).headers, 'x-workspace-id': ana.workspace.id };
    for (const name of ['workspace', 'ai']) {
      const url = `/api/settings/${name}`;
      const body = { 'ai.tone': 'formal' };
      expect((await get(url, viewer)).statusCode).toBe(200);
      expect((await patch(url, body, viewer)).statusCode).toBe(403);
      expect((await get(url, stranger)).statusCode).toBe(404);
      expect((await patch(url, body, stranger)).statusCode).toBe(404);
      expect((await patch(url, body, admin)).statusCode).toBe(200);
    }
    expect((await get('/api/settings/user', {})).statusCode).toBe(401);
  });

  it('a key can take a permission of its own', async () => {
    const admin = await aUser(test.rt);
    await aMember(test.rt, ana.workspace.id, admin.user.id, 'admin');
    const owner = new Client({ connectionString: test.config.DATABASE_URL });
    await owner.connect();
    await owner.query(`update member set denies = '{api-keys:manage}' where user_id = $1`, [admin.user.id]);
    await owner.end();
    const headers = { ...admin.headers, 'x-workspace-id': ana.workspace.id };
    const both = { 'ai.tone': 'formal', 'ai.providerKey.openai': 'sk-12345678' };
    const answer = await patch('/api/settings/workspace', both, headers);
    expect(answer.json()).toMatchObject({ status: 403, detail: expect.stringContaining('api-keys:manage') });
    expect((await get('/api/settings/ai')).json()['ai.tone']).toBe('friendly');
    expect((await patch('/api/settings/workspace', { 'ai.tone': 'formal' }, headers)).statusCode).toBe(200);
  });

  it("settings are each workspace's and each person's own", async () => {
    const bia = await aUser(test.rt);
    await patch('/api/settings/workspace', { 'ai.tone': 'formal' });
    await patch('/api/settings/user', { 'ui.theme': 'dark' });
    expect((await get('/api/settings/workspace', bia.headers)).json()['ai.tone']).toBe('friendly');
    expect((await get('/api/settings/user', bia.headers)).json()['ui.theme']).toBe('system');
    const seen = async (scope: Scope, table: string) =>
      (await queryAs(test.rt.pool, scope, { text: `select from ${table}` })).rowCount;
    expect(await seen(ana.auth, 'user_setting')).toBe(1);
    expect(await seen(ana.auth, 'workspace_setting')).toBe(1);
    for (const scope of [bia.auth, {}]) {
      expect(await seen(scope, 'user_setting')).toBe(0);
      expect(await seen(scope, 'workspace_setting')).toBe(0);
    }
    const viewer = await memberOf(ana.workspace.id, 'viewer');
    expect((await get('/api/settings/user', viewer)).json()['ui.theme']).toBe('system');
  });

  it('the views of AI and notifications are parts of the workspace and of the person, with an ETag of their own', async () => {
    const before = await get('/api/settings/notifications');
    const { statusCode } = await patch('/api/settings/ai', { 'ai.tone': 'formal' });
    expect(statusCode).toBe(200);
    expect((await get('/api/settings/workspace')).json()['ai.tone']).toBe('formal');
    expect((await get('/api/settings/notifications')).headers['etag']).toBe(before.headers['etag']);
    expect((await patch('/api/settings/ai', { 'notifications.email': true })).statusCode).toBe(400);
    await patch('/api/settings/notifications', { 'notifications.email': false });
    expect((await get('/api/settings/user')).json()['notifications.email']).toBe(false);
    expect((await patch('/api/settings/notifications', { 'ui.theme': 'dark' })).statusCode).toBe(400);
  });
});

describe('secrets', () => {
  it('are in no answer, no log, no audit entry, and in no table in the clear; the code that needs them has them', async () => {
    const canary = 'sk-canary-3f9a0c2b7d';
    const key = 'ai.providerKey.openai';
    const lines: string[] = [];
    const stream = new Writable({
      write(chunk: Buffer, _encoding, done) {
        lines.push(chunk.toString());
        done();
      },
    });
    const rt = await openRuntime(test.config, 'test', createLog('trace', 'test', stream));
    const app = await buildApp(rt);
    const url = '/api/settings/ai';
    const call = (method: 'GET' | 'PATCH', payload?: object, to = url) =>
      app.inject({ method, url: to, headers: ana.headers, ...(payload ? { payload } : {}) });
    expect((await call('GET')).json()[key]).toEqual({ isSet: false, updatedAt: null });
    const answers = [
      await call('PATCH', { [key]: canary }),
      await call('PATCH', { [key]: canary, 'ai.tone': 'rude' }),
      await call('PATCH', { [key]: canary.repeat(100) }),
      await call('PATCH', { [key]: [canary] }),
      await call('GET'),
      await call('GET', undefined, '/api/settings/workspace'),
      await call('GET', undefined, '/api/audit'),
    ];
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 400, 400, 400, 200, 200, 200]);
    expect(answers[4]?.json()[key]).toEqual({ isSet: true, updatedAt: expect.stringMatching(/Z$/) });
    for (const { body } of answers) expect(body).not.toContain('canary');
    expect(await rt.settings.readSecret(ana.workspace.id, key)).toBe(canary);
    expect(await rt.settings.readSecret((await aUser(test.rt)).workspace.id, key)).toBeNull();
    await app.close();
    await rt.close();
    expect(lines.length).toBeGreaterThan(5);
    expect(lines.join('')).not.toContain('canary');
    await expectNowhere('canary');
    await patch(url, { [key]: null });
    expect((await get(url)).json()[key]).toEqual({ isSet: false, updatedAt: null });
    expect(await test.rt.settings.readSecret(ana.workspace.id, key)).toBeNull();
  });

  it('do not open in another workspace, where somebody who can write the table moved them', async () => {
    const key = 'ai.providerKey.openai';
    await patch('/api/settings/ai', { [key]: 'sk-of-ana-123' });
    const bia = await aUser(test.rt);
    const owner = new Client({ connectionString: test.config.DATABASE_URL });
    await owner.connect();
    await owner.query('update workspace_setting set workspace_id = $2 where workspace_id = $1', [
      ana.workspace.id,
      bia.workspace.id,
    ]);
    await owner.end();
    await expect(test.rt.settings.readSecret(bia.workspace.id, key)).rejects.toThrow(/auth/);
  });
});

/** Looks for a text in every row of every table. */
async function expectNowhere(text: string): Promise<void> {
  const owner = new Client({ connectionString: test.config.DATABASE_URL });
  await owner.connect();
  const tables = await owner.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'public'`,
  );
  expect(tables.rows.length).toBeGreaterThan(8);
  for (const { name } of tables.rows) {
    const { rows } = await owner.query(
      `select count(*)::int as found from ${name} t
        where position($1 in t::text) > 0 or position($2 in t::text) > 0`,
      [text, Buffer.from(text).toString('hex')],
    );
    expect({ [name]: rows[0].found }).toEqual({ [name]: 0 });
  }
  await owner.end();
}

const register = (email: string) =>
  test.app.inject({
    method: 'POST',
    url: '/api/auth/register',
    payload: { email, password: 'uma-senha-longa', name: 'Bia' },
  });

describe('the installation', () => {
  const url = '/ops/settings';

  it('is changed by operators alone, and written down in a chain of its own', async () => {
    for (const headers of [{}, ana.headers, { authorization: 'Basic b3BzOndyb25n' }]) {
      expect((await get(url, headers)).statusCode).toBe(401);
      expect((await patch(url, { announcement: 'x' }, headers)).statusCode).toBe(401);
    }
    expect((await patch('/api/settings/global', { announcement: 'x' })).statusCode).toBe(405);
    const changed = await patch(url, { announcement: 'Maintenance on Sunday' }, ops());
    expect(changed.statusCode).toBe(200);
    expect((await patch(url, { nothing: 1 }, ops())).json()).toMatchObject({
      status: 400,
      errors: [{ path: 'nothing' }],
    });
    expect((await patch(url, { announcement: 'y' }, { ...ops(), 'if-match': '"old"' })).statusCode).toBe(412);
    expect((await get('/api/settings/global')).json()).toEqual({
      'registration.open': true,
      announcement: 'Maintenance on Sunday',
    });
    expect((await get('/api/settings/global', {})).statusCode).toBe(401);
    expect(await verifyChain(test.rt, INSTALLATION)).toMatchObject({ ok: true, entries: 1 });
    const there = { ...ana.headers, 'x-workspace-id': INSTALLATION };
    expect((await get('/api/audit', there)).statusCode).toBe(404);
  });

  it('opens and closes registration', async () => {
    await patch(url, { 'registration.open': false }, ops());
    expect((await register('one@example.com')).json()).toMatchObject({ status: 403, code: 'registration_closed' });
    await patch(url, { 'registration.open': null, 'registration.emailDomains': ['Example.org'] }, ops());
    expect((await register('one@example.com')).json()).toMatchObject({ status: 403, code: 'registration_closed' });
    expect((await register('one@EXAMPLE.org')).statusCode).toBe(201);
    await patch(url, { 'registration.emailDomains': null }, ops());
    expect((await register('one@example.com')).statusCode).toBe(201);
  });
});

describe('reading in code', () => {
  it('is at most a second behind what another process changed, and asks the database no more than that', async () => {
    const elsewhere = createSettings(test.rt);
    const { id } = ana.workspace;
    expect((await elsewhere.readWorkspace(id))['ai.tone']).toBe('friendly');
    await patch('/api/settings/ai', { 'ai.tone': 'formal' });
    expect((await test.rt.settings.readWorkspace(id))['ai.tone']).toBe('formal');
    await expect.poll(async () => (await elsewhere.readWorkspace(id))['ai.tone']).toBe('formal');
  });

  it('takes a stored value that no longer fits its schema as not set', async () => {
    await patch('/api/settings/workspace', { 'privacy.retentionDays': 90 });
    const owner = new Client({ connectionString: test.config.DATABASE_URL });
    await owner.connect();
    await owner.query(`update workspace_setting set value = '"soon"' where workspace_id = $1`, [ana.workspace.id]);
    await owner.end();
    expect((await createSettings(test.rt).readWorkspace(ana.workspace.id))['privacy.retentionDays']).toBe(730);
    expect((await get('/api/settings/workspace')).json()['privacy.retentionDays']).toBe(730);
  });
});
