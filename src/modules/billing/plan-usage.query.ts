import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { LimitName, PlanHolder } from '#src/modules/billing/plans.ts';

/** How much there is of everything that plans limit; `workspaces` are those the user owns. */
export type PlanUsage = PlanHolder & Record<LimitName, number>;

/** @returns the figures of one workspace, of this moment; undefined when it is gone */
export async function findPlanUsage(
  pool: Pool,
  who: { workspaceId: string; userId: string },
): Promise<PlanUsage | undefined> {
  const { rows } = await queryAs<PlanUsage>(pool, who, {
    name: 'plan-usage',
    text: `select w.plan, w.plan_override as "planOverride",
      (select count(*)::int from member m where m.workspace_id = w.id) as members,
      (select count(*)::int from workspace_invite i where i.workspace_id = w.id and i.accepted_at is null and i.expires_at > now()) as invites,
      (select count(*)::int from api_key k where k.workspace_id = w.id and k.revoked_at is null
        and coalesce(k.expires_at > now(), true)) as "apiKeys",
      (select count(*)::int from member m join workspace o on o.id = m.workspace_id and o.deleted_at is null
        where m.user_id = $2 and m.role = 'owner') as workspaces,
      (select count(*)::int from webhook h where h.workspace_id = w.id) as webhooks,
      (select count(*)::int from channel c where c.workspace_id = w.id) as channels,
      (select coalesce(sum(n.contacts), 0)::float8 from contact_counter n where n.workspace_id = w.id) as contacts,
      sent_today()::float8 as "messagesPerDay",
      (select count(*)::int from campaign c where c.workspace_id = w.id
        and c.status in ('scheduled', 'preparing', 'running')) as "campaignsRunning"
      from workspace w where w.id = $1 and w.deleted_at is null`,
    values: [who.workspaceId, who.userId],
  });
  return rows[0];
}
