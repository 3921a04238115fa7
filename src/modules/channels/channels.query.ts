import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { ChannelLimitsView, Pacing } from '#src/modules/channels/channels.schemas.ts';

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
    cloudNumberId: string | null;
  },
): Promise<void> {
  await em.execute(
    `insert into channel (workspace_id, id, kind, external_id, name, phone, url, pacing, secrets, cloud_number_id, time_zone)
      select w.id, ?::uuid, ?::text, ?::text, ?::text, ?::text, ?::text, ?::jsonb, decode(?::text, 'hex'), ?::text, coalesce(?::text, w.time_zone)
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
      row.cloudNumberId,
      row.timeZone,
    ],
  );
}

/**
 * Changes a channel. Where its pace changes, what kept it waiting may be no more; what Meta or a gateway asked of it stays.
 * @throws UniqueConstraintViolationException when there is a channel of that number
 */
export async function updateChannel(
  em: EntityManager,
  id: string,
  row: Pick<ChannelRow, 'name' | 'phone' | 'url' | 'time_zone' | 'pacing' | 'state'> & {
    secrets: Buffer | null;
    cloudNumberId: string | null;
    isNewPace: boolean;
  },
): Promise<void> {
  await em.execute(
    `update channel set name = ?, external_id = case when external_id in (coalesce(phone, ''), id::text) then coalesce(?::text, external_id) else external_id end,
        phone = ?::text, url = ?, time_zone = ?, pacing = ?::jsonb,
        updated_at = now(), cloud_number_id = coalesce(?::text, cloud_number_id),
        pause_reason = case when ?::text = 'active' then null else coalesce(pause_reason, 'by_hand') end, state = ?::text, secrets = coalesce(decode(?::text, 'hex'), secrets)
      where workspace_id = current_workspace() and id = ?::uuid`,
    [
      row.name,
      row.phone,
      row.phone,
      row.url,
      row.time_zone,
      JSON.stringify(row.pacing),
      row.cloudNumberId,
      row.state,
      row.state,
      row.secrets?.toString('hex') ?? null,
      id,
    ],
  );
  if (!row.isNewPace) return;
  await em.execute(
    `update channel_flow set blocked_until = slowed_until,
        not_before = greatest(slowed_until, least(not_before, now() + ?::int * interval '1 millisecond'))
      where workspace_id = current_workspace() and channel_id = ?::uuid`,
    [row.pacing.maxDelayMs, id],
  );
}

/** @returns whether it is gone; one that campaigns were made for stays, and one that has sent today, as its messages count for the plan */
export async function deleteChannel(em: EntityManager, id: string): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `delete from channel c where c.workspace_id = current_workspace() and c.id = ?::uuid
      and not exists (select from campaign p where p.workspace_id = c.workspace_id and p.channel_id = c.id)
      and not exists (select from channel_counter n where n.workspace_id = c.workspace_id and n.channel_id = c.id
        and n.bucket > now() - interval '1 day') returning c.id`,
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

/** What a channel may send and has sent, by the same count as what is claimed and sent goes by. @returns undefined where there is none */
export async function readLimits(em: EntityManager, id: string): Promise<ChannelLimitsView | undefined> {
  const [row] = await em.execute<ChannelLimitsView[]>(
    `with here as materialized (
        select h as channel, f as flow, date_trunc('day', now(), h.time_zone) as midnight, now() - interval '65 minutes' as hour_ago,
          (now() at time zone h.time_zone)::date - coalesce(f.warm_up_from, (now() at time zone h.time_zone)::date) + 1 as day
        from channel h left join channel_flow f on f.workspace_id = h.workspace_id and f.channel_id = h.id
        where h.workspace_id = current_workspace() and h.id = ?::uuid)
      select json_build_object('limit', ((c.channel).pacing->>'perHour')::int, 'sent', coalesce(sum(n.sends) filter (where n.bucket > c.hour_ago), 0)) as hour,
        json_build_object('limit', channel_per_day((c.channel).pacing, c.day), 'sent', coalesce(sum(n.sends) filter (where n.bucket >= c.midnight), 0)) as day,
        case when r.room < 0 then 0 else r.room end as room, to_char(r.until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "fullUntil"
      from here c cross join channel_room(c.channel, c.flow) r left join channel_counter n on n.workspace_id = (c.channel).workspace_id
        and n.channel_id = (c.channel).id and n.bucket >= least(c.midnight, c.hour_ago)
      group by c.channel, c.day, r.room, r.until`,
    [id],
  );
  return row;
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

/** A session of a phone's number. */
export interface SessionKey {
  channelId: string;
  sessionId: string;
}
/** Whose a session is, and the socket it is held by, where it is one. */
export interface SessionHolder extends SessionKey {
  userId: string;
  connectionId: string | null;
}

/**
 * Gives a phone's session the right to send for a channel, or prolongs it; others stand by until it is let go or silent.
 * @returns milliseconds until another session's right ends; 0 when it is this one's; null where the workspace has no such phone
 */
export async function holdSession(
  pool: Pool,
  workspaceId: string,
  held: SessionHolder & { ttlMs: number },
): Promise<number | null> {
  const { rows } = await queryAs<{ wait: number | null }>(
    pool,
    { workspaceId },
    {
      name: 'channel-hold',
      text: 'select channel_hold($1, $2, $3, $4, $5, true) as wait',
      values: [held.channelId, held.sessionId, held.userId, held.connectionId, held.ttlMs],
    },
  );
  return rows[0]?.wait ?? null;
}

/** Keeps the right of a session that a socket holds for another while. @returns whether it was still that socket's */
export async function keepSession(
  pool: Pool,
  workspaceId: string,
  held: SessionHolder & { ttlMs: number },
): Promise<boolean> {
  const { rowCount } = await queryAs(
    pool,
    { workspaceId },
    {
      name: 'channel-keep',
      text: `update channel_flow set session_until = clock_timestamp() + $5 * interval '1 millisecond'
        where workspace_id = current_workspace() and channel_id = $1 and session_id = $2 and session_user_id = $3 and session_connection = $4`,
      values: [held.channelId, held.sessionId, held.userId, held.connectionId, held.ttlMs],
    },
  );
  return (rowCount ?? 0) > 0;
}

/** Lets a session's right go, where it is its own; of a socket only what that very socket holds. */
export async function dropSession(pool: Pool, workspaceId: string, held: SessionHolder): Promise<void> {
  await queryAs(
    pool,
    { workspaceId },
    {
      name: 'channel-drop',
      text: `update channel_flow set session_id = null, session_user_id = null, session_until = null, session_connection = null
        where workspace_id = current_workspace() and channel_id = $1 and session_id = $2 and session_user_id = $3
          and ($4::uuid is null or session_connection = $4)`,
      values: [held.channelId, held.sessionId, held.userId, held.connectionId],
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

/** Counts messages that no item stands for towards a channel's hour and day. @returns whether there was room for them */
export async function reserveSends(em: EntityManager, sent: { channelId: string; sends: number }): Promise<boolean> {
  const rows = await em.execute<{ isReserved: boolean }[]>('select channel_reserve(?::uuid, ?::int) as "isReserved"', [
    sent.channelId,
    sent.sends,
  ]);
  return rows[0]?.isReserved ?? false;
}

/** How many channels the transaction's workspace has. */
export async function countChannels(em: EntityManager): Promise<number> {
  const [row] = await em.execute<{ n: number }[]>(
    'select count(*)::int as n from channel where workspace_id = current_workspace()',
  );
  return row?.n ?? 0;
}
