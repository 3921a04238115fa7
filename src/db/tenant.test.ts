import { Client, Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { asRole, inWorkspaceTx, queryAs } from '#src/db/tenant.ts';
import { newId } from '#src/lib/ids.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

let test: TestRuntime;
let ana: TestUser;
let bia: TestUser;
/** One connection, so that what one statement leaves behind is there for the next. */
let pool: Pool;
beforeAll(async () => {
  test = await openTestRuntime();
  [ana, bia] = [await aUser(test.rt), await aUser(test.rt)];
});
afterAll(() => test.close());
beforeEach(() => {
  pool = new Pool({
    connectionString: test.config.DATABASE_URL,
    max: 1,
    options: asRole('wh_app'),
    pipeline: true,
  });
  return () => pool.end();
});

const NAMES = { text: 'select name from workspace' };
const SETTINGS = {
  text: `select coalesce(current_setting('app.workspace_id', true), '') as w, coalesce(current_setting('app.user_id', true), '') as u`,
};
const EMPTY = [{ w: '', u: '' }];
const ofAna = () => ({ workspaceId: ana.workspace.id });

it('shows one workspace, and leaves nothing behind for who comes next on the connection', async () => {
  expect((await queryAs(pool, ofAna(), NAMES)).rows).toHaveLength(1);
  expect((await pool.query(NAMES)).rows).toEqual([]);
  expect((await pool.query(SETTINGS)).rows).toEqual(EMPTY);
  expect((await queryAs(pool, { userId: ana.auth.userId }, SETTINGS)).rows).toEqual([{ w: '', u: ana.auth.userId }]);
  expect((await queryAs(pool, {}, NAMES)).rows).toEqual([]);
  expect((await pool.query(SETTINGS)).rows).toEqual(EMPTY);
});

it('leaves nothing behind a statement that fails, at whatever point', async () => {
  const failing = [
    { text: 'select nonsense' },
    { text: 'select 1 / (1 - $1::int)', values: [1] },
    { name: 'twice', text: `insert into job (workspace_id, id) values ($1, $1)`, values: [bia.workspace.id] },
    { text: 'select 1; select 2' },
    { text: 'select $1::int', values: ['no number'] },
  ];
  for (const statement of failing) {
    await expect(queryAs(pool, ofAna(), statement)).rejects.toMatchObject({ severity: 'ERROR' });
    expect((await pool.query(SETTINGS)).rows).toEqual(EMPTY);
    expect((await queryAs(pool, ofAna(), NAMES)).rows).toHaveLength(1);
  }
  expect(pool.totalCount).toBe(1);
});

it('keeps what a statement wrote, or nothing of it, also when the end of the transaction is what fails', async () => {
  const owner = new Client({ connectionString: test.config.DATABASE_URL });
  await owner.connect();
  await owner.query('create table late (id int unique deferrable initially deferred)');
  await owner.query('grant all on late to wh_app');
  const add = (...ids: number[]) =>
    queryAs(pool, ofAna(), { text: `insert into late values ${ids.map((id) => `(${id})`).join()}` });
  expect(await add(1)).toMatchObject({ rowCount: 1, command: 'INSERT' });
  await expect(add(2, 2)).rejects.toMatchObject({ code: '23505' });
  expect((await owner.query('select id from late')).rows).toEqual([{ id: 1 }]);
  expect((await pool.query(SETTINGS)).rows).toEqual(EMPTY);
  await owner.end();
});

it('answers nothing when the scope cannot be set, and gives that connection up', async () => {
  expect((await queryAs(pool, ofAna(), NAMES)).rows).toHaveLength(1);
  await pool.query('deallocate all');
  await expect(queryAs(pool, ofAna(), NAMES)).rejects.toMatchObject({ code: '26000' });
  expect((await queryAs(pool, ofAna(), NAMES)).rows).toHaveLength(1);
});

it('gives each of many callers at once the rows of their own', async () => {
  const callers = Array.from({ length: 300 }, (_, at) => [ana, bia, undefined][at % 3]);
  const statement = { name: 'own', text: 'select id from workspace' };
  const seen = await Promise.all(
    callers.map((caller) => queryAs<{ id: string }>(pool, { workspaceId: caller?.workspace.id ?? newId() }, statement)),
  );
  expect(seen.map(({ rows }) => rows.map(({ id }) => id))).toEqual(
    callers.map((caller) => (caller ? [caller.workspace.id] : [])),
  );
});

it('takes nothing but ids', async () => {
  for (const workspaceId of ["' or true --", '', `${newId()}'`])
    await expect(queryAs(pool, { workspaceId }, NAMES)).rejects.toThrow('A scope takes UUIDs');
  expect(pool.totalCount).toBe(0);
});

it('does work again that Postgres ended because it and another waited for each other', async () => {
  const met = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let done = 0;
  const lockBoth = (own: number, others: number) =>
    inWorkspaceTx(test.rt.orm, ofAna(), async (em) => {
      await em.execute('select pg_advisory_xact_lock(?::bigint)', [own]);
      met[own]?.resolve();
      await met[others]?.promise;
      await em.execute('select pg_advisory_xact_lock(?::bigint)', [others]);
      done += 1;
    });
  await Promise.all([lockBoth(0, 1), lockBoth(1, 0)]);
  expect(done).toBe(2);
});

it('does again what Postgres ended because two waited for each other', async () => {
  const hasOne = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let runs = 0;
  const work = (at: 0 | 1) =>
    inWorkspaceTx(test.rt.orm, {}, async (em) => {
      runs += 1;
      await em.execute(`select pg_advisory_xact_lock(${at})`);
      hasOne[at]?.resolve();
      await hasOne[1 - at]?.promise;
      await em.execute(`select pg_advisory_xact_lock(${1 - at})`);
      return at;
    });
  expect(await Promise.all([work(0), work(1)])).toEqual([0, 1]);
  expect(runs).toBe(3);
});
