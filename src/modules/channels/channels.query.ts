import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { Pacing } from '#src/modules/channels/channels.schemas.ts';

export interface ChannelRow {
  id: string;
  name: string;
  kind: 'extension' | 'cloud_api' | 'webhook';
  phone: string | null;
  url: string | null;
  state: 'active' | 'paused';
  pause_reason: string | null;
  time_zone: string;
  pacing: Pacing;
  created_at: string;
  updated_at: string;
}

const at = (column: string) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ${column}`;
const SELECT = `select id, name, kind, phone, url, state, pause_reason, time_zone, pacing, ${at('created_at')}, ${at('updated_at')} from channel
  where workspace_id = current_workspace()`;

/** The workspace's channels, the newest first, before the id `before`. */
export const findChannels = (em: EntityManager, page: { before: string | null; limit: number }) =>
  em.execute<ChannelRow[]>(`${SELECT} and (?::uuid is null or id < ?::uuid) order by id desc limit ?`, [
    page.before,
    page.before,
    page.limit,
  ]);

export async function findChannel(em: EntityManager, id: string, lock = false): Promise<ChannelRow | undefined> {
  const [row] = await em.execute<ChannelRow[]>(`${SELECT} and id = ?::uuid${lock ? ' for update' : ''}`, [id]);
  return row;
}

/** @throws UniqueConstraintViolationException when there is a channel of that number */
export async function insertChannel(
  em: EntityManager,
  row: Pick<ChannelRow, 'id' | 'name' | 'kind' | 'phone' | 'url'> & {
    timeZone: string | null;
    pacing: Pacing;
    secrets: Buffer | null;
  },
): Promise<void> {
  await em.execute(
    `insert into channel (workspace_id, id, kind, external_id, name, phone, url, pacing, secrets, time_zone)
      select w.id, ?::uuid, ?::text, ?::text, ?::text, ?::text, ?::text, ?::jsonb, decode(?::text, 'hex'), coalesce(?::text, w.time_zone)
      from workspace w where w.id = current_workspace()`,
    [
      row.id,
      row.kind,
      row.phone ?? row.id,
      row.name,
      row.phone,
      row.url,
      JSON.stringify(row.pacing),
      row.secrets?.toString('hex') ?? null,
      row.timeZone,
    ],
  );
}

export async function updateChannel(
  em: EntityManager,
  id: string,
  row: Pick<ChannelRow, 'name' | 'phone' | 'url' | 'time_zone' | 'pacing' | 'state'> & { secrets: Buffer | null },
): Promise<void> {
  await em.execute(
    `update channel set name = ?, phone = ?, url = ?, time_zone = ?, pacing = ?::jsonb, updated_at = now(),
        pause_reason = case when ?::text = 'active' then null else coalesce(pause_reason, 'by_hand') end, state = ?::text, secrets = coalesce(decode(?::text, 'hex'), secrets)
      where workspace_id = current_workspace() and id = ?::uuid`,
    [
      row.name,
      row.phone,
      row.url,
      row.time_zone,
      JSON.stringify(row.pacing),
      row.state,
      row.state,
      row.secrets?.toString('hex') ?? null,
      id,
    ],
  );
  // What kept it waiting may be no more.
  await em.execute(
    `update channel_flow set blocked_until = '-infinity', not_before = least(not_before, now() + ?::int * interval '1 millisecond')
      where workspace_id = current_workspace() and channel_id = ?::uuid`,
    [row.pacing.maxDelayMs, id],
  );
}

/** @returns whether it is gone; one that campaigns were made for stays */
export async function deleteChannel(em: EntityManager, id: string): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `delete from channel c where c.workspace_id = current_workspace() and c.id = ?::uuid
      and not exists (select from campaign p where p.workspace_id = c.workspace_id and p.channel_id = c.id) returning c.id`,
    [id],
  );
  return rows.length > 0;
}

/** A channel as one that sends for it needs it; `secrets` sealed. */
export interface ChannelTarget {
  kind: ChannelRow['kind'];
  state: ChannelRow['state'];
  url: string | null;
  secrets: Buffer | null;
}

/** @returns undefined where the workspace has no such channel */
export async function readTarget(pool: Pool, workspaceId: string, id: string): Promise<ChannelTarget | undefined> {
  const { rows } = await queryAs<ChannelTarget>(
    pool,
    { workspaceId },
    {
      name: 'channel-target',
      text: 'select kind, state, url, secrets from channel where workspace_id = current_workspace() and id = $1',
      values: [id],
    },
  );
  return rows[0];
}

/** What is known of how a channel is; `health` as it was last noted. */
export async function readHealth(
  em: EntityManager,
  id: string,
): Promise<{ health: Record<string, unknown>; secrets: Buffer | null; slowed_until: string | null } | undefined> {
  const [row] = await em.execute<
    { health: Record<string, unknown>; secrets: string | null; slowed_until: string | null }[]
  >(
    `select c.health, encode(c.secrets, 'hex') as secrets, (select to_char(f.slowed_until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
        from channel_flow f where f.workspace_id = c.workspace_id and f.channel_id = c.id and f.slowed_until > now()) as slowed_until
      from channel c where c.workspace_id = current_workspace() and c.id = ?::uuid`,
    [id],
  );
  return row && { ...row, secrets: row.secrets === null ? null : Buffer.from(row.secrets, 'hex') };
}

/** A channel of whichever workspace, as the system: for what comes signed with its secret and says no workspace. */
export async function findAnyTarget(
  systemPool: Pool,
  id: string,
): Promise<(ChannelTarget & { workspaceId: string }) | undefined> {
  const { rows } = await systemPool.query<ChannelTarget & { workspaceId: string }>({
    name: 'channel-any',
    text: `select workspace_id as "workspaceId", kind, state, url, secrets from channel where id = $1 and secrets is not null limit 1`,
    values: [id],
  });
  return rows[0];
}

/**
 * Gives a phone's session the right to send for a channel, or prolongs it; others stand by until it is let go or silent.
 * @returns milliseconds until another session's right ends; 0 when it is this one's
 */
export async function holdSession(
  pool: Pool,
  workspaceId: string,
  held: { channelId: string; sessionId: string; userId: string; ttlMs: number },
): Promise<number> {
  const { rows } = await queryAs<{ wait: number }>(
    pool,
    { workspaceId },
    {
      name: 'channel-hold',
      text: `with held as (
          insert into channel_flow as f (workspace_id, channel_id, session_id, session_user_id, session_until)
            values (current_workspace(), $1, $2, $3, clock_timestamp() + $4 * interval '1 millisecond')
          on conflict (workspace_id, channel_id) do update set session_id = excluded.session_id, session_user_id = excluded.session_user_id,
              session_until = excluded.session_until
            where f.session_id is null or f.session_id = excluded.session_id or f.session_until < clock_timestamp()
          returning 1)
        select case when exists (select from held) then 0 else greatest(1, (select extract(epoch from f.session_until - clock_timestamp()) * 1000
          from channel_flow f where f.workspace_id = current_workspace() and f.channel_id = $1)::int) end as wait`,
      values: [held.channelId, held.sessionId, held.userId, held.ttlMs],
    },
  );
  return rows[0]?.wait ?? 1;
}

/** A session of a phone's number. */
export interface SessionKey {
  channelId: string;
  sessionId: string;
}

/** Lets a session's right go, where it is its own. */
export async function dropSession(pool: Pool, workspaceId: string, key: SessionKey): Promise<void> {
  await queryAs(
    pool,
    { workspaceId },
    {
      name: 'channel-drop',
      text: `update channel_flow set session_id = null, session_user_id = null, session_until = null
        where workspace_id = current_workspace() and channel_id = $1 and session_id = $2`,
      values: [key.channelId, key.sessionId],
    },
  );
}

/** Gives back what a holder has claimed from a channel and not begun. */
export async function releaseHeld(
  pool: Pool,
  workspaceId: string,
  held: { channelId: string; holder: string },
): Promise<void> {
  await queryAs(
    pool,
    { workspaceId },
    { name: 'channel-give-back', text: 'select channel_give_back($1, $2)', values: [held.channelId, held.holder] },
  );
}

/** Stops a channel by itself, with the reason, until somebody has it go on. */
export async function stopChannel(
  pool: Pool,
  workspaceId: string,
  channel: { id: string; reason: string },
): Promise<void> {
  await queryAs(
    pool,
    { workspaceId },
    {
      name: 'channel-stop',
      text: `update channel set state = 'paused', pause_reason = $2, updated_at = now()
        where workspace_id = current_workspace() and id = $1 and state = 'active'`,
      values: [channel.id, channel.reason],
    },
  );
}

/** Counts messages that no item stands for towards a channel's hour and day. */
export async function countSends(em: EntityManager, sent: { channelId: string; sends: number }): Promise<void> {
  await em.execute(
    `insert into channel_counter as n (workspace_id, channel_id, bucket, sends)
      values (current_workspace(), ?::uuid, date_bin('5 minutes', now(), 'epoch'), ?)
      on conflict (workspace_id, channel_id, bucket) do update set sends = n.sends + excluded.sends`,
    [sent.channelId, sent.sends],
  );
}

/** How many channels the transaction's workspace has. */
export async function countChannels(em: EntityManager): Promise<number> {
  const [row] = await em.execute<{ n: number }[]>(
    'select count(*)::int as n from channel where workspace_id = current_workspace()',
  );
  return row?.n ?? 0;
}
