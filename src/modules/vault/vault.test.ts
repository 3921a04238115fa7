import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { aUser } from '../../../test/factories.ts';
import { openTestApp, type TestApp } from '../../../test/harness.ts';
import { onServer } from '../../../test/harness.ts';
import { tenantTable } from '#src/db/tenant-table.ts';
import { queryAs } from '#src/db/tenant.ts';
import { destroyClosed, findWrappedInOld } from '#src/modules/vault/keys.query.ts';
import { countOld } from '#src/modules/vault/rotation.query.ts';
import { rotateStep } from '#src/modules/vault/rotation.ts';
import { createVault, readKeks } from '#src/modules/vault/vault.ts';

const COLUMN = { table: 'scratch', column: 'sealed', id: 'id' };

let test: TestApp;
let workspaceId: string;
beforeAll(async () => {
  test = await openTestApp();
  // The test's own login owns the database.
  await onServer(test.config.DATABASE_URL, async (client) => {
    await client.query(
      'create table scratch (workspace_id uuid, id text, sealed bytea, primary key (workspace_id, id))',
    );
    for (const sql of tenantTable('scratch')) await client.query(sql);
  });
});
afterAll(() => test.close());
beforeEach(async () => {
  workspaceId = (await aUser(test.rt)).workspace.id;
});

const placeOf = (rowId: string, of = workspaceId) => ({ table: 'scratch', column: 'sealed', workspaceId: of, rowId });
const write = async (rowId: string, text: string) => {
  const sealed = await test.rt.vault.seal(placeOf(rowId), text);
  const values = [workspaceId, rowId, sealed];
  const text_ =
    'insert into scratch values ($1, $2, $3) on conflict (workspace_id, id) do update set sealed = excluded.sealed';
  await queryAs(test.rt.pool, { workspaceId }, { text: text_, values });
};
const readAll = async (vault = test.rt.vault) => {
  const text = 'select id, sealed from scratch where workspace_id = $1 order by id';
  const { rows } = await queryAs<{ id: string; sealed: Buffer }>(
    test.rt.pool,
    { workspaceId },
    { text, values: [workspaceId] },
  );
  return Promise.all(rows.map(async ({ id, sealed }) => [id, await vault.open(placeOf(id), sealed)] as const));
};
const needs = () => ({
  systemPool: test.rt.systemPool,
  vault: test.rt.vault,
  keks: readKeks(test.config),
  log: test.rt.log,
});
const finish = async (all = needs()) => {
  while ((await rotateStep(all, [COLUMN])) > 0);
};

describe('the vault', () => {
  it('makes one key for a workspace, also when many need it first, and none opens another workspace', async () => {
    const vaults = Array.from({ length: 8 }, () => createVault(test.rt.pool, test.config));
    const sealed = await Promise.all(vaults.map((vault, at) => vault.seal(placeOf(`r${at}`), `text ${at}`)));
    for (const [at, bytes] of sealed.entries()) {
      expect(await test.rt.vault.open(placeOf(`r${at}`), bytes)).toBe(`text ${at}`);
    }
    const other = (await aUser(test.rt)).workspace.id;
    await test.rt.vault.seal(placeOf('r0', other), 'x');
    await expect(test.rt.vault.open(placeOf('r0', other), sealed[0] ?? Buffer.alloc(0))).rejects.toThrow();
    const column = { table: 'contact', column: 'phone' };
    const [own, theirs] = await Promise.all(
      [workspaceId, other].map((id) => test.rt.vault.index(id, column, 'phone', '+5511987654321')),
    );
    expect(own?.equals(theirs ?? Buffer.alloc(0))).toBe(false);
  });

  it('leaves no clear text, and keeps look-ups, when the key changes', async () => {
    const column = { table: 'contact', column: 'email' };
    const before = await test.rt.vault.index(workspaceId, column, 'email', 'ana@example.com');
    for (let at = 0; at < 20; at += 1) await write(`r${at}`, `CANARIO-${at}`);
    expect(await test.rt.vault.rotate(workspaceId)).toBe(2);
    expect(await countOld(test.rt.systemPool, COLUMN)).toBe(20);
    expect((await readAll())[0]).toEqual(['r0', 'CANARIO-0']);
    await finish();
    expect(await countOld(test.rt.systemPool, COLUMN)).toBe(0);
    expect(new Map(await readAll()).get('r19')).toBe('CANARIO-19');
    expect((await test.rt.vault.index(workspaceId, column, 'email', ' ANA@example.com')).equals(before)).toBe(true);
    const dump = await test.rt.systemPool.query(`select s::text, encode(sealed, 'escape') from scratch s`);
    expect(JSON.stringify(dump.rows)).not.toContain('CANARIO');
  });

  it('loses no write that comes while it seals anew, and goes on where a killed process stopped', async () => {
    for (let at = 0; at < 40; at += 1) await write(`r${at}`, 'old');
    await test.rt.vault.rotate(workspaceId);
    const writing = (async () => {
      for (let at = 0; at < 40; at += 2) await write(`r${at}`, `new ${at}`);
    })();
    // A process that ends after some rows is one whose step did not get to the others.
    await Promise.all([finish(), finish(), writing]);
    await finish();
    expect(await countOld(test.rt.systemPool, COLUMN)).toBe(0);
    for (const [id, text] of await readAll()) {
      const at = Number(id.slice(1));
      expect(`${id} ${text}`).toBe(`${id} ${at % 2 === 0 ? `new ${at}` : 'old'}`);
    }
  });

  it('goes over to another key of the installation, after which the first is not needed', async () => {
    await write('r1', 'segredo');
    const fresh = { id: 'k2', secretBase64: randomBytes(32).toString('base64') };
    const config = { ...test.config, ENCRYPTION_KEYS: [fresh] };
    const both = createVault(test.rt.pool, config);
    expect(await readAll(both)).toEqual([['r1', 'segredo']]);
    const keks = readKeks(config);
    while ((await rotateStep({ ...needs(), vault: both, keks }, [])) > 0);
    expect(await findWrappedInOld(test.rt.systemPool, 'k2', 10)).toEqual([]);
    const alone = createVault(test.rt.pool, { ...config, APP_SECRET: randomBytes(32).toString('base64') });
    expect(await readAll(alone)).toEqual([['r1', 'segredo']]);
    // Back, for the other tests.
    while ((await rotateStep({ ...needs(), vault: both, keks: { ...keks, currentId: 'app' } }, [])) > 0);
  });

  it('opens nothing any more, and seals nothing, once a workspace is closed', async () => {
    const user = await aUser(test.rt);
    const place = placeOf('r1', user.workspace.id);
    const sealed = await test.rt.vault.seal(place, 'segredo');
    const gone = await test.app.inject({
      method: 'DELETE',
      url: `/api/workspaces/${user.workspace.id}`,
      headers: user.headers,
    });
    expect(gone.statusCode).toBe(200);
    for (const vault of [test.rt.vault, createVault(test.rt.pool, test.config)]) {
      await expect(vault.open(place, sealed)).rejects.toMatchObject({ status: 410, code: 'erased' });
      await expect(vault.seal(place, 'x')).rejects.toMatchObject({ status: 410 });
    }
    const { rows } = await test.rt.systemPool.query('select wrapped from workspace_key where workspace_id = $1', [
      user.workspace.id,
    ]);
    expect(rows.every((row) => row.wrapped === null)).toBe(true);
    const empty = await aUser(test.rt);
    await test.rt.vault.destroy(empty.workspace.id);
    await expect(test.rt.vault.seal(placeOf('r', empty.workspace.id), 'x')).rejects.toMatchObject({ status: 410 });
  });

  it('nor of one that a process died over behind its closing, and leaves others alone', async () => {
    const [keyed, empty, other] = [await aUser(test.rt), await aUser(test.rt), await aUser(test.rt)];
    const [place, theirs] = [placeOf('r1', keyed.workspace.id), placeOf('r1', other.workspace.id)];
    const [sealed, kept] = [await test.rt.vault.seal(place, 'segredo'), await test.rt.vault.seal(theirs, 'fica')];
    await test.rt.vault.rotate(keyed.workspace.id);
    await test.rt.systemPool.query('update workspace set deleted_at = now() where id = any($1)', [
      [keyed.workspace.id, empty.workspace.id],
    ]);
    await Promise.all([destroyClosed(test.rt.systemPool), destroyClosed(test.rt.systemPool)]);
    const vault = createVault(test.rt.pool, test.config);
    await expect(vault.open(place, sealed)).rejects.toMatchObject({ status: 410, code: 'erased' });
    await expect(vault.seal(placeOf('r', empty.workspace.id), 'x')).rejects.toMatchObject({ status: 410 });
    expect(await vault.open(theirs, kept)).toBe('fica');
    expect(await destroyClosed(test.rt.systemPool)).toBe(0);
  });
});
