import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '#src/config.ts';
import { seed } from '#src/seed.ts';
import { migrateDown, migrateUp, schemaProblems } from '#src/migrate.ts';
import { onServer, withDatabase } from '../test/harness.ts';
import { INHERITED } from '../test/inherited.ts';

const SERVER = process.env['DATABASE_URL'] ?? '';
const name = `wh_test_${randomBytes(6).toString('hex')}`;
const url = withDatabase(SERVER, name);
const run = promisify(execFile);

beforeAll(() => onServer(SERVER, (client) => client.query(`create database ${name}`)));
afterAll(() => onServer(SERVER, (client) => client.query(`drop database ${name} with (force)`)));

const query = (sql: string) => onServer(url, async (client: Client) => (await client.query(sql)).rows);
const env = (over: Record<string, string>) => ({
  ...INHERITED,
  DATABASE_URL: url,
  REDIS_URL: process.env['REDIS_URL'],
  APP_SECRET: randomBytes(32).toString('base64'),
  OPS_PASSWORD: 'only-for-tests',
  ...over,
});
const migrate = (args: string[], over: Record<string, string> = {}) =>
  run(process.execPath, [`${import.meta.dirname}/migrate.ts`, ...args], { env: env(over) });

const onOwn = (sql: string[]) =>
  onServer(SERVER, async (client) => {
    for (const statement of sql) await client.query(statement);
  });

describe('migrations', () => {
  it('are applied once when several processes start together', async () => {
    expect((await schemaProblems(url))[0]).toMatch(/^pending: /);
    const runs = await Promise.all([migrateUp(url), migrateUp(url), migrateUp(url)]);
    expect(runs.filter((names) => names.length > 0)).toHaveLength(1);
    expect(await migrateUp(url)).toEqual([]);
    expect(await schemaProblems(url)).toEqual([]);
  });

  it('can be taken back to nothing and applied again', async () => {
    const [newest] = await migrateDown(url);
    expect(await migrateDown(url, 0)).not.toContain(newest);
    expect(await migrateDown(url)).toEqual([]);
    const left = await query(`select tablename from pg_tables where schemaname = 'public'`);
    expect(left).toEqual([{ tablename: 'mikro_orm_migrations' }]);
    await migrateUp(url);
    expect(await schemaProblems(url)).toEqual([]);
  });

  it('have an index for every foreign key', async () => {
    const missing = await query(`
      select conrelid::regclass::text as "table", conname from pg_constraint c
       where contype = 'f' and not exists (
         select 1 from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1])`);
    expect(missing).toEqual([]);
  });

  it('are checked against the entities: a change by hand is found, a table without an entity is left alone', async () => {
    await query('create table nobody_knows (id int)');
    expect(await schemaProblems(url)).toEqual([]);
    await query('alter table member drop constraint member_role_check; alter table app_user alter name drop not null');
    const problems = (await schemaProblems(url)).join('\n');
    expect(problems).toContain('member_role_check');
    expect(problems).toContain('"name" set not null');
    await expect(migrate(['check'])).rejects.toMatchObject({ code: 1, stdout: expect.stringContaining('disagree') });
    await query(`alter table member add constraint member_role_check check (role in ('owner', 'admin', 'member', 'viewer'));
                 alter table app_user alter name set not null; drop table nobody_knows`);
    await expect(migrate(['check'])).resolves.toMatchObject({ stdout: expect.stringContaining('entities say') });
  });
});

const demo = (password: string) => ({ DEMO_EMAIL: 'Demo@Example.com', DEMO_PASSWORD: password });
/** In a process of its own, as `npm start` does it. */
const seedApart = async (password: string) => {
  const { stdout } = await migrate(['up', '--seed'], demo(password));
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
};
const seedHere = (password: string, wantsKey = false, more: Record<string, string> = {}) =>
  seed(readConfig(env({ ...demo(password), ...more })), wantsKey);

const openKeys = () => query('select id from api_key where revoked_at is null');
const seedKey = async (kept = ''): Promise<string> =>
  (await seedHere('other-password', true, kept === '' ? {} : { DEMO_API_KEY: kept })).apiKey ?? '';

describe('--seed', () => {
  it('makes the demo account once, also when two seed at once, and follows a changed password', async () => {
    const [first, second] = await Promise.all([seedApart('first-password'), seedApart('first-password')]);
    expect(first).toEqual({ email: 'demo@example.com', workspaceId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    expect(second).toEqual(first);
    const hash = () => query('select password_hash from app_user');
    const before = await hash();
    expect(before).toHaveLength(1);
    expect(await seedHere('first-password')).toEqual(first);
    expect(await hash()).toEqual(before);
    expect(await seedHere('other-password')).toEqual(first);
    expect(await hash()).not.toEqual(before);
    expect(await query('select name, plan from workspace')).toEqual([{ name: 'Loja Demo', plan: 'enterprise' }]);
    expect(await query('select status from license')).toEqual([{ status: 'active' }]);
  });

  it('gives an API key when asked for: the kept one while it works, else a new one, never two that work', async () => {
    const first = await seedKey();
    expect(first).toMatch(/^wh_live_/);
    const [made] = await openKeys();
    expect(await seedKey(first)).toBe(first);
    expect(await openKeys()).toEqual([made]);
    expect(await seedKey(`${first}x`)).not.toBe(first);
    expect(await openKeys()).toHaveLength(1);
    expect(await seedKey(first)).not.toBe(first);
    expect(await openKeys()).toHaveLength(1);
  });

  it('says what it needs', async () => {
    await expect(migrate(['up', '--seed'])).rejects.toMatchObject({
      code: 1,
      stderr: '--seed needs DEMO_EMAIL and DEMO_PASSWORD.\n',
    });
  });
});

it('explains itself for a command it does not know, and names what is wrong with the environment', async () => {
  await expect(migrate(['sideways'])).rejects.toMatchObject({ code: 2, stdout: expect.stringContaining('usage:') });
  await expect(migrate(['up'], { DATABASE_URL: 'mysql://x' })).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/DATABASE_URL: must look like/),
  });
});

it('works with an owner that is no superuser and a login that owns nothing', async () => {
  const [owner, login] = [`${name}_owner`, `${name}_login`];
  const urlOf = (role: string) => {
    const own = new URL(withDatabase(SERVER, `${name}_owned`));
    own.username = role;
    own.password = 'only-for-tests';
    return own.href;
  };
  await onOwn([
    `create role ${owner} login createrole password 'only-for-tests'`,
    `create role ${login} login password 'only-for-tests'`,
    `create database ${name}_owned owner ${owner}`,
  ]);
  try {
    await migrateUp(urlOf(owner));
    await onOwn([`grant wh_app, wh_system to ${login} with inherit false, set true`]);
    const demo = { DEMO_EMAIL: 'demo@example.com', DEMO_PASSWORD: 'only-for-tests' };
    const { stdout } = await migrate(['up', '--seed'], {
      DATABASE_URL: urlOf(login),
      DATABASE_OWNER_URL: urlOf(owner),
      ...demo,
    });
    expect(stdout).toContain('"email":"demo@example.com"');
    // What is there is changed by migrations with the owner's rights, too.
    const before = '20261127001180-campaigns-of-contact';
    await migrateDown(urlOf(owner), before);
    const marks = await onServer(withDatabase(SERVER, `${name}_owned`), async (client) => {
      const at = { workspace: randomUUID(), contact: randomUUID() };
      await client.query(`insert into workspace (id, name) values ('${at.workspace}', 'Padaria')`);
      await client.query(
        `insert into contact (workspace_id, id, name) values ('${at.workspace}', '${at.contact}', 'Bia')`,
      );
      for (const score of [40, 55])
        await client.query(`insert into lead_score (workspace_id, id, contact_id, score, grade, version, components, recommendation, job_id)
          values ('${at.workspace}', uuidv7(), '${at.contact}', ${score}, 'C', 'rules', '[]', 'Fale.', uuidv7())`);
      await migrateUp(urlOf(owner));
      return (await client.query('select score, is_superseded as "isPast" from lead_score order by id')).rows;
    });
    expect(marks).toEqual([
      { score: 40, isPast: true },
      { score: 55, isPast: false },
    ]);
    const seen = await onServer(urlOf(login), (client) =>
      client.query('select from workspace').catch((error) => error),
    );
    expect(String(seen)).toContain('permission denied');
    // The audit log's own door works with the owner's rights, which row-level security binds too.
    const appended = await onServer(urlOf(login), async (client) => {
      await client.query(`begin; set local role wh_app; set local app.workspace_id = '${randomUUID()}'`);
      const { rows } = await client.query(
        `select audit_append(uuidv7(), 'system', null, 'x', null, null, null, null, null, null, null) as entry`,
      );
      return rows;
    });
    expect(appended).toMatchObject([{ entry: { seq: 1 } }]);
  } finally {
    await onOwn([`drop database ${name}_owned with (force)`, `drop role ${owner}`, `drop role ${login}`]);
  }
});
