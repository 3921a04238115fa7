import type { Pool, PoolClient } from 'pg';

export type ContactAiKind = 'sentiment' | 'score';

/** Something AI is to look at. */
export interface Ask {
  workspaceId: string;
  contactId: string;
  kind: ContactAiKind;
}

/** How long a process has for what it took. */
export const LEASE_MINUTES = 15;
/** A burst that does not end is looked at all the same. */
const MOST_QUIETS = 6;

/**
 * Asks for AI to look at contacts once they have been quiet for a while: at most one waits per contact and kind, whatever happens. Contacts
 * that are gone are passed over.
 * @param asks each once
 */
export async function askForAi(tx: PoolClient, asks: readonly Ask[], quietMs: number): Promise<void> {
  await tx.query({
    name: 'contact-ai-ask',
    text: `insert into contact_ai as a (workspace_id, contact_id, kind, due_at)
      select c.workspace_id, c.id, k.kind, now() + $4 * interval '1 millisecond'
      from unnest($1::uuid[], $2::uuid[], $3::text[]) as k (workspace_id, contact_id, kind)
      join contact c on c.workspace_id = k.workspace_id and c.id = k.contact_id and c.deleted_at is null
      order by 1, 2, 3 for key share of c
      on conflict (workspace_id, contact_id, kind) do update set
        asked_at = case when a.due_at is null then now() else a.asked_at end,
        due_at = case when a.due_at is null then excluded.due_at
          else least(excluded.due_at, a.asked_at + ${MOST_QUIETS} * $4 * interval '1 millisecond') end`,
    values: [
      asks.map(({ workspaceId }) => workspaceId),
      asks.map(({ contactId }) => contactId),
      asks.map(({ kind }) => kind),
      quietMs,
    ],
  });
}

/** A look that is to be made now, by the job of that id. */
export interface Start extends Ask {
  jobId: string;
  /** Until when this process has it. */
  lease: string;
  /** What the workspace chose; null: nothing. */
  mode: string | null;
  /** In whose name: who looks after the contact, else the workspace's owner. */
  userId: string | null;
}

/**
 * Takes looks that are due, as the system. One whose job is under way waits for its end, also where its process was lost before that was noted;
 * where the process was lost before the job was accepted, another takes it a quarter of an hour later.
 */
export async function takeDue(systemPool: Pool, limit: number): Promise<Start[]> {
  const { rows } = await systemPool.query<Start>({
    name: 'contact-ai-take',
    text: `with due as materialized (
        select workspace_id, contact_id, kind from contact_ai
          where due_at <= now() and (job_id is null or (started_at < now() - interval '${LEASE_MINUTES - 1} minutes' and not exists (select from job j
              where j.workspace_id = contact_ai.workspace_id and j.id = contact_ai.job_id and j.finished_at is null)))
            and exists (select from contact c where c.workspace_id = contact_ai.workspace_id and c.id = contact_ai.contact_id and c.deleted_at is null)
          order by due_at limit $1 for update skip locked),
      taken as (
        update contact_ai a set job_id = uuidv7(), started_at = now(), due_at = now() + interval '${LEASE_MINUTES} minutes' from due d
          where a.workspace_id = d.workspace_id and a.contact_id = d.contact_id and a.kind = d.kind
          returning a.workspace_id, a.contact_id, a.kind, a.job_id, a.due_at)
      select t.workspace_id as "workspaceId", t.contact_id as "contactId", t.kind, t.job_id as "jobId", t.due_at::text as lease,
        (select s.value #>> '{}' from workspace_setting s where s.workspace_id = t.workspace_id
          and s.key = case t.kind when 'sentiment' then 'ai.autoSentiment' else 'ai.autoScore' end) as mode,
        coalesce(c.owner_id, (select m.user_id from member m where m.workspace_id = t.workspace_id and m.role = 'owner'
          order by m.user_id limit 1)) as "userId"
      from taken t join contact c on c.workspace_id = t.workspace_id and c.id = t.contact_id`,
    values: [limit],
  });
  return rows;
}

/**
 * Notes that a job was accepted, or that there will be none; what was asked for meanwhile stays. The job may have ended already. One about somebody
 * who went into the bin, or is being forgotten, is cancelled, and what it was told and answered is emptied: the erasure may have passed the jobs before.
 */
export async function settleStarts(
  systemPool: Pool,
  starts: readonly (Start & { isAccepted: boolean })[],
): Promise<void> {
  await systemPool.query({
    name: 'contact-ai-settle',
    text: `with s as materialized (select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::boolean[])
        as s (workspace_id, contact_id, kind, job_id, lease, is_accepted)),
      emptied as (update job j set input = '{}', result = case when j.result is not null then '{}'::json end,
          cancel_requested_at = case when j.finished_at is null then now() else j.cancel_requested_at end
        from s join contact c on c.workspace_id = s.workspace_id and c.id = s.contact_id and c.deleted_at is not null and c.merged_into is null
        where s.is_accepted and j.workspace_id = s.workspace_id and j.id = s.job_id)
      update contact_ai a set due_at = case when a.due_at = s.lease::timestamptz then null else a.due_at end,
        job_id = case when s.is_accepted or a.job_id <> s.job_id then a.job_id end
      from s where a.workspace_id = s.workspace_id and a.contact_id = s.contact_id and a.kind = s.kind`,
    values: [
      starts.map(({ workspaceId }) => workspaceId),
      starts.map(({ contactId }) => contactId),
      starts.map(({ kind }) => kind),
      starts.map(({ jobId }) => jobId),
      starts.map(({ lease }) => lease),
      starts.map(({ isAccepted }) => isAccepted),
    ],
  });
}

/** What contacts wrote in the last day, the newest 20 texts in their order, as the system; by contact. */
export async function findTexts(
  systemPool: Pool,
  contacts: readonly Pick<Ask, 'workspaceId' | 'contactId'>[],
): Promise<Map<string, string[]>> {
  const { rows } = await systemPool.query<{ contactId: string; texts: string[] }>({
    name: 'contact-ai-texts',
    text: `select k.contact_id as "contactId", array_agg(m.body order by m.id) as texts
      from unnest($1::uuid[], $2::uuid[]) as k (workspace_id, contact_id) cross join lateral (
        select m.id, m.body from message m where m.workspace_id = k.workspace_id and m.contact_id = k.contact_id
          and m.id >= first_id_at(now() - interval '1 day') and m.direction = 'inbound' and m.type = 'text' and trim(m.body) <> ''
          order by m.id desc limit 20) m
      group by k.workspace_id, k.contact_id`,
    values: [contacts.map(({ workspaceId }) => workspaceId), contacts.map(({ contactId }) => contactId)],
  });
  return new Map(rows.map(({ contactId, texts }) => [contactId, texts]));
}
