import { Migration } from '@mikro-orm/migrations';

// What a person who said no is still to be sent is not sent, on whatever way they said it; what is begun can only end.
const OPTED_OUT = `create function campaign_opted_out() returns trigger language plpgsql as $$
begin
  with theirs as materialized (
    select i.id from campaign_item i where i.workspace_id = new.workspace_id and i.contact_id = new.id and i.status in ('pending', 'claimed')
      order by i.id for update of i)
  update campaign_item i set status = 'skipped', skip_reason = 'opted_out', lease_expires_at = null, updated_at = now()
    from theirs t where i.workspace_id = new.workspace_id and i.id = t.id;
  return null;
end $$`;

// What a holder has claimed from a channel and not begun goes back.
const GIVE_BACK = `create function channel_give_back(wanted_channel uuid, holder text) returns int language plpgsql as $$
declare
  changed int;
begin
  perform from campaign c where c.workspace_id = current_workspace() and c.id in (select i.campaign_id from campaign_item i
    where i.workspace_id = current_workspace() and i.channel_id = wanted_channel and i.status = 'claimed' and i.claimed_by = holder) order by c.id for share;
  with theirs as materialized (
    select i.id from campaign_item i where i.workspace_id = current_workspace() and i.channel_id = wanted_channel and i.status = 'claimed'
      and i.claimed_by = holder order by i.id for update of i)
  update campaign_item i set status = 'pending', lease_expires_at = null, updated_at = now()
    from theirs t where i.workspace_id = current_workspace() and i.id = t.id;
  get diagnostics changed = row_count;
  return changed;
end $$`;

// For the system: what campaigns that chose so do with items nobody knows the end of, once no late word is to be expected. Sent again is each
// once at most, also when nobody knows of the second time either.
const POLICIES = `create function campaign_settle_unknown(grace interval) returns int language plpgsql as $$
declare
  one campaign; changed int; total int := 0;
begin
  for one in select c.* from campaign c where c.on_unknown <> 'hold' and c.status in ('running', 'paused', 'completed_with_unknown')
      and exists (select from campaign_item i where i.workspace_id = c.workspace_id and i.campaign_id = c.id and i.status = 'unknown'
        and i.updated_at < now() - grace and (c.on_unknown = 'assume_sent' or not i.is_resent))
      order by c.workspace_id, c.id for no key update skip locked loop
    with due as materialized (
      select i.id from campaign_item i where i.workspace_id = one.workspace_id and i.campaign_id = one.id and i.status = 'unknown'
        and i.updated_at < now() - grace and (one.on_unknown = 'assume_sent' or not i.is_resent) order by i.id for update of i)
    update campaign_item i set updated_at = now(), outcome = 'resolved',
        status = case one.on_unknown when 'assume_sent' then 'sent' else 'pending' end,
        sent_at = case one.on_unknown when 'assume_sent' then coalesce(i.sent_at, i.dispatch_started_at) else i.sent_at end,
        is_resent = one.on_unknown = 'resend_once', attempt_no = case one.on_unknown when 'resend_once' then 0 else i.attempt_no end,
        next_attempt_at = now()
      from due d where i.workspace_id = one.workspace_id and i.id = d.id;
    get diagnostics changed = row_count;
    total := total + changed;
    if one.status = 'completed_with_unknown' then
      update campaign c set version = version + 1, updated_at = now(), resumed_at = clock_timestamp(),
          status = case one.on_unknown when 'resend_once' then 'running' else 'completed' end,
          finished_at = case one.on_unknown when 'resend_once' then null else c.finished_at end
        where c.workspace_id = one.workspace_id and c.id = one.id
          and (one.on_unknown = 'resend_once' or not exists (select from campaign_item i where i.workspace_id = c.workspace_id
            and i.campaign_id = c.id and i.status = 'unknown'));
    end if;
  end loop;
  return total;
end $$`;

const STATE = `create function channel_told() returns trigger language plpgsql as $$
begin
  insert into outbox_event (id, workspace_id, type, subject_id, actor_id, data)
    values (uuidv7(), new.workspace_id, 'channel.state_changed', null, null,
      json_build_object('channelId', new.id, 'state', new.state, 'reason', new.pause_reason));
  return null;
end $$`;

/** What campaigns do with ends that stay unknown, with people who say no and people who answer; and texts of single recipients. */
export class CampaignReplies extends Migration {
  override up(): void {
    this.addSql(`alter table campaign
      add on_unknown text not null default 'hold' constraint campaign_on_unknown_check check (on_unknown in ('hold', 'assume_sent', 'resend_once')),
      add ai jsonb,
      add ai_spent_nano bigint not null default 0`);
    this.addSql(`create index campaign_unknown on campaign (workspace_id, id) where on_unknown <> 'hold'`);
    this.addSql(`alter table campaign_item
      add is_resent boolean not null default false,
      add opted_out_at timestamptz,
      add text text,
      add awaits_text boolean not null default false,
      add text_job_id uuid,
      add text_asked_at timestamptz`);
    this.addSql(
      `create index campaign_item_awaits on campaign_item (workspace_id, campaign_id, id) where awaits_text and status = 'pending'`,
    );
    this.addSql(
      'create index campaign_item_text_job on campaign_item (workspace_id, text_job_id) where text_job_id is not null',
    );
    for (const sql of [OPTED_OUT, GIVE_BACK, POLICIES, STATE]) this.addSql(sql);
    this.addSql(`create trigger opted_out after update of consent on contact for each row
      when (new.consent = 'denied' and old.consent <> 'denied') execute function campaign_opted_out()`);
    this.addSql(`create trigger told after update of state on channel for each row
      when (old.state <> new.state) execute function channel_told()`);
  }

  override down(): void {
    this.addSql('drop trigger told on channel');
    this.addSql('drop trigger opted_out on contact');
    this.addSql('drop function channel_told, campaign_settle_unknown, channel_give_back, campaign_opted_out');
    this.addSql('drop index campaign_item_text_job, campaign_item_awaits, campaign_unknown');
    this.addSql(
      'alter table campaign_item drop is_resent, drop opted_out_at, drop text, drop awaits_text, drop text_job_id, drop text_asked_at',
    );
    this.addSql('alter table campaign drop on_unknown, drop ai, drop ai_spent_nano');
  }
}
