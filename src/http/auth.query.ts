import type { Pool } from 'pg';
import type { Role } from '#src/http/access-token.ts';

/** The user's role in a workspace; undefined when they are no member or there is no such workspace. */
export async function findRole(pool: Pool, userId: string, workspaceId: string): Promise<Role | undefined> {
  const { rows } = await pool.query<{ role: Role }>({
    name: 'find-role',
    text: 'select role from member where workspace_id = $1 and user_id = $2',
    values: [workspaceId, userId],
  });
  return rows[0]?.role;
}
