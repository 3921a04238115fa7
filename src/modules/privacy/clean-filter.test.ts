import { afterAll, beforeAll, expect, it } from 'vitest';
import { kinds } from '#src/modules/bulk/kinds.ts';
import { runOperation } from '#src/modules/bulk/run.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

const run = async (sql: string, values: unknown[] = []) => (await test.rt.systemPool.query(sql, values)).rows;
const call = async (method: 'GET' | 'POST', path: string, payload?: object) => {
  const answer = await test.app.inject({
    method,
    url: `/api/${path}`,
    headers: ana.headers,
    ...(payload && { payload }),
  });
  return { status: answer.statusCode, body: answer.json() };
};
const field = (name: string, op: string, value: unknown) => ({ field: name, op, value });
const NAME = 'Ermínia Quaresma';
const [NOBODY, ANYBODY] = [field('archived', 'exists', false), field('archived', 'exists', true)];
const nested = (node: object, depth: number): object => (depth === 0 ? node : { and: [nested(node, depth - 1)] });
const others = field('phone', 'contains', '0004');

/** Filters that name her, what becomes of them, and how many of the four others they are true of then. */
const CASES: [filter: object, cleaned: object, count: number][] = [
  [field('phone', 'contains', '11911110003'), NOBODY, 0],
  [field('phone', 'contains', '91111-0003'), NOBODY, 0],
  [field('name', 'neq', NAME), NOBODY, 0],
  [{ not: field('name', 'eq', 'ERMINIA quaresma') }, { not: ANYBODY }, 0],
  [{ not: { not: field('name', 'neq', NAME) } }, { not: { not: NOBODY } }, 0],
  [{ and: [others, { not: field('phone', 'eq', '+5511911110003') }] }, { and: [others, { not: ANYBODY }] }, 0],
  [{ or: [others, field('name', 'startsWith', NAME)] }, { or: [others, NOBODY] }, 1],
  [field('name', 'in', [NAME, 'Outra 4']), field('name', 'in', ['Outra 4']), 1],
  [{ not: field('name', 'in', [NAME, 'Outra 4']) }, { not: ANYBODY }, 0],
  [nested(field('phone', 'eq', '+5511911110003'), 7), nested(NOBODY, 7), 0],
  [{ custom: 'code', op: 'neq', value: 5_511_911_110_003 }, NOBODY, 0],
  [others, others, 1],
];

it('a filter that names somebody who is forgotten is true of nobody new, and stays one', async () => {
  await call('POST', 'contact-fields', { key: 'code', name: 'Código', kind: 'number' });
  const { id } = (await call('POST', 'contacts', { name: NAME, phone: '+5511911110003' })).body;
  for (const n of [4, 5, 6, 7]) await call('POST', 'contacts', { name: `Outra ${n}`, phone: `+551191111000${n}` });
  const segments: string[] = [];
  for (const [at, [filter]] of CASES.entries()) {
    const made = await call('POST', 'segments', { name: `Lista ${at}`, filter });
    expect([filter, made.status]).toEqual([filter, 201]);
    segments.push(made.body.id);
  }
  const [done] = await run(
    `insert into bulk_operation (workspace_id, id, user_id, kind, status, due_at, finished_at, input, state)
      values ($1, uuidv7(), $2, 'contacts.delete', 'completed', null, now(), $3, '{}') returning id`,
    [ana.workspace.id, ana.user.id, { selection: { filter: CASES[0]?.[0] }, note: NAME }],
  );

  const { operationId } = (await call('POST', `contacts/${id}/erasure`)).body;
  await run('update bulk_operation set due_at = now() where id = $1', [operationId]);
  const stopping = new AbortController().signal;
  const { orm, log } = test.rt;
  await runOperation({ orm, kinds, log, stopping, appSecret: test.config.APP_SECRET }, ana.workspace.id, operationId);
  expect((await call('GET', `operations/${operationId}`)).body).toMatchObject({ status: 'completed' });

  for (const [at, [filter, cleaned, count]] of CASES.entries()) {
    const shown = await call('GET', `segments/${segments[at]}`);
    expect([filter, shown.status, shown.body.filter]).toEqual([filter, 200, cleaned]);
    const preview = await call('POST', 'segments/preview', { filter: shown.body.filter });
    expect([filter, preview.status, preview.body.count]).toEqual([filter, 200, count]);
    const listed = await call('GET', `segments/${segments[at]}/contacts`);
    expect([filter, listed.status, listed.body.data?.length]).toEqual([filter, 200, count]);
  }
  const [left] = await run('select input from bulk_operation where id = $1', [done.id]);
  expect(left.input).toEqual({ selection: { filter: NOBODY }, note: '[erased]' });
});
