import type { EntityManager } from '@mikro-orm/postgresql';

/** Locks the transaction's workspace, so that one at a time changes its subscription. @returns whether it is there and not closed */
export async function findOpenWorkspace(em: EntityManager, id: string): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    'select 1 from workspace where id = ?::uuid and deleted_at is null for no key update',
    [id],
  );
  return rows.length > 0;
}
