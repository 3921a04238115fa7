import type { Pool } from 'pg';
import type { Plan, Role } from '#src/http/access-token.ts';
import { queryAs } from '#src/db/tenant.ts';

/** A session or a key, in one workspace. */
export interface StandingKey {
  kind: 'session' | 'api_key';
  /** The session's id, or the key's. */
  sessionId: string;
  workspaceId: string;
}

/** What the database says now of a session or a key, and of its user in one workspace. */
export interface Standing {
  isOpen: boolean;
  userId: string;
  /** Null: no member of it, or there is no such workspace. */
  role: Role | null;
  grants: string[] | null;
  denies: string[] | null;
  plan: Plan | null;
  /** A key's own, null for sessions. */
  scopes: string[] | null;
  secretHash: Buffer | null;
  expiresAt: Date | null;
}

const IN_WORKSPACE = `left join workspace w on w.id = asked.wid and w.deleted_at is null
  left join member m on m.workspace_id = w.id and m.user_id = u.id`;

/** `asked` has the columns `id` and `wid`. */
const SQL = {
  session: `select s.revoked_at is null and s.expires_at > now() and u.status = 'active' as "isOpen", u.id as "userId", m.role, m.grants, m.denies, w.plan,
      null::text[] as scopes, null::bytea as "secretHash", null::timestamptz as "expiresAt", asked.at::int
    from asked join session s on s.id = asked.id join app_user u on u.id = s.user_id ${IN_WORKSPACE}`,
  api_key: `select k.revoked_at is null and coalesce(k.expires_at > now(), true) and u.status = 'active' as "isOpen", u.id as "userId", m.role, m.grants, m.denies,
      w.plan, k.scopes, k.secret_hash as "secretHash", k.expires_at as "expiresAt", asked.at::int
    from asked join api_key k on k.workspace_id = asked.wid and k.id = asked.id join app_user u on u.id = k.created_by_id ${IN_WORKSPACE}`,
};

const ONE = `with asked as (select $1::uuid as id, $2::uuid as wid, 1 as at)`;
const MANY = `with asked as (select * from unnest($1::uuid[], $2::uuid[]) with ordinality as t (id, wid, at))`;

/** @returns its standing; undefined when there is no such session or key */
export async function findStanding(pool: Pool, key: StandingKey): Promise<Standing | undefined> {
  const { rows } = await queryAs<Standing>(pool, key, {
    name: `access-${key.kind}`,
    text: `${ONE} ${SQL[key.kind]}`,
    values: [key.sessionId, key.workspaceId],
  });
  return rows[0];
}

/** The standings of many of one kind, in all workspaces: for the sockets a process holds. @returns in the order asked */
export async function findStandings(
  systemPool: Pool,
  kind: StandingKey['kind'],
  keys: StandingKey[],
): Promise<(Standing | undefined)[]> {
  const { rows } = await systemPool.query<Standing & { at: number }>({
    name: `access-many-${kind}`,
    text: `${MANY} ${SQL[kind]}`,
    values: [keys.map((key) => key.sessionId), keys.map((key) => key.workspaceId)],
  });
  const byPlace = new Map(rows.map((row) => [row.at - 1, row]));
  return keys.map((_, place) => byPlace.get(place));
}

/** Notes that a key was used. */
export async function noteKeyUse(pool: Pool, key: StandingKey): Promise<void> {
  await queryAs(pool, key, {
    name: 'access-key-used',
    text: 'update api_key set last_used_at = now() where workspace_id = $1 and id = $2',
    values: [key.workspaceId, key.sessionId],
  });
}
