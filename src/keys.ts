import { ConfigError, readConfig } from '#src/config.ts';
import { openPool } from '#src/db/pool.ts';
import { isUuid } from '#src/lib/ids.ts';
import { createLog } from '#src/lib/log.ts';
import { anchorAll } from '#src/modules/audit/anchor-all.ts';
import { findKeyed, findWrappedInOld } from '#src/modules/vault/keys.query.ts';
import { countOld } from '#src/modules/vault/rotation.query.ts';
import { SEALED_COLUMNS } from '#src/modules/vault/sealed-columns.ts';
import { createVault, readKeks } from '#src/modules/vault/vault.ts';

const USAGE = `npm run keys -- status                what is still under an old key
npm run keys -- rotate [workspace]    gives the workspace, or all, a new key; the control process then seals everything anew
npm run keys -- anchor                vouches for all audit logs as they are now: once after the update that brought this, and after a new APP_SECRET`;

const print = (text: string) => void process.stdout.write(`${text}\n`);

async function main([command, workspaceId, ...others]: string[]): Promise<number> {
  const isKnown =
    command === 'status'
      ? workspaceId === undefined
      : command === 'anchor'
        ? workspaceId === undefined
        : command === 'rotate' && isUuid(workspaceId ?? crypto.randomUUID());
  if (!isKnown || others.length > 0) {
    print(USAGE);
    return 2;
  }
  const config = readConfig();
  const pool = openPool(config, { name: 'keys', role: 'wh_system', max: 2 }, createLog('warn', 'keys'));
  try {
    if (command === 'anchor') return (await anchorAll(pool, config, print)) ? 0 : 1;
    if (command === 'rotate') {
      const vault = createVault(pool, config);
      const ids = workspaceId === undefined ? await findKeyed(pool) : [workspaceId];
      for (const id of ids) print(`${id}: version ${await vault.rotate(id)}`);
    }
    for (const column of SEALED_COLUMNS)
      print(`${column.table}.${column.column}: ${await countOld(pool, column)} under an old key`);
    const { currentId } = readKeks(config);
    const wrapped = await findWrappedInOld(pool, currentId, 1_000_000);
    print(`workspace keys: ${wrapped.length} wrapped in another key than "${currentId}"`);
    return 0;
  } finally {
    await pool.end();
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof ConfigError ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
