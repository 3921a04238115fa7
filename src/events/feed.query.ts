import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { Hints } from '#src/events/hint.ts';
import type { StoredEvent } from '#src/events/relay.query.ts';

/**
 * More events than this at once, and it is cheaper to ask for each workspace than to sort out whose they are. As a limit it also tells the
 * planner that few are meant.
 */
const MANY = 20_000;

/** What a process needs to know of all events to follow those of some workspaces. */
export interface Survey {
  /** The last position that was given. */
  head: number;
  /** Every event behind this position is still there, unless a person or a workspace was erased with it. */
  floor: number;
  /** The workspaces with events behind the position that was asked for, and the last of each; null where there may be any. */
  hints: Hints | null;
}

/** @param after null for no workspaces. @param systemPool sees all workspaces; what is read are positions */
export async function surveyEvents(systemPool: Pool, after: number | null): Promise<Survey> {
  const { rows } = await systemPool.query<Survey>({
    name: 'outbox-survey',
    text: `select h.last::float8 as head, coalesce((select min(position) from outbox_event) - 1, h.last)::float8 as floor,
        case when h.last - $1::bigint > ${MANY} then null else coalesce((select json_agg(json_build_array(w.workspace_id, w.last))
          from (select n.workspace_id, max(n.position) as last from (select e.workspace_id, e.position from outbox_event e
            where e.position > $1::bigint order by e.position limit ${MANY}) n group by 1) w), '[]') end as hints
      from outbox_head h`,
    values: [after],
  });
  if (!rows[0]) throw new Error('The outbox has no head');
  return rows[0];
}

/** An event as its followers need it. */
export interface FollowedEvent extends Pick<
  StoredEvent,
  'id' | 'position' | 'type' | 'actorId' | 'data' | 'occurredAt'
> {
  /** It happened longer ago than what is told again. */
  isPast: boolean;
}

export interface FollowedPage {
  /** Behind the last of the events, where there are fewer than `limit`, there is none of this workspace up to here. */
  head: number;
  events: FollowedEvent[];
}

/** The events of one workspace behind a position, in order. @param windowHours how long events are told again */
export async function readFollowed(
  pool: Pool,
  {
    workspaceId,
    after,
    limit,
    windowHours,
  }: { workspaceId: string; after: number; limit: number; windowHours: number },
): Promise<FollowedPage> {
  const { rows } = await queryAs<FollowedEvent & { head: number; id: string | null }>(
    pool,
    { workspaceId },
    {
      name: 'outbox-follow',
      text: `select h.last::float8 as head, e.* from outbox_head h left join lateral (
          select id, position::float8 as position, type, actor_id as "actorId", data, occurred_at as "occurredAt",
            occurred_at < now() - $4::int * interval '1 hour' as "isPast"
          from outbox_event o where o.workspace_id = $1 and o.position > $2::bigint order by o.position limit $3) e on true
        order by e.position`,
      values: [workspaceId, after, limit, windowHours],
    },
  );
  // Without events there is a row of the head alone.
  return { head: rows[0]?.head ?? after, events: rows.filter(({ id }) => id !== null) };
}
