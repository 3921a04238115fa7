import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

const ARGUMENTS = `workspace_ids uuid[], ids uuid[], tokens uuid[], statuses text[], results text[], problems text[], streamed_texts text[],
  usages text[], charges bigint[], delays_ms int[], are_failures boolean[]`;

// With the job's row the calls are written that were made for it, so that a charge has its call and a delivered call its charge. The
// credits of the paid call are what the job was charged; all others cost the workspace nothing.
const LOG = `
    if n.calls is not null then
      insert into ai_usage_log (workspace_id, job_id, attempt_no, call_no, user_id, engine, strategy, provider, model, key_owner, outcome,
        failure, fallback_from, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, is_estimated,
        cost_nano, credits, price_version, latency_ms, ttft_ms, started_at)
      select j.workspace_id, j.id, j.attempt, c.call_no, j.user_id, j.engine, c.strategy, c.provider, c.model, c.key_owner, c.outcome,
        c.failure, c.fallback_from, c.input_tokens, c.cached_input_tokens, c.cache_write_tokens, c.output_tokens, c.reasoning_tokens,
        c.is_estimated, c.cost_nano, case when c.is_paid then j.credit_charged else 0 end, c.price_version, c.latency_ms, c.ttft_ms,
        to_timestamp(c.started_at_ms / 1000.0)
      from jsonb_to_recordset(n.calls::jsonb) as c (call_no int, strategy text, provider text, model text, key_owner text, outcome text,
        failure text, fallback_from text, input_tokens bigint, cached_input_tokens bigint, cache_write_tokens bigint,
        output_tokens bigint, reasoning_tokens bigint, is_estimated boolean, is_paid boolean, cost_nano bigint, price_version text,
        latency_ms int, ttft_ms int, started_at_ms bigint);
    end if;`;

/** `job_finish` as 20261123000100-jobs.ts made it, or with the calls of each job beside its other fields. */
const finish = (
  withCalls: boolean,
): string => `create function job_finish(${ARGUMENTS}${withCalls ? ', calls text[]' : ''})
returns setof job language plpgsql as $$
declare
  n record;
  a record;
  j job;
  accounts uuid[] := '{}';
  held_amounts bigint[] := '{}';
  charged_amounts bigint[] := '{}';
begin
  for n in
    select * from unnest(workspace_ids, ids, tokens, statuses, results, problems, streamed_texts, usages, charges, delays_ms,
      are_failures${withCalls ? ', calls' : ''}) as t (workspace_id, id, token, status, result, problem, streamed_text, usage, charge,
      delay_ms, is_failure${withCalls ? ', calls' : ''})
    order by t.workspace_id, t.id
  loop
    perform set_config('app.workspace_id', n.workspace_id::text, true);
    -- A cancel that the worker has not heard of must not wait for the retry.
    if n.status = 'retrying' then
      perform from job where job.workspace_id = n.workspace_id and job.id = n.id for update;
      if exists (select from job where job.workspace_id = n.workspace_id and job.id = n.id and job.cancel_requested_at is not null)
      then
        n.status := 'cancelled';
      else
        n.problem := null;
        n.streamed_text := null;
      end if;
    end if;
    update job set status = n.status, result = n.result::json, problem = n.problem::json, streamed_text = n.streamed_text,
      usage = n.usage::json, lease_token = null, lease_until = null, failures = job.failures + n.is_failure::int,
      run_at = now() + n.delay_ms * interval '1 millisecond',
      finished_at = case when n.status <> 'retrying' then now() end,
      credit_charged = case when n.status <> 'retrying' then least(n.charge, job.credit_held) else 0 end
    where job.workspace_id = n.workspace_id and job.id = n.id and job.lease_token = n.token and job.status = 'active'
    returning * into j;
    continue when not found;${withCalls ? LOG : ''}
    if j.finished_at is not null and j.credit_held > 0 then
      accounts := accounts || j.workspace_id;
      held_amounts := held_amounts || j.credit_held;
      charged_amounts := charged_amounts || j.credit_charged;
    end if;
    return next j;
  end loop;
  for a in
    select t.workspace_id, sum(t.held)::bigint as held, sum(t.charged)::bigint as charged
    from unnest(accounts, held_amounts, charged_amounts) as t (workspace_id, held, charged)
    group by t.workspace_id order by t.workspace_id
  loop
    perform set_config('app.workspace_id', a.workspace_id::text, true);
    update credit_account c set held = c.held - a.held, balance = c.balance + a.held - a.charged
    where c.workspace_id = a.workspace_id;
  end loop;
end $$`;

/**
 * Every call of a provider: what it was for, what it cost, who pays; no word of what was asked or answered. The key can be that of
 * partitions: job ids grow with time (UUID version 7), so a month is a range of `job_id`.
 */
export class AiUsageLog extends Migration {
  override up(): void {
    this.addSql(`create table ai_usage_log (
      workspace_id uuid not null,
      job_id uuid not null,
      attempt_no int not null,
      call_no int not null,
      user_id uuid not null,
      engine text not null,
      strategy text not null,
      provider text not null,
      model text not null,
      key_owner text not null constraint ai_usage_log_key_owner_check check (key_owner in ('installation', 'workspace')),
      outcome text not null constraint ai_usage_log_outcome_check check (outcome in ('delivered', 'failed', 'cancelled')),
      failure text,
      fallback_from text,
      input_tokens bigint not null,
      cached_input_tokens bigint not null,
      cache_write_tokens bigint not null,
      output_tokens bigint not null,
      reasoning_tokens bigint not null,
      is_estimated boolean not null,
      cost_nano bigint not null,
      credits bigint not null,
      price_version text not null,
      latency_ms int not null,
      ttft_ms int,
      started_at timestamptz not null,
      primary key (workspace_id, job_id, attempt_no, call_no),
      constraint ai_usage_log_job_foreign foreign key (workspace_id, job_id) references job (workspace_id, id) on delete cascade
    )`);
    this.addSql('create index ai_usage_log_started on ai_usage_log (workspace_id, started_at)');
    for (const sql of tenantTable('ai_usage_log')) this.addSql(sql);
    // What was booked stays: nobody but the owner of the tables changes it.
    this.addSql('revoke update, delete on ai_usage_log from wh_app, wh_system');
    this.addSql(`drop function job_finish(${ARGUMENTS})`);
    this.addSql(finish(true));
  }

  override down(): void {
    this.addSql(`drop function job_finish(${ARGUMENTS}, calls text[])`);
    this.addSql(finish(false));
    this.addSql('drop table ai_usage_log');
  }
}
