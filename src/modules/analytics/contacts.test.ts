import { afterAll, beforeAll, expect, it } from 'vitest';
import { aUser } from '#test/factories.ts';
import { createRandom } from '#test/fuzz/random.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { rollUp, rollUpAll } from '#src/modules/analytics/rollup.ts';
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
  const listKey = { appSecret: rt.config.APP_SECRET, workspaceId };
  for (let twice = 0; twice < 2; twice += 1)
    await inWorkspaceTx(rt.orm, { workspaceId }, (em) =>
      identifyContacts(em, known, { actorId: null, source: 'message', listKey }),
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

it('equal a plain recount of random contacts, by source and by day of the workspace’s clock', async () => {
  const { rt, app } = test;
  const random = createRandom(7);
  const ana = await aUser(rt);
  const workspaceId = ana.workspace.id;
  await rt.systemPool.query(`update workspace set time_zone = 'Pacific/Auckland' where id = $1`, [workspaceId]);
  const zone = { pool: rt.pool, keepMonths: 13, log: rt.log };
  for (let turn = 0; turn < 5; turn += 1) {
    for (let at = 0; at < 30; at += 1)
      await rt.systemPool.query(
        `insert into contact (workspace_id, id, name, source, created_at, deleted_at)
          select $1, uuidv7(), 'x', $2, now() - $3 * interval '1 minute', case when $4 then now() end`,
        [workspaceId, random.pick(['manual', 'import', 'message']), random.int(25 * 1440), random.chance(0.2)],
      );
    await rollUpAll(zone, workspaceId);
  }
  const figures = (await app.inject({ url: '/api/analytics/contacts', headers: ana.headers })).json();
  const counted = async (key: string) =>
    (
      await rt.systemPool.query(
        `select ${key} as key, count(*)::int as created from contact c where workspace_id = $1 group by 1 order by 1`,
        [workspaceId],
      )
    ).rows;
  expect(figures.created).toBe(150);
  expect(figures.bySource).toEqual(await counted('source'));
  const days = await counted(`(created_at at time zone 'Pacific/Auckland')::date::text`);
  expect(figures.byDay).toEqual(days.map(({ key, created }) => ({ day: key, created })));
});
