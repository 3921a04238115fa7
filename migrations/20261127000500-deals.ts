import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

const OWN = `workspace_id uuid not null`;
const DATES = `created_at timestamptz not null default now(), updated_at timestamptz not null default now()`;

const DEFAULT_STAGES = `create function pipeline_default_stages(workspace uuid, pipeline uuid) returns void language sql as $$
  insert into pipeline_stage (workspace_id, id, pipeline_id, name, kind, probability, position)
  select workspace, uuidv7(), pipeline, s.name, s.kind, s.probability, s.position from (values
    ('Novo', 'open', 10, 1), ('Qualificação', 'open', 25, 2), ('Proposta', 'open', 50, 3), ('Negociação', 'open', 75, 4),
    ('Ganho', 'won', 100, 5), ('Perdido', 'lost', 0, 6)) s (name, kind, probability, position)
$$`;
const DEFAULT_PIPELINE = `create function pipeline_default(workspace uuid) returns void language plpgsql as $$
declare made uuid := uuidv7();
begin
  insert into pipeline (workspace_id, id, name, is_default) values (workspace, made, 'Vendas', true);
  perform pipeline_default_stages(workspace, made);
end $$`;
const WORKSPACE_MADE = `create function workspace_made() returns trigger language plpgsql as $$
begin
  perform pipeline_default(new.id);
  return null;
end $$`;

const COUNTED = 'workspace_id, stage_id, currency, owner_id';
const FACT =
  'workspace_id, id, created_at, closed_at, pipeline_id, currency, amount_minor, owner_id, position is null as is_gone';
const signed = (rows: string, sign: 1 | -1): string =>
  `select ${COUNTED}, ${sign} as n, ${sign} * amount_minor::numeric as amount from ${rows} where position is not null`;

/**
 * Keeps the totals of stages and marks the hours whose figures changed, once for a statement and only where something counted did. Keys
 * are taken in one order. The totals of a stage that goes away with its workspace go with it.
 */
const counting = (name: string, totals: string, facts: string): string => `create function ${name}() returns trigger
language plpgsql as $$
begin
  insert into deal_total as t (${COUNTED}, deals, amount_minor)
  select ${COUNTED}, sum(n), sum(amount) from (${totals}) d
  where exists (select from pipeline_stage s where s.workspace_id = d.workspace_id and s.id = d.stage_id)
  group by ${COUNTED} having sum(n) <> 0 or sum(amount) <> 0 order by ${COUNTED}
  on conflict (${COUNTED}) do update set deals = t.deals + excluded.deals, amount_minor = t.amount_minor + excluded.amount_minor;
  insert into analytics_mark (workspace_id, hour)
  select distinct f.workspace_id, date_trunc('hour', at, 'UTC') from (${facts}) f
    cross join lateral (values (f.created_at), (f.closed_at)) moment (at) where at is not null;
  return null;
end $$`;

/**
 * Pipelines and what is sold in them. A deal's stage, pipeline and status are one key of the stage, so that none can say other than the
 * others. A deleted deal has no place on the board; it is kept, and can come back. Places compare byte by byte.
 */
export class Deals extends Migration {
  override up(): void {
    this.makeTables();
    this.makeIndexes();
    for (const sql of [DEFAULT_STAGES, DEFAULT_PIPELINE, WORKSPACE_MADE]) this.addSql(sql);
    // The owner is behind the wall too, so it is opened for the statement.
    this.addSql('alter table workspace no force row level security');
    this.addSql('select pipeline_default(id) from workspace');
    this.addSql('alter table workspace force row level security');
    this.addSql(`create trigger made after insert on workspace for each row execute function workspace_made()`);
    const now = signed('new_rows', 1);
    const before = signed('old_rows', -1);
    const [fresh, old] = [`select ${FACT} from new_rows`, `select ${FACT} from old_rows`];
    this.addSql(counting('deal_inserted', now, fresh));
    this.addSql(
      counting(
        'deal_updated',
        `${now} union all ${before}`,
        `(${fresh} except ${old}) union all (${old} except ${fresh})`,
      ),
    );
    this.addSql(counting('deal_deleted', before, old));
    for (const [verb, tables] of [
      ['insert', 'new table as new_rows'],
      ['update', 'old table as old_rows new table as new_rows'],
      ['delete', 'old table as old_rows'],
    ] as const)
      this.addSql(`create trigger counted_${verb} after ${verb} on deal referencing ${tables}
        for each statement execute function deal_${verb.replace(/e?$/, 'ed')}()`);
    for (const table of ['pipeline', 'pipeline_stage', 'deal', 'deal_stage_history', 'deal_total'])
      for (const sql of tenantTable(table)) this.addSql(sql);
  }

  private makeTables(): void {
    this.addSql(`create table pipeline (
      ${OWN} constraint pipeline_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      ${DATES},
      name varchar(60) not null,
      is_default boolean not null default false,
      primary key (workspace_id, id)
    )`);
    this.addSql(`create table pipeline_stage (
      ${OWN}, id uuid not null, pipeline_id uuid not null,
      ${DATES},
      name varchar(60) not null,
      kind text not null constraint pipeline_stage_kind_check check (kind in ('open', 'won', 'lost')),
      probability int not null constraint pipeline_stage_probability_check check (probability between 0 and 100),
      position int not null,
      primary key (workspace_id, id),
      constraint pipeline_stage_pipeline_foreign foreign key (workspace_id, pipeline_id) references pipeline (workspace_id, id)
        on delete cascade,
      constraint pipeline_stage_of_kind unique (workspace_id, pipeline_id, id, kind),
      constraint pipeline_stage_position unique (workspace_id, pipeline_id, position) deferrable initially deferred,
      constraint pipeline_stage_end_check check (kind = 'open' or probability = case kind when 'won' then 100 else 0 end)
    )`);
    this.addSql(`create table deal (
      ${OWN} constraint deal_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      ${DATES},
      version int not null default 1,
      contact_id uuid, pipeline_id uuid not null, stage_id uuid not null, owner_id uuid,
      title varchar(200) not null,
      amount_minor bigint not null default 0 constraint deal_amount_check check (amount_minor >= 0),
      currency char(3) not null,
      probability int constraint deal_probability_check check (probability between 0 and 100),
      expected_close date,
      status text not null constraint deal_status_check check (status in ('open', 'won', 'lost')),
      closed_at timestamptz,
      lost_reason text,
      position text collate "C" default 'a0',
      deleted_at timestamptz,
      primary key (workspace_id, id),
      constraint deal_contact_foreign foreign key (workspace_id, contact_id) references contact (workspace_id, id)
        on delete set null (contact_id),
      constraint deal_owner_foreign foreign key (workspace_id, owner_id) references member (workspace_id, user_id)
        on delete set null (owner_id),
      constraint deal_stage_foreign foreign key (workspace_id, pipeline_id, stage_id, status)
        references pipeline_stage (workspace_id, pipeline_id, id, kind),
      constraint deal_position unique (workspace_id, stage_id, position) deferrable initially immediate,
      constraint deal_closed_check check ((status = 'open') = (closed_at is null)),
      constraint deal_lost_check check ((status = 'lost') = (lost_reason is not null)),
      constraint deal_deleted_check check ((deleted_at is null) = (position is not null))
    )`);
    this.addSql(`create table deal_stage_history (
      ${OWN}, id uuid not null, deal_id uuid not null,
      from_stage_id uuid, from_stage text, to_stage_id uuid not null, to_stage text not null,
      status text not null constraint deal_stage_history_status_check check (status in ('open', 'won', 'lost')),
      reason text,
      moved_by uuid,
      moved_at timestamptz not null default now(),
      primary key (workspace_id, id),
      constraint deal_stage_history_deal_foreign foreign key (workspace_id, deal_id) references deal (workspace_id, id) on delete cascade
    )`);
    this.addSql(`create table deal_total (
      ${OWN}, stage_id uuid not null, currency char(3) not null, owner_id uuid,
      deals int not null default 0, amount_minor numeric not null default 0,
      constraint deal_total_stage_foreign foreign key (workspace_id, stage_id) references pipeline_stage (workspace_id, id)
        on delete cascade,
      constraint deal_total_key unique nulls not distinct (${COUNTED})
    )`);
    this.addSql(`alter table activity add constraint activity_deal_foreign foreign key (workspace_id, deal_id)
      references deal (workspace_id, id) on delete cascade`);
  }

  private makeIndexes(): void {
    this.addSql('create unique index pipeline_name on pipeline (workspace_id, lower(name))');
    this.addSql('create unique index pipeline_is_default on pipeline (workspace_id) where is_default');
    const alive = 'where deleted_at is null';
    for (const [name, columns, where] of [
      ['deal_created', 'created_at desc, id desc', alive],
      ['deal_status', 'status, created_at desc, id desc', alive],
      ['deal_contact', 'contact_id, created_at desc, id desc', ''],
      ['deal_owner', 'owner_id, created_at desc, id desc', alive],
      ['deal_owner_board', 'owner_id, stage_id, position', alive],
      ['deal_amount', 'amount_minor desc, id desc', alive],
      ['deal_close', `(coalesce(expected_close, 'infinity'::date)), id`, alive],
      ['deal_open_close', 'expected_close', `${alive} and status = 'open'`],
      ['deal_closed', 'closed_at', `${alive} and closed_at is not null`],
    ] as const)
      this.addSql(`create index ${name} on deal (workspace_id, ${columns}) ${where}`);
    this.addSql(`create index deal_search on deal using gin (workspace_id, fold(title) gin_trgm_ops) ${alive}`);
    this.addSql('create index deal_stage_history_deal on deal_stage_history (workspace_id, deal_id, id desc)');
  }

  override down(): void {
    this.addSql('drop trigger made on workspace');
    this.addSql('alter table activity drop constraint activity_deal_foreign');
    this.addSql('drop table deal_total, deal_stage_history, deal, pipeline_stage, pipeline');
    this.addSql(
      `drop function workspace_made, pipeline_default, pipeline_default_stages, deal_inserted, deal_updated, deal_deleted`,
    );
  }
}
