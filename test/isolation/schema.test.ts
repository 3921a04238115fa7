import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase } from '#test/harness.ts';

/** Tables that belong to no workspace. A table that is in neither kind fails the test. */
const GLOBAL = [
  'app_user',
  'email_verification',
  'event_consumer',
  'event_set_aside',
  'inbound_event',
  'installation',
  'license',
  'mikro_orm_migrations',
  'model_override',
  'outbox_head',
  'outgoing_mail',
  'password_reset',
  'payment_sweep',
  'recovery_code',
  'session',
  'setting',
  'topup_code',
  'user_setting',
];
/** Unique keys that do not begin with the workspace, each with its reason. */
const UNIQUE_ACROSS = [
  // Two workspaces that a payment provider took for one customer would pay for each other.
  'billing_customer_of_one',
];
/** Functions that run with their owner's rights: the only way to write the audit log, and to part tables by month. */
const DEFINERS = ['audit_anchor', 'audit_append', 'partition_drop', 'partition_make'];
/** Functions that take on the system's role: what writes for jobs of several workspaces together, each row beside its own. */
const AS_SYSTEM = ['job_accept', 'job_finish'];

let database: Awaited<ReturnType<typeof createTestDatabase>>;
let client: Client;
beforeAll(async () => {
  database = await createTestDatabase();
  client = new Client({ connectionString: database.url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

const rows = async (sql: string): Promise<Record<string, unknown>[]> => (await client.query(sql)).rows;
const names = async (sql: string): Promise<unknown[]> => (await rows(sql)).map(({ name }) => name);

const TENANT = `select c.oid, c.relname as name, c.relrowsecurity, c.relforcerowsecurity,
    case when c.relname = 'workspace' then 'id' else 'workspace_id' end as key
  from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    and (c.relname = 'workspace' or (c.relname <> 'session' and exists (
      select from pg_attribute a where a.attrelid = c.oid and a.attname = 'workspace_id' and not a.attisdropped)))`;

describe('the schema', () => {
  it('has every table in one of two kinds', async () => {
    const tenant = await names(TENANT);
    const all = await names(`select relname as name from pg_class where relnamespace = 'public'::regnamespace
      and relkind in ('r', 'p') and not relispartition`);
    expect(tenant.length).toBeGreaterThanOrEqual(9);
    expect(new Set(all)).toEqual(new Set([...tenant, ...GLOBAL]));
  });

  it('walls in every table of a workspace, for its owner too', async () => {
    expect(await names(`select name from (${TENANT}) t where not relrowsecurity or not relforcerowsecurity`)).toEqual(
      [],
    );
    const wall = `p.polname = 'workspace' and p.polcmd = '*' and p.polroles = '{0}'
      and pg_get_expr(p.polqual, p.polrelid) = format('(%I = ( SELECT current_workspace() AS current_workspace))', t.key)
      and pg_get_expr(p.polwithcheck, p.polrelid) = pg_get_expr(p.polqual, p.polrelid)`;
    expect(
      await names(
        `select name from (${TENANT}) t where not exists (select from pg_policy p where p.polrelid = t.oid and ${wall})`,
      ),
    ).toEqual([]);
    const others = await rows(`select t.name, p.polname from (${TENANT}) t join pg_policy p on p.polrelid = t.oid
      where p.polname not in ('workspace', 'system') order by 1`);
    expect(others).toEqual([
      { name: 'member', polname: 'own_memberships' },
      { name: 'workspace', polname: 'own_workspaces' },
    ]);
    const system = await names(`select t.name from (${TENANT}) t join pg_policy p on p.polrelid = t.oid
      where p.polname = 'system' and p.polroles <> array['wh_system'::regrole::oid]`);
    expect(system).toEqual([]);
  });

  it("lets nobody ask a partition by its own name, which would be outside its table's wall", async () => {
    const parts = `from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relispartition`;
    expect((await names(`select relname as name ${parts}`)).length).toBeGreaterThanOrEqual(4);
    const open = `exists (select from unnest(array['wh_app', 'wh_system']) r, unnest(array['select', 'insert', 'update', 'delete']) p
      where has_table_privilege(r, c.oid, p))`;
    expect(await names(`select relname as name ${parts} and ${open}`)).toEqual([]);
  });

  it('leads every index and key of such a table with the workspace where it matters', async () => {
    const led = `select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
      where i.indrelid = t.oid and a.attname = t.key`;
    expect(await names(`select name from (${TENANT}) t where not exists (${led})`)).toEqual([]);
    const unique = `select c.relname as name from (${TENANT}) t join pg_index i on i.indrelid = t.oid join pg_class c on c.oid = i.indexrelid
      join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] where i.indisunique and a.attname <> t.key`;
    expect(await names(unique)).toEqual(UNIQUE_ACROSS);
  });

  it('links rows of workspaces only within one', async () => {
    const loose = `select c.conname as name from pg_constraint c
      join (${TENANT}) t on t.oid = c.conrelid join (${TENANT}) r on r.oid = c.confrelid
      where c.contype = 'f' and not exists (
        select from unnest(c.conkey, c.confkey) as k (own, other)
        join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.own and a.attname = t.key
        join pg_attribute b on b.attrelid = c.confrelid and b.attnum = k.other and b.attname = r.key)`;
    expect(await names(loose)).toEqual([]);
  });

  it('gives the roles of processes nothing of their own and nothing beyond rows', async () => {
    const roles = `('wh_app', 'wh_system')`;
    const mighty = `select rolname as name from pg_roles where rolname in ${roles}
      and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolcanlogin or rolinherit)`;
    expect(await names(mighty)).toEqual([]);
    expect(
      await names(
        `select relname as name from pg_class where relowner in (select oid from pg_roles where rolname in ${roles})`,
      ),
    ).toEqual([]);
    const truncates = `select table_name as name from information_schema.table_privileges
      where grantee in ${roles} and privilege_type in ('TRUNCATE', 'TRIGGER', 'REFERENCES')`;
    expect(await names(truncates)).toEqual([]);
    const definers = `select proname as name from pg_proc where pronamespace = 'public'::regnamespace and prosecdef order by 1`;
    expect(await names(definers)).toEqual(DEFINERS);
    const others = `select proname as name from pg_proc where pronamespace = 'public'::regnamespace
      and (proconfig::text ~ 'role=|authorization=' or prosrc ~* 'set_config\\(''(role|session_authorization)''|set (local |session )?role (to|=)') order by 1`;
    expect(await names(others)).toEqual(AS_SYSTEM);
    expect(await names(`select viewname as name from pg_views where schemaname = 'public'`)).toEqual([]);
  });
});

const A = '00000000-0000-7000-8000-00000000000a';
const B = '00000000-0000-7000-8000-00000000000b';

/** What one workspace can do to another's rows of a table, as the application's role; empty when the wall stands. */
async function breaches(table: string, key: string, oid: number): Promise<string[]> {
  const found: string[] = [];
  const attempt = async (what: string, sql: string, isBreach: (count: number) => boolean): Promise<void> => {
    await client.query('savepoint attempt');
    const result = await client.query(sql).catch((error: Error & { code?: string }) => error);
    await client.query('rollback to attempt');
    if (result instanceof Error) {
      // 42501: the wall, or a right the role does not have. Anything else would make the attempt worth nothing.
      const code = 'code' in result ? result.code : undefined;
      // A row that only a key or a check holds up has got past the wall.
      if (what === 'plants' && code?.startsWith('23')) found.push(what);
      else if (code !== '42501') throw result;
    } else if (isBreach(result.rowCount ?? 0)) found.push(what);
  };
  const scoped = (workspace: string) => client.query(`select set_config('app.workspace_id', $1, true)`, [workspace]);
  const planted = await insertFor(oid, table, key, B);
  await client.query('set local role wh_app');
  await scoped(A);
  const theirs = `${key} = '${B}'`;
  await attempt('reads', `select from ${table} where ${theirs}`, (count) => count > 0);
  await attempt('updates', `update ${table} set ${key} = ${key} where ${theirs}`, (count) => count > 0);
  await attempt('deletes', `delete from ${table} where ${theirs}`, (count) => count > 0);
  await attempt('plants', planted, (count) => count > 0);
  await scoped('');
  await attempt('reads without a workspace', `select from ${table}`, (count) => count > 0);
  await client.query('set local role wh_system');
  await attempt('does not see as the system', `select from ${table}`, (count) => count < 2);
  await client.query('reset role');
  return found;
}

/** Made once: it is the same for every transaction, and asking the catalogue is the dearest part. */
let fill: string | undefined;

async function fillWorlds(): Promise<string> {
  const tables = await rows(TENANT.replace('c.oid, c.relname', 'c.oid::int as oid, c.relname'));
  const inserts: string[] = [];
  for (const id of [A, B])
    for (const { name, oid, key } of tables) inserts.push(await insertFor(Number(oid), String(name), String(key), id));
  return inserts.join(';');
}

/** Two workspaces with a row of everything, in a transaction that is rolled back. */
async function inTwoWorlds<Result>(work: () => Promise<Result>): Promise<Result> {
  await client.query('begin');
  try {
    // Neither foreign keys nor triggers may stand in for the wall.
    await client.query(`set local session_replication_role = replica`);
    await client.query((fill ??= await fillWorlds()));
    return await work();
  } finally {
    await client.query('rollback');
  }
}

/** A row that fits its columns' types and checks well enough, for any table. */
async function insertFor(oid: number, table: string, key: string, workspaceId: string): Promise<string> {
  const columns = await rows(`select a.attname as name, format_type(a.atttypid, null) as type,
      (select substring(pg_get_constraintdef(c.oid) from '''([a-z_]+)''::text') from pg_constraint c
        where c.conrelid = a.attrelid and c.contype = 'c' and c.conkey = array[a.attnum] and pg_get_constraintdef(c.oid) like '%ANY%') as allowed
    from pg_attribute a where a.attrelid = ${oid} and a.attnum > 0 and a.attnotnull and not a.atthasdef and not a.attisdropped`);
  const valueOf = ({ name, type, allowed }: Record<string, unknown>): string => {
    if (name === key) return `'${workspaceId}'`;
    // One of those that are unique across workspaces.
    if (table === 'billing_customer' && name === 'provider_ref') return 'gen_random_uuid()';
    if (typeof allowed === 'string') return `'${allowed}'`;
    if (type === 'uuid') return 'gen_random_uuid()';
    if (type === 'bytea') return `decode(repeat('00', 32), 'hex')`;
    if (type === 'json' || type === 'jsonb') return `'{}'`;
    if (type === 'boolean') return 'true';
    if (String(type).endsWith('[]')) return `'{}'`;
    if (/^(smallint|integer|bigint)$/.test(String(type))) return '1';
    if (String(type).startsWith('timestamp') || type === 'date') return 'now()';
    return `'x'`;
  };
  const extra =
    table === 'workspace_setting'
      ? { names: ', value', values: `, '1'` }
      : table === 'workspace_key'
        ? { names: ', wrapped', values: `, '\\x00'` }
        : { names: '', values: '' };
  const list = columns.map(({ name }) => String(name)).join(', ');
  return `insert into ${table} (${list}${extra.names}) values (${columns.map(valueOf).join(', ')}${extra.values})`;
}

describe('the wall', () => {
  it('stands around every table, and the loss of any one policy is found', async () => {
    const tables = await rows(`select name, key, oid::int as oid from (${TENANT}) t order by 1`);
    const found = await inTwoWorlds(async () => {
      const standing: Record<string, string[]> = {};
      for (const { name, key, oid } of tables) {
        standing[String(name)] = await breaches(String(name), String(key), Number(oid));
      }
      return standing;
    });
    expect(Object.values(found).flat()).toEqual([]);

    let mutations = 0;
    for (const { name, key, oid } of tables) {
      const table = String(name);
      for (const [mutation, sql] of [
        [
          'the wall gone',
          `drop policy workspace on ${table}; create policy workspace on ${table} using (true) with check (true)`,
        ],
        [
          'no check of what is written',
          `drop policy workspace on ${table}; create policy workspace on ${table}
          using (${String(key)} = (select current_workspace())) with check (true)`,
        ],
        ['nobody in', `drop policy workspace on ${table}`],
        ['the system locked out', `drop policy system on ${table}`],
        ['security off', `alter table ${table} disable row level security`],
      ] as const) {
        // A table whose rows the role may not write at all loses nothing with the check of what is written.
        if (mutation === 'no check of what is written' && (await isReadOnly(table))) continue;
        mutations += 1;
        const seen = await inTwoWorlds(async () => {
          await client.query(sql);
          const broken = await breaches(table, String(key), Number(oid));
          if (mutation === 'nobody in' && (await ownRows(table, String(key))) === 0) broken.push('hides its own');
          return broken;
        });
        expect(`${table}, ${mutation}: ${seen.length > 0}`).toBe(`${table}, ${mutation}: true`);
      }
    }
    process.stdout.write(`Policies: ${tables.length} tables, ${mutations} mutations, all found\n`);
  });
});

async function ownRows(table: string, key: string): Promise<number> {
  await client.query('set local role wh_app');
  await client.query(`select set_config('app.workspace_id', $1, true)`, [A]);
  const { rowCount } = await client.query(`select from ${table} where ${key} = '${A}'`);
  await client.query('reset role');
  return rowCount ?? 0;
}

async function isReadOnly(table: string): Promise<boolean> {
  return (await rows(`select has_table_privilege('wh_app', '${table}', 'insert') as may`))[0]?.['may'] === false;
}
