import type { Pool } from 'pg';
import type { Plan, Role } from '#src/http/access-token.ts';
import { queryAs } from '#src/db/tenant.ts';

export interface StandingKey {
  sessionId: string;
  userId: string;
  workspaceId: string;
}

/** What the database says of a session now, and of its user in one workspace. */
export interface Standing {
  isOpen: boolean;
  /** Null: no member of it, or there is no such workspace. */
  role: Role | null;
  grants: string[] | null;
  denies: string[] | null;
  plan: Plan | null;
}

const STANDING = `s.revoked_at is null and s.expires_at > now() as "isOpen", m.role, m.grants, m.denies, w.plan`;
const FROM = `join session s on s.id = asked.sid and s.user_id = asked.uid
  left join workspace w on w.id = asked.wid and w.deleted_at is null
  left join member m on m.workspace_id = w.id and m.user_id = s.user_id`;

/** @returns the session's standing; undefined when there is no such session of that user */
export async function findStanding(pool: Pool, key: StandingKey): Promise<Standing | undefined> {
  const { rows } = await queryAs<Standing>(pool, key, {
    name: 'access-standing',
    text: `select ${STANDING} from (values ($1::uuid, $2::uuid, $3::uuid)) as asked (sid, uid, wid) ${FROM}`,
    values: [key.sessionId, key.userId, key.workspaceId],
  });
  return rows[0];
}

/** The standings of many, of all workspaces: for the sockets a process holds. @returns in the order asked, undefined for unknown ones */
export async function findStandings(systemPool: Pool, keys: StandingKey[]): Promise<(Standing | undefined)[]> {
  const { rows } = await systemPool.query<Standing & { at: number }>({
    name: 'access-standings',
    text: `select ${STANDING}, asked.at::int from unnest($1::uuid[], $2::uuid[], $3::uuid[]) with ordinality as asked (sid, uid, wid, at) ${FROM}`,
    values: [keys.map((key) => key.sessionId), keys.map((key) => key.userId), keys.map((key) => key.workspaceId)],
  });
  const byPlace = new Map(rows.map((row) => [row.at - 1, row]));
  return keys.map((_, place) => byPlace.get(place));
}
