import type { EntityManager } from '@mikro-orm/postgresql';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { cleanFilters, SEGMENT_FILTERS } from '#src/modules/privacy/clean-filter.query.ts';
import { emptyImportRows } from '#src/modules/privacy/erase-imports.query.ts';
import type { Erased } from '#src/modules/privacy/erase.query.ts';
import { readSubject, type Subject } from '#src/modules/privacy/person.query.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

const NAME = 'Ermínia Quaresma';
let test: TestRuntime;
let ana: TestUser;
let contactId: string;
beforeAll(async () => {
  test = await openTestRuntime();
  ana = await aUser(test.rt);
  [{ id: contactId }] = await run(
    'insert into contact (workspace_id, id, name) values ($1, uuidv7(), $2) returning id',
    [ana.workspace.id, NAME],
  );
});
afterAll(() => test.close());

const run = async (sql: string, values: unknown[]) => (await test.rt.systemPool.query(sql, values)).rows;

/** What each step of a store came to, until it is through. */
async function stepsOf(step: (em: EntityManager, subject: Subject, place: string | null) => Promise<Erased>) {
  const counts: number[] = [];
  for (let place: string | null = null; ;) {
    const from: string | null = place;
    const done: Erased = await inWorkspaceTx(test.rt.orm, ana.auth, async (em) =>
      step(em, await readSubject(em, contactId), from),
    );
    counts.push(done.count);
    if (done.place === null) return counts;
    place = done.place;
  }
}

it('filters are taken apart a few megabytes at a time', async () => {
  const value = Array.from({ length: 200 }, (_, at) => String(at).padEnd(110, 'x'));
  const node = { field: 'name', op: 'in', value };
  const filter = { or: [{ field: 'name', op: 'eq', value: NAME }, ...Array.from({ length: 50 }, () => node)] };
  const made = Array.from({ length: 5 }, (_, at) => `Lista ${at}`);
  await run(
    `insert into segment (workspace_id, id, name, filter, created_at, updated_at)
      select $1, uuidv7(), name, $3::json, now(), now() from unnest($2::text[]) name`,
    [ana.workspace.id, made, JSON.stringify(filter)],
  );
  expect(await stepsOf((em, subject, place) => cleanFilters(em, subject, SEGMENT_FILTERS, place))).toEqual([4, 1]);
  const left = await run('select id from segment where workspace_id = $1 and filter::text ~ $2', [
    ana.workspace.id,
    NAME,
  ]);
  expect(left).toEqual([]);
});

it('the rows of imports are gone through in batches, also of one file', async () => {
  const [{ id }] = await run(
    `insert into contact_import (workspace_id, id, user_id, file_name, preview) values ($1, uuidv7(), $2, 'x.csv', '[]') returning id`,
    [ana.workspace.id, ana.user.id],
  );
  await run(
    `insert into import_row (workspace_id, import_id, row_no, status, reason, cells)
      select $1, $2, n, 'invalid', 'x', case when n % 1500 = 0 then $3::json else '["Outra"]'::json end from generate_series(1, 4500) n`,
    [ana.workspace.id, id, JSON.stringify([NAME])],
  );
  expect(await stepsOf(emptyImportRows)).toEqual([1, 1, 1]);
  const rows = await run('select count(*)::int as n, count(cells)::int as kept from import_row where import_id = $1', [
    id,
  ]);
  expect(rows).toEqual([{ n: 4500, kept: 4497 }]);
});
