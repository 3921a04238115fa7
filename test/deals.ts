import type { Runtime } from '#src/runtime.ts';
import type { TestUser } from '#test/factories.ts';
import { newId } from '#src/lib/ids.ts';

/** A contact of a user's workspace that nobody looks after; its id. */
export async function aContact({ systemPool }: Pick<Runtime, 'systemPool'>, { auth }: TestUser): Promise<string> {
  const id = newId();
  await systemPool.query('insert into contact (workspace_id, id, name) values ($1, $2, $3)', [
    auth.workspaceId,
    id,
    'Bia',
  ]);
  return id;
}
