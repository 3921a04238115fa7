import type { Pool } from 'pg';
import type { Log } from '#src/lib/log.ts';
import { wrapKey } from '#src/lib/envelope.ts';
import { findWrappedInOld, rewrap } from '#src/modules/vault/keys.query.ts';
import { findOld, replaceSealed } from '#src/modules/vault/rotation.query.ts';
import { SEALED_COLUMNS, type SealedColumn } from '#src/modules/vault/sealed-columns.ts';
import { keyName, unwrapRow, type Keks, type Vault } from '#src/modules/vault/vault.ts';

const BATCH = 500;

interface Needs {
  systemPool: Pool;
  vault: Vault;
  keks: Keks;
  log: Log;
}

/**
 * One step of bringing everything under the current keys: up to 500 workspaces' keys wrapped anew and up to 500 values of each column
 * sealed anew. What is left is what the data itself shows as old, so a process that dies in the middle loses nothing and another goes
 * on. A value that was written meanwhile is left alone: it is new.
 * @param columns the list of the platform; tests bring their own
 * @returns what was done; call again while it is more than 0
 */
export async function rotateStep(
  { systemPool, vault, keks, log }: Needs,
  columns: readonly SealedColumn[] = SEALED_COLUMNS,
): Promise<number> {
  let done = 0;
  const kek = keks.byId.get(keks.currentId);
  for (const row of kek ? await findWrappedInOld(systemPool, keks.currentId, BATCH) : []) {
    const { workspace_id: workspaceId, version, wrapped } = row;
    if (!kek || !wrapped) continue;
    const key = unwrapRow(keks, { ...row, wrapped });
    await rewrap(systemPool, row, keks.currentId, wrapKey(kek, keyName(workspaceId, version), key));
    done += 1;
  }
  for (const column of columns) {
    for (const row of await findOld(systemPool, column, BATCH)) {
      const place = { table: column.table, column: column.column, workspaceId: row.workspace_id, rowId: row.id };
      try {
        const fresh = await vault.seal(place, await vault.open(place, row.sealed));
        if (await replaceSealed(systemPool, column, row, fresh)) done += 1;
      } catch (error) {
        // One value that was damaged must not keep the others from their new key.
        log.error(
          { err: error, table: place.table, workspaceId: place.workspaceId },
          'A sealed value could not be opened',
        );
      }
    }
  }
  return done;
}
