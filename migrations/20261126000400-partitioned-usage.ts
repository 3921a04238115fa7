import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

const COLUMNS = `workspace_id uuid not null,
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
      started_at timestamptz not null`;

/** Puts the old table out of the way: names of indexes belong to the schema. */
const SET_ASIDE = [
  'alter table ai_usage_log rename to ai_usage_log_before',
  'alter index ai_usage_log_pkey rename to ai_usage_log_before_pkey',
  'alter index ai_usage_log_started rename to ai_usage_log_before_started',
  // The owner of a table is behind its wall too, and would find nothing to take over.
  'alter table ai_usage_log_before no force row level security',
];

const create = (parting: string): string => `create table ai_usage_log (
      ${COLUMNS},
      constraint ai_usage_log_pkey primary key (workspace_id, job_id, attempt_no, call_no),
      constraint ai_usage_log_job_foreign foreign key (workspace_id, job_id) references job (workspace_id, id) on delete cascade
    )${parting}`;

/** What was there is taken over before the wall stands. */
const TAKE_OVER = [
  'insert into ai_usage_log select * from ai_usage_log_before',
  'drop table ai_usage_log_before',
  'create index ai_usage_log_started on ai_usage_log (workspace_id, started_at)',
  ...tenantTable('ai_usage_log'),
  'revoke update, delete on ai_usage_log from wh_app, wh_system',
];

/**
 * Parts the log of calls by month of the job's id, so that what is past its time goes away at once. Nothing else changes. The rows are
 * written anew, and jobs cannot end meanwhile.
 */
export class PartitionedUsage extends Migration {
  override up(): void {
    for (const sql of SET_ASIDE) this.addSql(sql);
    this.addSql(create(' partition by range (job_id)'));
    this.addSql('create table ai_usage_log_other partition of ai_usage_log default');
    this.addSql('revoke all on ai_usage_log_other from wh_app, wh_system');
    this.addSql(`select partition_make('ai_usage_log', month::date) from (
        select distinct date_trunc('month', uuid_extract_timestamp(job_id) at time zone 'UTC') from ai_usage_log_before
          where uuid_extract_version(job_id) = 7
        union select date_trunc('month', now() at time zone 'UTC') + n * interval '1 month' from generate_series(0, 3) n) as t (month)`);
    for (const sql of TAKE_OVER) this.addSql(sql);
  }

  override down(): void {
    for (const sql of SET_ASIDE) this.addSql(sql);
    this.addSql(create(''));
    for (const sql of TAKE_OVER) this.addSql(sql);
  }
}
