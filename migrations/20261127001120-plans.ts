import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

const PLANS = `('free', 'starter', 'pro', 'enterprise')`;

/** The plan `business` is called `enterprise`; what a workspace's plan comes from is kept, and what credits it got of it this month. */
export class Plans extends Migration {
  override up(): void {
    this.addSql('alter table workspace drop constraint workspace_plan_check');
    this.renamePlan('business', 'enterprise');
    this.addSql(
      `alter table workspace add constraint workspace_plan_check check (plan in ${PLANS}), add column plan_override jsonb`,
    );
    this.addSql(`create table plan_claim (
      workspace_id uuid not null constraint plan_claim_workspace_id_foreign references workspace (id) on delete cascade,
      source text not null constraint plan_claim_source_check check (source in ('license', 'subscription')),
      plan text not null constraint plan_claim_plan_check check (plan in ${PLANS}),
      override jsonb,
      ends_at timestamptz,
      updated_at timestamptz not null default now(),
      primary key (workspace_id, source)
    )`);
    this.addSql(`create table plan_credits (
      workspace_id uuid primary key constraint plan_credits_workspace_id_foreign references workspace (id) on delete cascade,
      source text not null constraint plan_credits_source_check check (source in ('license', 'subscription')),
      anchor_at timestamptz not null,
      ends_at timestamptz not null,
      claim_ends_at timestamptz,
      granted bigint not null constraint plan_credits_granted_check check (granted >= 0)
    )`);
    for (const table of ['plan_claim', 'plan_credits']) for (const sql of tenantTable(table)) this.addSql(sql);
  }

  override down(): void {
    this.addSql('drop table plan_credits, plan_claim');
    this.addSql('alter table workspace drop constraint workspace_plan_check, drop column plan_override');
    this.renamePlan('enterprise', 'business');
    this.renamePlan('starter', 'free');
    this.addSql(
      `alter table workspace add constraint workspace_plan_check check (plan in ('free', 'pro', 'business'))`,
    );
  }

  private renamePlan(from: string, to: string): void {
    // The wall is forced for the owner too, who sees every workspace for this statement alone.
    this.addSql('alter table workspace no force row level security');
    this.addSql(`update workspace set plan = '${to}' where plan = '${from}'`);
    this.addSql('alter table workspace force row level security');
  }
}
