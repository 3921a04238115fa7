import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { Plan } from '#src/http/access-token.ts';
import type { PlanOverride } from '#src/modules/billing/plans.ts';

/** What a workspace has and did; days and months are those of its own time zone, credits micro-credits. */
export interface UsageRow {
  plan: Plan;
  plan_override: PlanOverride | null;
  members: number;
  invites: number;
  api_keys: number;
  jobs_today: number;
  jobs_month: number;
  balance: string;
  held: string;
}

/** @returns the figures of one workspace, of this moment */
export async function findUsage(pool: Pool, workspaceId: string): Promise<UsageRow | undefined> {
  const { rows } = await queryAs<UsageRow>(
    pool,
    { workspaceId },
    {
      name: 'workspace-usage',
      text: `select w.plan, w.plan_override,
        (select count(*)::int from member m where m.workspace_id = w.id) as members,
        (select count(*)::int from workspace_invite i where i.workspace_id = w.id and accepted_at is null and expires_at > now()) as invites,
        (select count(*)::int from api_key k where k.workspace_id = w.id and revoked_at is null
          and coalesce(expires_at > now(), true)) as api_keys,
        (select count(*)::int from job j where j.workspace_id = w.id
          and created_at >= date_trunc('day', now(), w.time_zone)) as jobs_today,
        (select count(*)::int from job j where j.workspace_id = w.id
          and created_at >= date_trunc('month', now(), w.time_zone)) as jobs_month,
        a.balance, a.held
        from workspace w join credit_account a on a.workspace_id = w.id where w.id = $1`,
      values: [workspaceId],
    },
  );
  return rows[0];
}
