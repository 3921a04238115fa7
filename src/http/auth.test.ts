import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TestApp } from '../../test/harness.ts';
import { buildApp } from '#src/app.ts';
import { ROLES } from '#src/http/access-token.ts';
import { atLeast, authenticate, authOf } from '#src/http/auth.ts';
import { openRuntime } from '#src/runtime.ts';
import { aMember, aUser } from '../../test/factories.ts';
import { openTestApp } from '../../test/harness.ts';

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp();
});
afterAll(() => test.close());

it('lets each role do what it may, and answers 403 for the rest', async () => {
  const app = await buildApp(test.rt);
  for (const role of ROLES) {
    app.get(`/needs/${role}`, {
      onRequest: authenticate(test.rt),
      preHandler: atLeast(role),
      handler: async (request) => ({ role: authOf(request).role }),
    });
  }
  const owner = await aUser(test.rt);
  for (const [rank, role] of ROLES.entries()) {
    const person = await aUser(test.rt);
    await aMember(test.rt, owner.workspace.id, person.user.id, role);
    const headers = { ...person.headers, 'x-workspace-id': owner.workspace.id };
    const statuses: number[] = [];
    for (const needed of ROLES) statuses.push((await app.inject({ url: `/needs/${needed}`, headers })).statusCode);
    expect(statuses).toEqual(ROLES.map((_, needed) => (needed <= rank ? 200 : 403)));
  }
  const nobody = await app.inject('/needs/viewer');
  expect(nobody.statusCode).toBe(401);
  await app.close();
});

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
