import { afterAll, beforeAll, expect, it } from 'vitest';
import { aUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { rollUp } from '#src/modules/analytics/rollup.ts';
import { identifyContacts } from '#src/modules/contacts/identify.query.ts';

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp();
});
afterAll(() => test.close());

it('counts new contacts once, by where they came from, also those in the bin', async () => {
  const { rt, app } = test;
  const ana = await aUser(rt);
  const workspaceId = ana.workspace.id;
  const request = { url: '/api/contacts', headers: ana.headers };
  const made = await app.inject({ ...request, method: 'POST', payload: { name: 'Ana' } });
  await app.inject({ ...request, method: 'DELETE', url: `/api/contacts/${made.json().id}` });
  const known = Array.from({ length: 3 }, (_, at) => ({ lid: `${at}` }));
  for (let twice = 0; twice < 2; twice += 1)
    await inWorkspaceTx(rt.orm, { workspaceId }, (em) =>
      identifyContacts(em, known, { actorId: null, source: 'message' }),
    );
  await rollUp({ pool: rt.pool, keepMonths: 13, log: rt.log }, workspaceId);
  const figures = (await app.inject({ ...request, url: '/api/analytics/contacts' })).json();
  expect(figures).toMatchObject({
    created: 4,
    bySource: [
      { key: 'manual', created: 1 },
      { key: 'message', created: 3 },
    ],
    byDay: [{ created: 4 }],
    scope: 'workspace',
  });
});
