import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

/*
 * One round of the workers that deliver: what came of their attempts is noted, and they are given what is next. The rows of `webhook_flow`
 * are locked first, in the order of their key, so that what is counted of an endpoint holds until the end; each statement then sees what
 * was committed before it got the lock. `take` asks for whatever is next for an endpoint, named by itself or by one of its deliveries; what
 * one asker is given has one lease, and is one of the endpoint's lanes.
 */
const STEP = `create function webhook_step(
  items json, lease_ms int, lanes int, burst int, open_after int, open_ms int, give_up_after interval)
returns table (
  i int, is_noted boolean, workspace_id uuid, id uuid, webhook_id uuid, lease_token uuid, event_id uuid, event_type text, cause text,
  seq bigint, attempts int, occurred_at timestamptz, data text, revision int)
language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
  -- What a crash of the database takes back is delivered once more, as everything may be; the wait for its disk would be the dearest part.
  perform set_config('synchronous_commit', 'off', true);

  perform from webhook_flow f where (f.workspace_id, f.webhook_id) in (
    select t.workspace, coalesce(t.webhook, d.webhook_id)
    from json_to_recordset(items) as t (workspace uuid, webhook uuid, wake uuid)
    left join webhook_delivery d on t.webhook is null and d.workspace_id = t.workspace and d.id = t.wake)
  order by f.workspace_id, f.webhook_id for update;

  return query update webhook_delivery d set status = t.status, attempts = t.attempts, is_direct = false, lease_token = null,
      next_attempt_at = case when t.status = 'pending' then now() + t."delayMs" * interval '1 millisecond' end,
      finished_at = case when t.status <> 'pending' then now() end,
      response_status = t."responseStatus", response_snippet = t.snippet, duration_ms = t."durationMs", error = t.error,
      attempt_log = case when t.entry is null then d.attempt_log
        when jsonb_array_length(d.attempt_log) < 12 then d.attempt_log || t.entry else (d.attempt_log - 0) || t.entry end
    from json_to_recordset(items) as t (i int, workspace uuid, delivery uuid, token uuid, status text, attempts int, "delayMs" int,
      "responseStatus" int, snippet text, "durationMs" int, error text, entry jsonb)
    where d.workspace_id = t.workspace and d.id = t.delivery and d.status = 'sending' and d.lease_token = t.token
    returning t.i, true, null::uuid, null::uuid, null::uuid, null::uuid, null::uuid, null::text, null::text, null::bigint, null::int,
      null::timestamptz, null::text, null::int;

  update webhook_flow f set
      failures = case when s.is_up then 0 else f.failures + s.failures end,
      failing_since = case when s.is_up then null else coalesce(f.failing_since, now()) end,
      open_until = case when s.is_up or f.failures + s.failures < open_after then null
        else now() + open_ms * interval '1 millisecond' end,
      disable_reason = case when s.is_gone then 'gone'
        when not s.is_up and f.failing_since < now() - give_up_after then 'failing' else f.disable_reason end
    from (select t.workspace, t.webhook, bool_or(t.effect = 'up') as is_up, bool_or(t.effect = 'gone') as is_gone,
        count(*) filter (where t.effect <> 'up')::int as failures
      from json_to_recordset(items) as t (workspace uuid, webhook uuid, effect text)
      where t.effect is not null group by 1, 2) s
    where f.workspace_id = s.workspace and f.webhook_id = s.webhook
      and (not s.is_up or s.is_gone or f.failures > 0 or f.failing_since is not null);

  return query with asked as materialized (
      select t.i, t.workspace, coalesce(t.webhook, d.webhook_id) as webhook,
        case when d.is_direct and d.next_attempt_at <= now() and row_number() over (partition by t.workspace, t.wake order by t.i) = 1
          then d.id end as direct
      from json_to_recordset(items) as t (i int, workspace uuid, webhook uuid, wake uuid, take boolean)
      left join webhook_delivery d on t.webhook is null and d.workspace_id = t.workspace and d.id = t.wake where t.take),
    token as materialized (select asked.i, gen_random_uuid() as token from asked),
    wanted as materialized (
      select workspace, webhook, count(*) as n, array_agg(asked.i) as askers from asked
      where webhook is not null and direct is null group by 1, 2),
    room as materialized (
      select a.workspace, a.webhook, a.askers, w.is_ordered, s.burst, least(a.n, greatest(0, case
          when w.status <> 'active' or f.disable_reason is not null or f.open_until > now() then 0
          else s.lanes - (select count(distinct d.lease_token) from webhook_delivery d where d.workspace_id = a.workspace
            and d.webhook_id = a.webhook and d.status = 'sending' and d.next_attempt_at > now()) end)) as free
      from wanted a join webhook w on w.workspace_id = a.workspace and w.id = a.webhook
      join webhook_flow f on f.workspace_id = a.workspace and f.webhook_id = a.webhook
      cross join lateral (select case when w.is_ordered or f.failures >= open_after then 1 else lanes end as lanes,
        case when w.is_ordered or f.failures >= open_after then 1 else burst end as burst) s),
    found as (
      select r.workspace, n.id,
        r.askers[1 + (row_number() over (partition by r.workspace, r.webhook order by n.rank, n.at) - 1) % r.free] as i
      from room r cross join lateral (
        (select d.id, 0 as rank, d.next_attempt_at as at from webhook_delivery d where not r.is_ordered
          and d.workspace_id = r.workspace and d.webhook_id = r.webhook and d.status = 'sending' and d.next_attempt_at <= now()
          order by d.next_attempt_at limit r.free * r.burst)
        union all
        (select d.id, 1, d.next_attempt_at from webhook_delivery d where not r.is_ordered
          and d.workspace_id = r.workspace and d.webhook_id = r.webhook and d.status = 'pending' and d.next_attempt_at <= now()
          order by d.next_attempt_at limit r.free * r.burst)
        union all
        (select o.id, 1, o.next_attempt_at from (
          select d.id, d.next_attempt_at from webhook_delivery d where r.is_ordered
            and d.workspace_id = r.workspace and d.webhook_id = r.webhook and d.next_attempt_at is not null
          order by d.seq limit 1) o where o.next_attempt_at <= now())
        order by rank, at limit r.free * r.burst) n
      where r.free > 0
      union all select workspace, direct, asked.i from asked where direct is not null),
    taken as (
      update webhook_delivery d set status = 'sending', attempts = d.attempts + 1, lease_token = k.token,
        next_attempt_at = now() + lease_ms * interval '1 millisecond'
      from found n join token k on k.i = n.i where d.workspace_id = n.workspace and d.id = n.id
      returning n.i, d.workspace_id, d.id, d.webhook_id, d.lease_token, d.event_id, d.event_type, d.cause, d.seq, d.attempts)
    select t.i, null::boolean, t.workspace_id, t.id, t.webhook_id, t.lease_token, t.event_id, t.event_type, t.cause, t.seq, t.attempts,
      e.occurred_at, e.data::text, w.revision
    from taken t left join outbox_event e on e.workspace_id = t.workspace_id and e.id = t.event_id
    left join webhook w on w.workspace_id = t.workspace_id and w.id = t.webhook_id;
end $$`;

/**
 * Webhooks: the endpoints, what changes with every delivery of one (`webhook_flow`), and the deliveries, parted by month of the id (UUID
 * version 7). A delivery is over when `next_attempt_at` is null; while it is `sending`, that is when its worker is taken for dead.
 * Deliveries name their event, and say nothing of it: what it says is in the outbox alone.
 */
export class Webhooks extends Migration {
  override up(): void {
    this.addSql(`create table webhook (
      workspace_id uuid not null constraint webhook_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      name text not null,
      url text not null,
      events text[] not null,
      is_ordered boolean not null default false,
      is_asymmetric boolean not null default false,
      payload_version text not null,
      status text not null default 'active' constraint webhook_status_check check (status in ('active', 'disabled')),
      disabled_reason text,
      disabled_at timestamptz,
      secrets bytea not null,
      public_key text,
      previous_until timestamptz,
      revision int not null default 1,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      primary key (workspace_id, id)
    )`);
    this.addSql(`create table webhook_flow (
      workspace_id uuid not null,
      webhook_id uuid not null,
      last_seq bigint not null default 0,
      failures int not null default 0,
      failing_since timestamptz,
      open_until timestamptz,
      disable_reason text,
      primary key (workspace_id, webhook_id),
      constraint webhook_flow_webhook_foreign foreign key (workspace_id, webhook_id)
        references webhook (workspace_id, id) on delete cascade
    ) with (fillfactor = 50)`);
    this.addSql('create index webhook_flow_disable on webhook_flow (workspace_id) where disable_reason is not null');
    this.addSql(`create table webhook_delivery (
      workspace_id uuid not null constraint webhook_delivery_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null default uuidv7(),
      webhook_id uuid not null,
      event_id uuid not null,
      event_type text not null,
      cause text not null default 'event' constraint webhook_delivery_cause_check check (cause in ('event', 'replay', 'test')),
      seq bigint not null,
      status text not null default 'pending' constraint webhook_delivery_status_check
        check (status in ('pending', 'sending', 'delivered', 'failed', 'cancelled')),
      attempts int not null default 0,
      is_direct boolean not null default false,
      next_attempt_at timestamptz default now(),
      lease_token uuid,
      response_status int,
      response_snippet text,
      duration_ms int,
      error text,
      attempt_log jsonb not null default '[]',
      created_at timestamptz not null default now(),
      finished_at timestamptz,
      primary key (workspace_id, id)
    ) partition by range (id)`);
    this.addSql('create index webhook_delivery_list on webhook_delivery (workspace_id, webhook_id, id)');
    this
      .addSql(`create index webhook_delivery_open on webhook_delivery (workspace_id, webhook_id, status, next_attempt_at)
      where next_attempt_at is not null`);
    this.addSql(`create index webhook_delivery_order on webhook_delivery (workspace_id, webhook_id, seq)
      where next_attempt_at is not null`);
    this.addSql('create index webhook_delivery_direct on webhook_delivery (next_attempt_at) where is_direct');
    for (const table of ['webhook', 'webhook_flow', 'webhook_delivery'])
      for (const sql of tenantTable(table)) this.addSql(sql);
    this.addSql('create table webhook_delivery_other partition of webhook_delivery default');
    this.addSql('revoke all on webhook_delivery_other from wh_app, wh_system');
    this
      .addSql(`select partition_make('webhook_delivery', (date_trunc('month', now() at time zone 'UTC') + n * interval '1 month')::date)
      from generate_series(0, 2) n`);
    this.addSql(STEP);
  }

  override down(): void {
    this.addSql('drop function webhook_step');
    this.addSql('drop table webhook_delivery, webhook_flow, webhook');
  }
}
