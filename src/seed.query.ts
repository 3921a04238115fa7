import type { ClientBase } from 'pg';
import type { PresentedKey } from '#src/http/api-key-text.ts';

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

const OPEN = 'revoked_at is null and (expires_at is null or expires_at > now())';

/** Whether a key is one of ours that works. */
export async function isKeyOpen(
  client: ClientBase,
  { workspaceId, keyId, secretHash }: PresentedKey,
): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from api_key where workspace_id = $1 and id = $2 and secret_hash = $3 and ${OPEN}`,
    [workspaceId, keyId, secretHash],
  );
  return rowCount === 1;
}

/** The ids of a workspace's working keys of one name. */
export async function findOpenKeys(
  client: ClientBase,
  { workspaceId, name }: { workspaceId: string; name: string },
): Promise<string[]> {
  const { rows } = await client.query<{ id: string }>(
    `select id from api_key where workspace_id = $1 and name = $2 and ${OPEN}`,
    [workspaceId, name],
  );
  return rows.map(({ id }) => id);
}

/** Waits until no other seed gives a workspace its licence. @returns whether it has never had one */
export async function awaitsLicense(client: ClientBase, workspaceId: string): Promise<boolean> {
  await client.query('select pg_advisory_lock(hashtextextended($1, 0))', [`seed ${workspaceId}`]);
  const { rowCount } = await client.query('select from license where used_by_workspace = $1 limit 1', [workspaceId]);
  return rowCount === 0;
}
