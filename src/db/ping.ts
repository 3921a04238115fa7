import type { Pool } from 'pg';

/** Asks the database whether it answers. @throws when it does not */
export async function pingDatabase(pool: Pool): Promise<void> {
  await pool.query('select 1');
}
