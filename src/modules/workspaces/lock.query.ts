import type { EntityManager } from '@mikro-orm/postgresql';

/**
 * Makes others who lock or change a workspace wait until the transaction ends, but not those who write rows that refer to it: they may hold
 * what this transaction goes on to lock.
 */
export async function lockWorkspaceRow(em: EntityManager, id: string): Promise<void> {
  await em.execute('select from workspace where id = ? for no key update', [id]);
}
