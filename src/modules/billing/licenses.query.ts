import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { PLANS, type Plan } from '#src/http/access-token.ts';
import type { PlanOverride } from '#src/modules/billing/plans.ts';

export const LICENSE_STATUSES = ['unused', 'active', 'replaced', 'expired', 'revoked'] as const;
export type LicenseStatus = (typeof LICENSE_STATUSES)[number];

/** A licence; times in RFC 3339, UTC. */
export interface LicenseRow {
  id: string;
  plan: Plan;
  limits: PlanOverride['limits'] | null;
  features: PlanOverride['features'] | null;
  days: number | null;
  activateBy: string | null;
  status: LicenseStatus;
  activatedAt: string | null;
  expiresAt: string | null;
  createdAt: string;
  endedAt: string | null;
  workspaceId: string | null;
}

const at = (column: string, name: string) =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "${name}"`;
const COLUMNS = `id, plan, limits, features, days, status, used_by_workspace as "workspaceId",
  ${at('activate_by', 'activateBy')}, ${at('activated_at', 'activatedAt')}, ${at('expires_at', 'expiresAt')},
  ${at('created_at', 'createdAt')}, ${at('ended_at', 'endedAt')}`;
const CAN_BE_USED = `status = 'unused' and (activate_by is null or activate_by > now())`;

/** Stores the digests of new keys. @returns the licences' ids, in their order */
export async function insertLicenses(
  systemPool: Pool,
  made: { hashes: Buffer[]; plan: Plan; override: PlanOverride; days: number | null; activateBy: Date | null },
): Promise<string[]> {
  const { limits, features } = made.override;
  const { rows } = await systemPool.query<{ id: string }>(
    `insert into license (key_hash, plan, limits, features, days, activate_by)
      select hash, $2, $3::jsonb, $4::jsonb, $5, $6 from unnest($1::bytea[]) with ordinality t (hash, place) order by place returning id`,
    [
      made.hashes,
      made.plan,
      limits ? JSON.stringify(limits) : null,
      features ? JSON.stringify(features) : null,
      made.days,
      made.activateBy,
    ],
  );
  return rows.map(({ id }) => id);
}

/** @returns the licence of a key, when it could be activated now */
export async function findUsable(em: EntityManager, hash: Buffer): Promise<LicenseRow | undefined> {
  const [row] = await em.execute<LicenseRow[]>(
    `select ${COLUMNS} from license where key_hash = decode(?, 'hex') and ${CAN_BE_USED}`,
    [hash.toString('hex')],
  );
  return row;
}

/** Whether the workspace itself has activated a key before: its answer may have been lost. */
export async function wasActivatedBy(em: EntityManager, workspaceId: string, hash: Buffer): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `select 1 from license where key_hash = decode(?, 'hex') and used_by_workspace = ?::uuid`,
    [hash.toString('hex'), workspaceId],
  );
  return rows.length > 0;
}

/** The licence a workspace has, if it has one. */
export async function findActive(em: EntityManager, workspaceId: string): Promise<LicenseRow | undefined> {
  const [row] = await em.execute<LicenseRow[]>(
    `select ${COLUMNS} from license where used_by_workspace = ?::uuid and status = 'active'`,
    [workspaceId],
  );
  return row;
}

/** Gives a licence to a workspace: one conditional update decides who gets it. */
export async function useLicense(
  em: EntityManager,
  used: { hash: Buffer; workspaceId: string; userId: string },
): Promise<LicenseRow | undefined> {
  const [row] = await em.execute<LicenseRow[]>(
    `update license set status = 'active', activated_at = now(), expires_at = now() + days * interval '1 day',
        used_by_workspace = ?::uuid, used_by_user = ?::uuid
      where key_hash = decode(?, 'hex') and ${CAN_BE_USED} returning ${COLUMNS}`,
    [used.workspaceId, used.userId, used.hash.toString('hex')],
  );
  return row;
}

/** Ends a licence that is what it was thought to be. @returns whether it was */
export async function endLicense(
  em: EntityManager,
  license: { id: string; workspaceId: string | null; from: LicenseStatus; to: 'replaced' | 'expired' | 'revoked' },
): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `update license set status = ?, ended_at = now()
      where id = ?::uuid and status = ? and used_by_workspace is not distinct from ?::uuid returning id`,
    [license.to, license.id, license.from, license.workspaceId],
  );
  return rows.length > 0;
}

/** @param by its id, or the digest of its key */
export async function findLicense(systemPool: Pool, by: string | Buffer): Promise<LicenseRow | undefined> {
  const where = typeof by === 'string' ? 'id = $1::uuid' : 'key_hash = $1';
  return (await systemPool.query<LicenseRow>(`select ${COLUMNS} from license where ${where}`, [by])).rows[0];
}

export interface LicenseFilter {
  status: LicenseStatus | undefined;
  plan: Plan | undefined;
  workspaceId: string | undefined;
  /** The last of the page before. */
  before: string | undefined;
  limit: number;
}

/** Licences, the newest first. */
export async function listLicenses(systemPool: Pool, filter: LicenseFilter): Promise<LicenseRow[]> {
  const { status, plan, workspaceId, before, limit } = filter;
  const { rows } = await systemPool.query<LicenseRow>(
    `select ${COLUMNS} from license where ($1::text is null or status = $1) and ($2::text is null or plan = $2)
      and ($3::uuid is null or used_by_workspace = $3) and ($4::uuid is null or id < $4) order by license.id desc limit $5`,
    [status ?? null, plan ?? null, workspaceId ?? null, before ?? null, limit],
  );
  return rows;
}

/** A licence whose owners are to be told, or whose time is over. */
export type EndingRow = LicenseRow & { workspaceId: string; expiresAt: string; phase: 'soon' | 'grace' | 'over' };

/** Licences that end soon, have ended, or have been over for longer than the grace, where nobody was told so yet. */
export async function findEnding(
  systemPool: Pool,
  { soonDays, graceDays, limit }: { soonDays: number; graceDays: number; limit: number },
): Promise<EndingRow[]> {
  const { rows } = await systemPool.query<EndingRow>({
    name: 'licenses-ending',
    text: `select * from (select ${COLUMNS}, told, case
          when expires_at <= now() - $2 * interval '1 day' then 'over' when expires_at <= now() then 'grace' else 'soon' end as phase
        from license where status = 'active' and expires_at <= now() + $1 * interval '1 day' order by expires_at) l
      where phase = 'over' or (phase = 'grace' and told is distinct from 'grace') or (phase = 'soon' and told is null) limit $3`,
    values: [soonDays, graceDays, limit],
  });
  return rows;
}

/** Notes what owners were told. @returns whether it was not noted already */
export async function noteTold(em: EntityManager, id: string, phase: 'soon' | 'grace'): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `update license set told = ? where id = ?::uuid and status = 'active' and told is distinct from ? returning id`,
    [phase, id, phase],
  );
  return rows.length > 0;
}

const BY_RANK = `array[${PLANS.map((plan) => `'${plan}'`).join()}]`;

/** Workspaces whose month of credits is over while what gave it goes on. */
export async function findMonthsOver(systemPool: Pool, limit: number): Promise<string[]> {
  const { rows } = await systemPool.query<{ workspace_id: string }>({
    name: 'plan-months-over',
    text: `select p.workspace_id from plan_credits p join workspace w on w.id = p.workspace_id and w.deleted_at is null
      where p.ends_at <= now() and exists (select from plan_claim c where c.workspace_id = p.workspace_id
        and (c.ends_at > now() or (c.ends_at is null and c.source = 'license'))
        and not exists (select from plan_claim b where b.workspace_id = p.workspace_id
          and array_position(${BY_RANK}, b.plan) > array_position(${BY_RANK}, c.plan)))
      order by p.ends_at limit $1`,
    values: [limit],
  });
  return rows.map((row) => row.workspace_id);
}

/** Workspaces that have another base plan than this one, after one of them. */
export async function findOtherBase(
  systemPool: Pool,
  { plan, after, limit }: { plan: Plan; after: string; limit: number },
): Promise<string[]> {
  const { rows } = await systemPool.query<{ id: string }>(
    'select id from workspace where base_plan <> $1 and id > $2::uuid and deleted_at is null order by id limit $3',
    [plan, after, limit],
  );
  return rows.map(({ id }) => id);
}
