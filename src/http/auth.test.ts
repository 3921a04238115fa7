import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { TestApp } from '../../test/harness.ts';
import { buildApp } from '#src/app.ts';
import { ROLES } from '#src/http/access-token.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { authOf } from '#src/http/auth.ts';
import { leastRole, PERMISSIONS } from '#src/http/permissions.ts';
import { Member } from '#src/modules/workspaces/member.entity.ts';
import { openRuntime } from '#src/runtime.ts';
import { aMember, aUser } from '../../test/factories.ts';
import { openTestApp } from '../../test/harness.ts';

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp();
});
afterAll(() => test.close());

it('lets each role do what the table says, and answers 403 for the rest', async () => {
  const app = await buildApp(test.rt);
  for (const permission of PERMISSIONS) {
    app.get(pathOf(permission), { config: { access: permission } }, async (request) => ({
      role: authOf(request).role,
    }));
  }
  const owner = await aUser(test.rt);
  for (const role of ROLES) {
    const person = await aUser(test.rt);
    await aMember(test.rt, owner.workspace.id, person.user.id, role);
    const headers = { ...person.headers, 'x-workspace-id': owner.workspace.id };
    for (const permission of PERMISSIONS) {
      const { statusCode } = await app.inject({ url: pathOf(permission), headers });
      const expected = ROLES.indexOf(role) >= ROLES.indexOf(leastRole(permission)) ? 200 : 403;
      expect(`${role} ${permission} ${statusCode}`).toBe(`${role} ${permission} ${expected}`);
    }
  }
  expect((await app.inject(pathOf('workspace:read'))).statusCode).toBe(401);
  await app.close();
});

it('gives a member what was granted and takes what was denied, within a second', async () => {
  const owner = await aUser(test.rt);
  const person = await aUser(test.rt);
  await aMember(test.rt, owner.workspace.id, person.user.id, 'viewer');
  const headers = { ...person.headers, 'x-workspace-id': owner.workspace.id };
  const submit = () =>
    test.app.inject({ method: 'POST', url: '/api/ai/sentiment', headers, payload: { text: 'Adorei!' } });
  const jobs = () => test.app.inject({ url: '/api/jobs', headers });
  expect((await submit()).statusCode).toBe(403);
  await changeMember(owner.workspace.id, person.user.id, { grants: ['ai:run'], denies: ['jobs:read'] });
  await vi.waitFor(async () => expect((await submit()).statusCode).toBe(202), 60_000);
  expect((await jobs()).statusCode).toBe(403);
});

it('shows a member who is limited to their own no job of another', async () => {
  const owner = await aUser(test.rt);
  const person = await aUser(test.rt);
  await aMember(test.rt, owner.workspace.id, person.user.id, 'member');
  await changeMember(owner.workspace.id, person.user.id, { denies: ['jobs:all'] });
  const headers = { ...person.headers, 'x-workspace-id': owner.workspace.id };
  const submit = async (as: Record<string, string>) =>
    (await test.app.inject({ method: 'POST', url: '/api/ai/sentiment', headers: as, payload: { text: 'Bom.' } })).json()
      .jobId as string;
  const theirs = await submit(owner.headers);
  const own = await submit(headers);
  const list = await test.app.inject({ url: '/api/jobs', headers });
  expect(list.json().data.map((job: { id: string }) => job.id)).toEqual([own]);
  expect((await test.app.inject({ url: `/api/jobs/${theirs}`, headers })).statusCode).toBe(404);
  const cancel = await test.app.inject({ method: 'POST', url: `/api/jobs/${theirs}/cancel`, headers });
  expect(cancel.statusCode).toBe(404);
});

it('refuses to start with a route that does not say who may call it', async () => {
  const app = await buildApp(test.rt);
  expect(() => app.get('/anybody', async () => 'hello')).toThrow('config.access');
  await app.close();
});

const pathOf = (permission: string) => `/needs/${permission.replace(':', '-')}`;

const changeMember = (workspaceId: string, userId: string, change: { grants?: string[]; denies?: string[] }) =>
  inWorkspaceTx(test.rt.orm, { workspaceId }, (em) => em.nativeUpdate(Member, { user: userId }, change));

it('answers 503 with Retry-After while the database is away, and does not need it to start', async () => {
  // Port 1 refuses every connection.
  const config = { ...test.config, DATABASE_URL: 'postgresql://postgres@localhost:1/nothing' };
  const rt = await openRuntime(config, 'test');
  const app = await buildApp(rt);
  const answers = [
    await app.inject({ method: 'POST', url: '/api/auth/login', payload: { email: 'a@b.co', password: 'password' } }),
    await app.inject({
      url: '/api/auth/me',
      headers: { ...(await aUser(test.rt)).headers, 'x-workspace-id': crypto.randomUUID() },
    }),
  ];
  for (const answer of answers) {
    expect(answer.json()).toMatchObject({ status: 503, code: 'database_unavailable' });
    expect(answer.headers['retry-after']).toBe('2');
  }
  await app.close();
  await rt.close();
});
