import { Migration } from '@mikro-orm/migrations';

const NOTHING = `null::uuid, null::uuid, null::uuid, null::uuid, null::uuid, null::text, null::text, null::bigint, null::int,
      null::timestamptz, null::text, null::int`;

/** What is put into the function's text. */
interface Parts {
  declared: string;
  now: string;
  afterLock: string;
  note: string;
  isDirect: string;
  noted: string;
  andNoted: string;
}

const BEFORE: Parts = {
  declared: '',
  now: 'now()',
  afterLock: '',
  note: 'return query update',
  isDirect: 'false',
  noted: `returning t.i, true, ${NOTHING};`,
  andNoted: '',
};

const AFTER: Parts = {
  declared: 'declare\n  moment timestamptz;\n  ended int[];\n',
  now: 'moment',
  afterLock: `
  -- The transaction's own time is from before the wait for the lock, which can take most of a lease.
  moment := clock_timestamp();`,
  note: 'with noted as (update',
  isDirect: `d.is_direct and t.status = 'pending' and t.entry is null`,
  noted: `returning t.i)
    select array_agg(noted.i) into ended from noted;
  return query select n, true, ${NOTHING} from unnest(ended) n;`,
  andNoted: ' and t.i = any(ended)',
};

const step = ({
  declared,
  now,
  afterLock,
  note,
  isDirect,
  noted,
  andNoted,
}: Parts): string => `create or replace function webhook_step(
  items json, lease_ms int, lanes int, burst int, open_after int, open_ms int, give_up_after interval)
returns table (
  i int, is_noted boolean, workspace_id uuid, id uuid, webhook_id uuid, lease_token uuid, event_id uuid, event_type text, cause text,
  seq bigint, attempts int, occurred_at timestamptz, data text, revision int)
language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
${declared}begin
  -- What a crash of the database takes back is delivered once more, as everything may be; the wait for its disk would be the dearest part.
  perform set_config('synchronous_commit', 'off', true);

  perform from webhook_flow f where (f.workspace_id, f.webhook_id) in (
    select t.workspace, coalesce(t.webhook, d.webhook_id)
    from json_to_recordset(items) as t (workspace uuid, webhook uuid, wake uuid)
    left join webhook_delivery d on t.webhook is null and d.workspace_id = t.workspace and d.id = t.wake)
  order by f.workspace_id, f.webhook_id for update;${afterLock}

  ${note} webhook_delivery d set status = t.status, attempts = t.attempts, is_direct = ${isDirect}, lease_token = null,
      next_attempt_at = case when t.status = 'pending' then ${now} + t."delayMs" * interval '1 millisecond' end,
      finished_at = case when t.status <> 'pending' then ${now} end,
      response_status = t."responseStatus", response_snippet = t.snippet, duration_ms = t."durationMs", error = t.error,
      attempt_log = case when t.entry is null then d.attempt_log
        when jsonb_array_length(d.attempt_log) < 12 then d.attempt_log || t.entry else (d.attempt_log - 0) || t.entry end
    from json_to_recordset(items) as t (i int, workspace uuid, delivery uuid, token uuid, status text, attempts int, "delayMs" int,
      "responseStatus" int, snippet text, "durationMs" int, error text, entry jsonb)
    where d.workspace_id = t.workspace and d.id = t.delivery and d.status = 'sending' and d.lease_token = t.token
    ${noted}

  update webhook_flow f set
      failures = case when s.is_up then 0 else f.failures + s.failures end,
      failing_since = case when s.is_up then null else coalesce(f.failing_since, ${now}) end,
      open_until = case when s.is_up or f.failures + s.failures < open_after then null
        else ${now} + open_ms * interval '1 millisecond' end,
      disable_reason = case when s.is_gone then 'gone'
        when not s.is_up and f.failing_since < ${now} - give_up_after then 'failing' else f.disable_reason end
    from (select t.workspace, t.webhook, bool_or(t.effect = 'up') as is_up, bool_or(t.effect = 'gone') as is_gone,
        count(*) filter (where t.effect <> 'up')::int as failures
      from json_to_recordset(items) as t (i int, workspace uuid, webhook uuid, effect text)
      where t.effect is not null${andNoted} group by 1, 2) s
    where f.workspace_id = s.workspace and f.webhook_id = s.webhook
      and (not s.is_up or s.is_gone or f.failures > 0 or f.failing_since is not null);

  return query with asked as materialized (
      select t.i, t.workspace, coalesce(t.webhook, d.webhook_id) as webhook,
        case when d.is_direct and d.next_attempt_at <= ${now} and row_number() over (partition by t.workspace, t.wake order by t.i) = 1
          then d.id end as direct
      from json_to_recordset(items) as t (i int, workspace uuid, webhook uuid, wake uuid, take boolean)
      left join webhook_delivery d on t.webhook is null and d.workspace_id = t.workspace and d.id = t.wake where t.take),
    token as materialized (select asked.i, gen_random_uuid() as token from asked),
    wanted as materialized (
      select workspace, webhook, count(*) as n, array_agg(asked.i) as askers from asked
      where webhook is not null and direct is null group by 1, 2),
    room as materialized (
      select a.workspace, a.webhook, a.askers, w.is_ordered, s.burst, least(a.n, greatest(0, case
          when w.status <> 'active' or f.disable_reason is not null or f.open_until > ${now} then 0
          else s.lanes - (select count(distinct d.lease_token) from webhook_delivery d where d.workspace_id = a.workspace
            and d.webhook_id = a.webhook and d.status = 'sending' and d.next_attempt_at > ${now}) end)) as free
      from wanted a join webhook w on w.workspace_id = a.workspace and w.id = a.webhook
      join webhook_flow f on f.workspace_id = a.workspace and f.webhook_id = a.webhook
      cross join lateral (select case when w.is_ordered or f.failures >= open_after then 1 else lanes end as lanes,
        case when w.is_ordered or f.failures >= open_after then 1 else burst end as burst) s),
    found as (
      select r.workspace, n.id,
        r.askers[1 + (row_number() over (partition by r.workspace, r.webhook order by n.rank, n.at) - 1) % r.free] as i
      from room r cross join lateral (
        (select d.id, 0 as rank, d.next_attempt_at as at from webhook_delivery d where not r.is_ordered
          and d.workspace_id = r.workspace and d.webhook_id = r.webhook and d.status = 'sending' and d.next_attempt_at <= ${now}
          order by d.next_attempt_at limit r.free * r.burst)
        union all
        (select d.id, 1, d.next_attempt_at from webhook_delivery d where not r.is_ordered
          and d.workspace_id = r.workspace and d.webhook_id = r.webhook and d.status = 'pending' and d.next_attempt_at <= ${now}
          order by d.next_attempt_at limit r.free * r.burst)
        union all
        (select o.id, 1, o.next_attempt_at from (
          select d.id, d.next_attempt_at from webhook_delivery d where r.is_ordered
            and d.workspace_id = r.workspace and d.webhook_id = r.webhook and d.next_attempt_at is not null
          order by d.seq limit 1) o where o.next_attempt_at <= ${now})
        order by rank, at limit r.free * r.burst) n
      where r.free > 0
      union all select workspace, direct, asked.i from asked where direct is not null),
    taken as (
      update webhook_delivery d set status = 'sending', attempts = d.attempts + 1, lease_token = k.token,
        next_attempt_at = ${now} + lease_ms * interval '1 millisecond'
      from found n join token k on k.i = n.i where d.workspace_id = n.workspace and d.id = n.id
      returning n.i, d.workspace_id, d.id, d.webhook_id, d.lease_token, d.event_id, d.event_type, d.cause, d.seq, d.attempts)
    select t.i, null::boolean, t.workspace_id, t.id, t.webhook_id, t.lease_token, t.event_id, t.event_type, t.cause, t.seq, t.attempts,
      e.occurred_at, e.data::text, w.revision
    from taken t left join outbox_event e on e.workspace_id = t.workspace_id and e.id = t.event_id
    left join webhook w on w.workspace_id = t.workspace_id and w.id = t.webhook_id;
end $$`;

/**
 * A round of the workers (`webhook_step`) goes by the time at which it has its locks. An attempt that can be noted no more, because its
 * delivery was cancelled or is another's, says nothing of the endpoint either: it would turn one off that was turned on again meanwhile.
 * What was asked for by hand stays so when it is given back, or nobody would make it at an endpoint that is off.
 */
export class WebhookStep extends Migration {
  override up(): void {
    this.addSql(step(AFTER));
    this.addSql(`update webhook_flow f set disable_reason = null from webhook w
      where w.workspace_id = f.workspace_id and w.id = f.webhook_id and w.status = 'disabled' and f.disable_reason is not null`);
  }

  override down(): void {
    this.addSql(step(BEFORE));
  }
}
