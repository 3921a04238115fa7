import type { ClientBase } from 'pg';

/** The demo account with its first workspace; undefined when there is none yet. */
export async function findDemo(
  client: ClientBase,
  email: string,
): Promise<{ userId: string; passwordHash: string; workspaceId: string } | undefined> {
  const { rows } = await client.query<{ userId: string; passwordHash: string; workspaceId: string }>(
    `select u.id as "userId", u.password_hash as "passwordHash", m.workspace_id as "workspaceId"
       from app_user u join member m on m.user_id = u.id
      where u.email = $1
      order by m.created_at, m.workspace_id
      limit 1`,
    [email],
  );
  return rows[0];
}

/** Gives a user a new password and ends the sessions that the old one opened. */
export async function replacePassword(client: ClientBase, userId: string, passwordHash: string): Promise<void> {
  await client.query(
    `with changed as (update app_user set password_hash = $2, updated_at = now() where id = $1 returning id)
     update session set revoked_at = now() from changed where session.user_id = changed.id and revoked_at is null`,
    [userId, passwordHash],
  );
}
