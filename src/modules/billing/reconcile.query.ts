import type { Pool } from 'pg';

/** What must hold of a workspace's credits, and does not. Amounts in micro-credits; jobs are counted. */
export interface Broken {
  workspaceId: string;
  invariant: Invariant;
  expected: string;
  found: string;
}

export const INVARIANTS = ['entries', 'held', 'lots', 'open-of-ended', 'unresolved'] as const;
export type Invariant = (typeof INVARIANTS)[number];

// From the last entry that was added up: the sum of all entries is that of the checkpoint and of those behind it, and none is missing.
const ENTRIES = `with moved as (
    select a.workspace_id, a.last_entry, a.balance + a.held as total, coalesce(c.seq, 0) as seq, coalesce(c.total, 0) as before
    from credit_account a left join credit_checkpoint c using (workspace_id)
    where a.last_entry <> coalesce(c.seq, 0) or a.balance + a.held <> coalesce(c.total, 0)
  ), summed as (
    select m.*, e.moved, e.count from moved m cross join lateral (
      select coalesce(sum(case when e.to_account = 'credits' then e.amount else -e.amount end), 0)::bigint as moved, count(*) as count
      from credit_entry e where e.workspace_id = m.workspace_id and e.seq > m.seq) e
  ), advanced as (
    insert into credit_checkpoint as c (workspace_id, seq, total)
    select workspace_id, last_entry, total from summed where before + moved = total and count = last_entry - seq
    on conflict (workspace_id) do update set seq = excluded.seq, total = excluded.total where excluded.seq > c.seq
  )
  select workspace_id, 'entries' as invariant, before + moved as expected, total as found from summed
  where before + moved <> total or count <> last_entry - seq`;

const HELD = `select a.workspace_id, 'held' as invariant, coalesce(r.amount, 0) as expected, a.held as found
  from credit_account a left join (
    select workspace_id, sum(amount)::bigint as amount from credit_reservation group by workspace_id) r using (workspace_id)
  where a.held <> coalesce(r.amount, 0)`;

const LOTS = `select a.workspace_id, 'lots' as invariant, coalesce(l.remaining, 0) as expected, a.balance + a.held as found
  from credit_account a left join (
    select workspace_id, sum(remaining)::bigint as remaining from credit_lot where emptied_at is null group by workspace_id) l
    using (workspace_id)
  where a.balance + a.held <> coalesce(l.remaining, 0)`;

const OPEN_OF_ENDED = `select r.workspace_id, 'open-of-ended' as invariant, 0 as expected, count(*) as found
  from credit_reservation r left join job j on j.workspace_id = r.workspace_id and j.id = r.id
  where j.id is null or j.finished_at is not null group by r.workspace_id`;

// `input is not null` is what the index of ended jobs says of those that are young enough.
const UNRESOLVED = `select j.workspace_id, 'unresolved' as invariant, 0 as expected, count(*) as found
  from job j join credit_account a on a.workspace_id = j.workspace_id
  left join credit_resolution r on r.workspace_id = j.workspace_id and r.reservation_id = j.id
  where j.input is not null and j.finished_at > now() - $1 * interval '1 second' and j.finished_at > a.opened_at and j.credit_held > 0
    and r.captured is distinct from j.credit_charged
  group by j.workspace_id`;

/**
 * Looks through the books of all workspaces, each statement at one moment. Costs what moved since the last look, not the history.
 * @param sinceSeconds how far back jobs are looked at that ended
 */
export async function findBroken(systemPool: Pool, sinceSeconds: number): Promise<Broken[]> {
  const found: Broken[] = [];
  for (const [text, values] of [
    [ENTRIES, []],
    [HELD, []],
    [LOTS, []],
    [OPEN_OF_ENDED, []],
    [UNRESOLVED, [sinceSeconds]],
  ] as const) {
    const { rows } = await systemPool.query<Omit<Broken, 'workspaceId'> & { workspace_id: string }>(text, [...values]);
    for (const { workspace_id: workspaceId, ...row } of rows) found.push({ workspaceId, ...row });
  }
  return found;
}

/**
 * Takes away what has expired of lots and is not held. Each batch is a transaction of its own: when thousands expire in one moment, the jobs of a
 * workspace wait for those of its batch, and what was done before a kill stays done.
 * @param accounts in a batch at most
 * @returns how many lots it took from
 */
export async function lapseLots(systemPool: Pool, accounts = 500): Promise<number> {
  for (let lapsed = 0; ;) {
    const { rows } = await systemPool.query<{ lapsed: number }>('select credit_lapse($1) as lapsed', [accounts]);
    const more = rows[0]?.lapsed ?? 0;
    if (more === 0) return lapsed;
    lapsed += more;
  }
}

/** Frees what is held for jobs that are over or gone; of no other job. @returns how many reservations */
export async function reapReservations(systemPool: Pool): Promise<number> {
  const { rows } = await systemPool.query<{ reaped: number }>('select credit_reap() as reaped');
  return rows[0]?.reaped ?? 0;
}
