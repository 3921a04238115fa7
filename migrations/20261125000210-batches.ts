import { Migration } from '@mikro-orm/migrations';

// All or nothing: the parent goes through the accept of any job, which locks the account and knows the idempotency keys; then its items
// follow in the same transaction. A parent is never handed out: nobody can claim or renew it, and its lease does not end.
const ACCEPT = `create function batch_accept(
  workspace uuid, parent uuid, by_user uuid, in_queue text, of_engine text, summary text, options text, request text, attempts int,
  route text, key text, body_hash bytea, item_ids uuid[], item_inputs text[], item_holds bigint[])
returns table (outcome text, job_id uuid, balance bigint) language plpgsql as $$
declare
  total bigint := (select coalesce(sum(h), 0) from unnest(item_holds) h);
begin
  select a.outcome, a.job_id, a.balance into outcome, job_id, balance
    from job_accept(array[workspace], array[parent], array[by_user], array[in_queue], array['batch'], array['bulk'], array[summary],
      array[options], array[request], array[1], array[0::bigint], array[route], array[key], array[body_hash]) a;
  if outcome = 'accepted' and total > balance then
    delete from idempotency i where i.workspace_id = workspace and i.job_id = parent;
    delete from job j where j.workspace_id = workspace and j.id = parent;
    outcome := 'too_dear';
  end if;
  if outcome = 'accepted' then
    update job j set status = 'active', lease_token = gen_random_uuid(), lease_until = 'infinity', started_at = now(),
      dispatched_at = now(), attempt = 1
    where j.workspace_id = workspace and j.id = parent;
    insert into job (workspace_id, id, user_id, queue, engine, band, input, options, request_id, max_attempts, credit_held, parent_id, item)
      select workspace, t.id, by_user, in_queue, of_engine, 'bulk', t.input::json, batch_accept.options::json, request, attempts, t.hold,
        parent, t.at - 1
      from unnest(item_ids, item_inputs, item_holds) with ordinality as t (id, input, hold, at);
    update credit_account a set balance = a.balance - total, held = a.held + total where a.workspace_id = workspace;
  end if;
  return next;
end $$`;

/** Jobs that are items of another: `parent_id` names it, `item` the place in its list, from 0. */
export class Batches extends Migration {
  override up(): void {
    this.addSql(`alter table job add column parent_id uuid, add column item integer,
      add check ((parent_id is null) = (item is null))`);
    this.addSql('create unique index job_item on job (workspace_id, parent_id, item) where parent_id is not null');
    this.addSql(
      `create index job_item_open on job (workspace_id, parent_id) where parent_id is not null and finished_at is null`,
    );
    this.addSql(`create index job_batch_open on job (workspace_id, id) where engine = 'batch' and finished_at is null`);
    this.addSql(ACCEPT);
  }

  override down(): void {
    this.addSql('drop function batch_accept');
    this.addSql('alter table job drop column parent_id, drop column item');
  }
}
