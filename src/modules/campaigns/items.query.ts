import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import { limitByPlan } from '#src/modules/billing/plans.ts';
import { suppressionPads } from '#src/modules/privacy/suppression.ts';

/** The right to send one item once: what `begin` and `ack` must say. */
export interface Attempt {
  itemId: string;
  attemptId: string;
  fence: number;
}

/** An item that was claimed, with all that sending it takes. */
export interface ClaimedItem extends Attempt {
  campaignId: string;
  contactId: string;
  /** E.164. */
  to: string;
  notBefore: string;
  leaseExpiresAt: string;
  /** The text before its variables are filled in. */
  template: string;
  contact: {
    name: string;
    phone: string;
    email: string | null;
    company: string | null;
    position: string | null;
    customFields: Record<string, unknown>;
  };
}

export interface Claimed {
  items: ClaimedItem[];
  /** When there may be more to claim; null where nobody knows. */
  againAt: string | null;
}

/**
 * How an attempt ended. `failed` says that nothing reached anybody: `retryable` when it may be tried again, else the recipient cannot be
 * reached. Whoever cannot say that says `unknown`.
 */
export interface Ack extends Attempt {
  result: 'sent' | 'failed' | 'unknown';
  retryable: boolean;
  /** Whether the failure says something of the channel, and not of the recipient. */
  isChannels: boolean;
  code: string | null;
  messageId: string | null;
  retryAfterMs: number | null;
}

export interface Acked {
  itemId: string;
  /** `repeated`: it was known already, or something better is. `stale`: another attempt is under way. `refused`: it was never begun. */
  verdict: 'accepted' | 'repeated' | 'stale' | 'refused';
  status: string;
}

/** An attempt that reached nobody and is given back for later, without using one of its item's tries. */
export interface Deferral extends Attempt {
  waitMs: number;
  /** Why it waits. */
  code: string;
}

export interface MessageStatus {
  itemId: string | null;
  messageId: string | null;
  status: 'sent' | 'delivered' | 'read' | 'failed';
}

/** Tries of what fails without an effect, and the milliseconds before the second; each further wait is four times as long. */
export const MAX_ATTEMPTS = 3;
export const BACKOFF_MS = 60_000;

const SENDS = limitByPlan('messagesPerDay');

/** What is done with items, each in one statement, for one workspace. */
export type Items = ReturnType<typeof createItems>;

/**
 * The steps of an item's life (see the migration): each is one round trip and one commit.
 * @param leaseMs how long a claim, and then a begun attempt, may take
 * @param appSecret the installation's, of which the list of who is not written to is keyed
 */
export function createItems(pool: Pool, { leaseMs, appSecret }: { leaseMs: number; appSecret: string }) {
  const ask = async <Row extends object>(workspaceId: string, name: string, call: string, values: unknown[]) =>
    (await queryAs<Row>(pool, { workspaceId }, { name: `campaign-${name}`, text: `select ${call}`, values })).rows;
  const ids = async (workspaceId: string, name: string, call: string, values: unknown[]): Promise<Set<string>> =>
    new Set((await ask<{ id: string }>(workspaceId, name, call, values)).map(({ id }) => id));
  return {
    /** Takes up to `max` items of a channel that may be sent within `horizonMs`; what must not be sent is skipped on the way. */
    async claim(
      workspaceId: string,
      asked: { channelId: string; max: number; holder: string; horizonMs: number },
    ): Promise<Claimed> {
      const { inner, outer } = suppressionPads(appSecret, workspaceId);
      const values = [SENDS, asked.channelId, asked.max, asked.holder, leaseMs, asked.horizonMs, inner, outer];
      const [row] = await ask<{ claimed: Claimed }>(
        workspaceId,
        'claim',
        'campaign_claim($1::jsonb, $2::uuid, $3, $4, $5, $6, $7, $8) as claimed',
        values,
      );
      return row?.claimed ?? { items: [], againAt: null };
    },
    /**
     * Notes that attempts are about to have an effect. What has a `text` stands in its contact's conversation once it is sent.
     * @returns the items that may be sent now; the others must not be
     */
    begin: (workspaceId: string, attempts: readonly (Attempt & { text?: string })[]): Promise<Set<string>> =>
      ids(workspaceId, 'begin', 'campaign_begin($1::jsonb, $2::json, $3) as id', [
        SENDS,
        JSON.stringify(attempts),
        leaseMs,
      ]),
    /**
     * Notes how attempts ended; each item once in a call. May be repeated, and come late.
     * @param by `cloud_ack` where a refusal may have overtaken the acceptance, `phone_ack` where the messages themselves come by a sync
     */
    async ack(
      workspaceId: string,
      acks: readonly Ack[],
      by: 'campaign_ack' | 'cloud_ack' | 'phone_ack' = 'campaign_ack',
    ): Promise<Acked[]> {
      const asked = acks.map(
        ({ messageId: message_id, retryAfterMs: retry_after_ms, isChannels: is_channels, ...ack }) => ({
          ...ack,
          message_id,
          retry_after_ms,
          is_channels,
        }),
      );
      return ask<Acked>(workspaceId, by, `* from ${by}($1::json, $2, $3)`, [
        JSON.stringify(asked),
        MAX_ATTEMPTS,
        BACKOFF_MS,
      ]);
    },
    /** Gives claimed items back that were not begun. */
    release: (workspaceId: string, attempts: readonly Attempt[]): Promise<Set<string>> =>
      ids(workspaceId, 'release', 'campaign_release($1::json) as id', [JSON.stringify(attempts)]),
    /** Gives a claimed item back whose campaign or channel does not send now. */
    async giveBackStopped(workspaceId: string, { itemId, attemptId, fence }: Attempt): Promise<void> {
      await queryAs(
        pool,
        { workspaceId },
        {
          name: 'campaign-give-back-stopped',
          // Nobody cancels the campaign in between: the lock before the item, as everywhere.
          text: `with its as materialized (select c.id, c.status from campaign c where c.workspace_id = current_workspace()
              and c.id = (select i.campaign_id from campaign_item i where i.workspace_id = current_workspace() and i.id = $1) for share)
            update campaign_item i set status = 'pending', lease_expires_at = null, updated_at = now() from its c, channel h
              where i.workspace_id = current_workspace() and i.id = $1 and i.attempt_id = $2 and i.fence = $3 and i.status = 'claimed'
                and i.campaign_id = c.id and h.workspace_id = i.workspace_id and h.id = i.channel_id
                and (c.status <> 'running' or h.state <> 'active')`,
          values: [itemId, attemptId, fence],
        },
      );
    },
    /** Gives items back for later that were not begun, or of which the other side said that nothing happened. */
    defer: (workspaceId: string, deferrals: readonly Deferral[]): Promise<Set<string>> =>
      ids(workspaceId, 'defer', 'campaign_defer($1::json) as id', [
        JSON.stringify(deferrals.map(({ waitMs: wait_ms, ...deferral }) => ({ ...deferral, wait_ms }))),
      ]),
    /** Ends claimed items that cannot be sent as they are. */
    skip: (workspaceId: string, skipped: readonly (Attempt & { reason: string })[]): Promise<Set<string>> =>
      ids(workspaceId, 'skip', 'campaign_skip($1::json) as id', [JSON.stringify(skipped)]),
    /** Notes what a channel says of messages, in any order and as often as it likes. @returns the items that changed */
    status: (workspaceId: string, channelId: string, said: readonly MessageStatus[]): Promise<Set<string>> =>
      ids(workspaceId, 'status', 'campaign_status($1::uuid, $2::json) as id', [
        channelId,
        JSON.stringify(said.map(({ itemId, messageId, status }) => ({ itemId, message_id: messageId, status }))),
      ]),
    /** Prolongs the lease of an attempt. @returns whether it is still the holder's */
    async renew(workspaceId: string, { itemId, attemptId, fence }: Attempt): Promise<boolean> {
      const { rowCount } = await queryAs(
        pool,
        { workspaceId },
        {
          name: 'campaign-renew',
          text: `update campaign_item set lease_expires_at = clock_timestamp() + $4 * interval '1 millisecond'
            where workspace_id = current_workspace() and id = $1 and attempt_id = $2 and fence = $3
              and status in ('claimed', 'dispatching') and lease_expires_at > clock_timestamp()`,
          values: [itemId, attemptId, fence, leaseMs],
        },
      );
      return (rowCount ?? 0) > 0;
    },
    async isCampaign(workspaceId: string, campaignId: string): Promise<boolean> {
      const text = 'select from campaign where workspace_id = current_workspace() and id = $1';
      const { rowCount } = await queryAs(pool, { workspaceId }, { name: 'campaign-is', text, values: [campaignId] });
      return (rowCount ?? 0) > 0;
    },
    /** Ends a campaign that has nothing left, or pauses one in trouble. */
    async settle(workspaceId: string, campaignId: string): Promise<void> {
      await ask(workspaceId, 'settle', 'campaign_settle(current_workspace(), $1::uuid)', [campaignId]);
    },
  };
}

/** As the system: takes back what nobody holds any more. @returns how many; call again while > 0 */
export async function sweepItems(systemPool: Pool): Promise<number> {
  const { rows } = await systemPool.query<{ n: number }>('select campaign_sweep(1000) as n');
  return rows[0]?.n ?? 0;
}

/** So long may the end of a message that nobody knows still become known by itself, as by a late word of its channel. */
const UNKNOWN_GRACE_MINUTES = 15;

/** As the system: does with ends that stay unknown what their campaigns chose. @returns how many items it settled */
export async function settleUnknown(systemPool: Pool): Promise<number> {
  const { rows } = await systemPool.query<{ n: number }>({
    name: 'campaigns-settle-unknown',
    text: `select campaign_settle_unknown($1 * interval '1 minute') as n`,
    values: [UNKNOWN_GRACE_MINUTES],
  });
  return rows[0]?.n ?? 0;
}

/** As the system: ends campaigns that have nothing left, also of what was unknown, and pauses those in trouble. */
export async function settleCampaigns(systemPool: Pool): Promise<void> {
  // In the order in which all who lock several campaigns do.
  await systemPool.query(`select campaign_settle(o.workspace_id, o.id) from (select c.workspace_id, c.id from campaign c where
    (c.status = 'completed_with_unknown' and c.finished_at > now() - interval '30 days' and not exists (select from campaign_item i
        where i.workspace_id = c.workspace_id and i.campaign_id = c.id and i.status = 'unknown'))
    or c.status = 'running' and (not exists (select from campaign_item i where i.workspace_id = c.workspace_id and i.campaign_id = c.id
        and i.status in ('pending', 'claimed', 'dispatching'))
      or campaign_trouble(c.workspace_id, c.id, coalesce(c.resumed_at, c.started_at)) is not null)
    order by c.workspace_id, c.id offset 0) o`);
}
