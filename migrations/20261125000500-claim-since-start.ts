import { Migration } from '@mikro-orm/migrations';

const ARGUMENTS = 'workspace_ids uuid[], ids uuid[], tokens uuid[], lease_ms int';

const claim = (withSinceStart: boolean): string => `create function job_claim(${ARGUMENTS})
returns table (
  i int, was text, lease_left_ms int, workspace_id uuid, id uuid, user_id uuid, queue text, engine text, input json, options json,
  request_id text, attempt int, failures int, max_attempts int, is_cancel_requested boolean, lease_token uuid, credit_held bigint,
  queue_ms int${withSinceStart ? ', since_start_ms int' : ''}) language plpgsql as $$
declare
  n record;
  j job;
begin
  for n in
    select * from unnest(workspace_ids, ids, tokens) with ordinality as t (workspace_id, id, token, at)
    order by t.workspace_id, t.id
  loop
    i := n.at;
    perform set_config('app.workspace_id', n.workspace_id::text, true);
    select * into j from job where job.workspace_id = n.workspace_id and job.id = n.id for update;
    was := j.status;
    id := null;
    lease_left_ms := null;
    if was in ('queued', 'retrying') or (was = 'active' and j.lease_until < now()) then
      update job set status = 'active', attempt = job.attempt + 1, lease_token = n.token,
        lease_until = now() + lease_ms * interval '1 millisecond',
        started_at = coalesce(job.started_at, now()), dispatched_at = coalesce(job.dispatched_at, now())
      where job.workspace_id = n.workspace_id and job.id = n.id
      returning * into j;
      workspace_id := j.workspace_id;
      id := j.id;
      user_id := j.user_id;
      queue := j.queue;
      engine := j.engine;
      input := j.input;
      options := j.options;
      request_id := j.request_id;
      attempt := j.attempt;
      failures := j.failures;
      max_attempts := j.max_attempts;
      is_cancel_requested := j.cancel_requested_at is not null;
      lease_token := j.lease_token;
      credit_held := j.credit_held;
      queue_ms := greatest(0, extract(epoch from now() - j.run_at) * 1000);${
        withSinceStart
          ? `
      since_start_ms := least(2147483647, greatest(0, extract(epoch from now() - j.started_at) * 1000));`
          : ''
      }
    elsif was = 'active' then
      lease_left_ms := greatest(1, extract(epoch from j.lease_until - now()) * 1000);
    end if;
    return next;
  end loop;
end $$`;

/** A claim also tells how long ago the job first started: the client's `timeoutMs` bounds all its attempts together. */
export class ClaimSinceStart extends Migration {
  override up(): void {
    this.addSql(`drop function job_claim(${ARGUMENTS})`);
    this.addSql(claim(true));
  }

  override down(): void {
    this.addSql(`drop function job_claim(${ARGUMENTS})`);
    this.addSql(claim(false));
  }
}
