import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { CloudTemplate } from '#src/modules/cloud-api/message.ts';

/** What sending one item takes beyond its claim. */
export interface SendingState {
  itemId: string;
  cloudTemplate: CloudTemplate | null;
  /** The text the template was approved for; a recipient's own text has other variables. */
  approved: string;
  /** Whether they wrote so lately that free text may be sent. */
  isOpen: boolean;
  /** Milliseconds until the number may write to them again; 0: now. */
  pairWaitMs: number;
}

/** Meta's window is 24 hours; what is begun now arrives a moment later. */
const WINDOW = `interval '23 hours 59 minutes'`;
/** One message to the same person in so long (WhatsApp's pair rate limit); what failed counts too, for nobody knows how Meta counts. */
const PAIR_SECONDS = 6;

/** In one statement, for the items of one claim. */
export async function readSending(
  pool: Pool,
  workspaceId: string,
  itemIds: readonly string[],
): Promise<SendingState[]> {
  const { rows } = await queryAs<SendingState>(
    pool,
    { workspaceId },
    {
      name: 'cloud-sending',
      text: `select i.id as "itemId", c.variants->(i.variant::int)->'cloudTemplate' as "cloudTemplate",
          c.variants->(i.variant::int)->>'text' as approved,
          exists (select from conversation v where v.workspace_id = i.workspace_id and v.channel_id = i.channel_id and v.contact_id = i.contact_id
            and v.last_inbound_at > now() - ${WINDOW}) as "isOpen",
          coalesce((select greatest(0, ceil(extract(epoch from max(o.dispatch_started_at) + interval '${PAIR_SECONDS} seconds' - now()) * 1000))
            from campaign_item o where o.workspace_id = i.workspace_id and o.contact_id = i.contact_id and o.channel_id = i.channel_id
              and o.id <> i.id), 0)::int as "pairWaitMs"
        from campaign_item i join campaign c on c.workspace_id = i.workspace_id and c.id = i.campaign_id
        where i.workspace_id = current_workspace() and i.id = any ($1::uuid[])`,
      values: [itemIds],
    },
  );
  return rows;
}

/** Has a number keep still that was too fast. */
export async function slowChannel(em: EntityManager, channelId: string): Promise<void> {
  await em.execute('select channel_slow(?::uuid, 0)', [channelId]);
}

/** @returns whether it was active */
export async function stopChannel(em: EntityManager, channelId: string, reason: string): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `update channel set state = 'paused', pause_reason = ?, updated_at = now()
      where workspace_id = current_workspace() and id = ?::uuid and state = 'active' returning 1 as one`,
    [reason, channelId],
  );
  return rows.length > 0;
}

/** Pauses a campaign that runs. */
export async function pauseCampaign(em: EntityManager, campaignId: string, reason: string): Promise<void> {
  await em.execute(
    `update campaign set status = 'paused', pause_reason = ?, version = version + 1, updated_at = now()
      where workspace_id = current_workspace() and id = ?::uuid and status = 'running'`,
    [reason, campaignId],
  );
}

/** Pauses the running campaigns of a channel that send a template. */
export async function pauseCampaignsOf(
  em: EntityManager,
  channelId: string,
  template: { name: string; language: string },
  reason: string,
): Promise<void> {
  await em.execute(
    `with theirs as materialized (
        select c.id from campaign c where c.workspace_id = current_workspace() and c.channel_id = ?::uuid and c.status = 'running'
          and c.variants @> ?::jsonb order by c.id for no key update)
      update campaign c set status = 'paused', pause_reason = ?, version = version + 1, updated_at = now()
        from theirs t where c.workspace_id = current_workspace() and c.id = t.id`,
    [channelId, JSON.stringify([{ cloudTemplate: template }]), reason],
  );
}

/** Whether another message could not be delivered to somebody either. */
export async function isUndeliverableAgain(
  em: EntityManager,
  { contactId, itemId, code }: { contactId: string; itemId: string; code: string },
): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `select 1 as one from campaign_item where workspace_id = current_workspace() and contact_id = ?::uuid and id <> ?::uuid
      and status = 'failed' and error_code = ? limit 1`,
    [contactId, itemId, code],
  );
  return rows.length > 0;
}

/** One status as the Cloud API tells it; `item_id` and `attempt_id` where we had given them along. */
export interface StatusRow {
  item_id: string | null;
  attempt_id: string | null;
  message_id: string;
  status: 'sent' | 'delivered' | 'read' | 'failed';
  code: string | null;
  at: string;
}

/** An item whose status changed. */
export interface Changed {
  item_id: string;
  campaign_id: string;
  contact_id: string | null;
  message_id: string;
  status: string;
}

export const noteStatuses = (em: EntityManager, channelId: string, said: readonly StatusRow[]): Promise<Changed[]> =>
  em.execute<Changed[]>('select * from cloud_status(?::uuid, ?::json)', [channelId, JSON.stringify(said)]);

/** Adds to what is known of a channel's number. */
export async function noteHealth(em: EntityManager, channelId: string, health: object): Promise<void> {
  await em.execute(
    `update channel set health = health || ?::jsonb where workspace_id = current_workspace() and id = ?::uuid`,
    [JSON.stringify(health), channelId],
  );
}

/** Has other batches of messages of a channel wait until the transaction ends, and nothing that is sent from it. */
export async function lockInbound(em: EntityManager, channelId: string): Promise<void> {
  await em.execute('select pg_advisory_xact_lock(hashtextextended(?::text, 1))', [channelId]);
}

/** The channel's own number, in E.164. */
export async function readPhone(em: EntityManager, channelId: string): Promise<string | null> {
  const [row] = await em.execute<{ phone: string | null }[]>(
    'select phone from channel where workspace_id = current_workspace() and id = ?::uuid',
    [channelId],
  );
  return row?.phone ?? null;
}
