import type { Pool } from 'pg';

/**
 * Drops what nobody can use or ask about any more: tokens a day after they expired, sessions 30 days after. Until then an old refresh
 * token is still told that its session ended.
 * @returns rows dropped; call again while > 0
 */
export async function purgeAccounts(pool: Pool): Promise<number> {
  const drop = async (table: 'session' | 'email_verification' | 'password_reset', key: string, after: string) => {
    const { rowCount } = await pool.query(
      `delete from ${table} where ${key} in (select ${key} from ${table} where expires_at < now() - $1::interval
         order by expires_at limit 1000 for update skip locked)`,
      [after],
    );
    return rowCount ?? 0;
  };
  const sessions = await drop('session', 'id', '30 days');
  const verifications = await drop('email_verification', 'token_hash', '1 day');
  return sessions + verifications + (await drop('password_reset', 'token_hash', '1 day'));
}
