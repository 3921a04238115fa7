import { Migration } from '@mikro-orm/migrations';

const PLANS = `('free', 'starter', 'pro', 'enterprise')`;

/** What a workspace has when neither a licence nor a subscription gives it a better plan, as the operator has set it. */
export class BasePlan extends Migration {
  override up(): void {
    this.addSql(`alter table workspace add column base_plan text not null default 'free'
      constraint workspace_base_plan_check check (base_plan in ${PLANS})`);
  }

  override down(): void {
    // What the setting alone had given goes with it. The wall is forced for the owner too, who sees every workspace for this statement alone.
    for (const table of ['workspace', 'plan_claim']) this.addSql(`alter table ${table} no force row level security`);
    this.addSql(`update workspace w set plan = 'free', plan_override = null where base_plan = plan and plan <> 'free'
      and not exists (select from plan_claim c where c.workspace_id = w.id and c.plan = w.plan)`);
    for (const table of ['workspace', 'plan_claim']) this.addSql(`alter table ${table} force row level security`);
    this.addSql('alter table workspace drop column base_plan');
  }
}
