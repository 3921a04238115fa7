import type { PoolClient } from 'pg';
import { LEASE_MINUTES } from '#src/modules/contact-ai/contact-ai.query.ts';

/** The end of a job, of whatever engine. */
export interface EndedJob {
  workspaceId: string;
  jobId: string;
}

/** A job of AI that was about a contact. */
export interface ContactResult extends EndedJob {
  engine: string;
  status: string;
  contactId: string | null;
  result: unknown;
}

/**
 * Has contacts wait no longer for jobs that ended, nor be looked at again where nobody asked since: who started the job may have been killed
 * before it was noted (`settleStarts`).
 * @returns those jobs, and others that were asked to score a contact; erased contacts and lost results are in none of them
 */
export async function takeEnded(tx: PoolClient, jobs: readonly EndedJob[]): Promise<ContactResult[]> {
  const { rows } = await tx.query<ContactResult>({
    name: 'contact-ai-ended',
    text: `with ended as materialized (select * from unnest($1::uuid[], $2::uuid[]) as e (workspace_id, job_id)),
      freed as (update contact_ai a set job_id = null,
          due_at = case when a.due_at = a.started_at + interval '${LEASE_MINUTES} minutes' then null else a.due_at end
        from ended e where a.workspace_id = e.workspace_id and a.job_id = e.job_id
        returning a.workspace_id, a.contact_id, e.job_id)
      select e.workspace_id as "workspaceId", e.job_id as "jobId", j.engine, j.status, j.result,
        case when j.engine = 'score-lead' then (j.input ->> 'contactId')::uuid else f.contact_id end as "contactId"
      from ended e join job j on j.workspace_id = e.workspace_id and j.id = e.job_id
      left join freed f on f.workspace_id = e.workspace_id and f.job_id = e.job_id`,
    values: [jobs.map(({ workspaceId }) => workspaceId), jobs.map(({ jobId }) => jobId)],
  });
  return rows;
}

/** Who felt how. */
export interface Feeling extends EndedJob {
  contactId: string;
  sentiment: 'positive' | 'neutral' | 'negative';
}

/** Writes moods to contacts that are still there. */
export async function writeFeelings(tx: PoolClient, feelings: readonly Feeling[]): Promise<void> {
  await tx.query({
    name: 'contact-ai-feelings',
    text: `with f as materialized (select distinct on (workspace_id, contact_id) * from json_to_recordset($1::json) as f
        (workspace_id uuid, contact_id uuid, sentiment text, at int) order by workspace_id, contact_id, at desc)
      update contact c set sentiment = f.sentiment from f
      where c.workspace_id = f.workspace_id and c.id = f.contact_id and c.deleted_at is null and c.erased_at is null
        and c.sentiment is distinct from f.sentiment`,
    values: [
      JSON.stringify(
        feelings.map(({ workspaceId, contactId, sentiment }, at) => ({
          workspace_id: workspaceId,
          contact_id: contactId,
          sentiment,
          at,
        })),
      ),
    ],
  });
}

/** A score and what it is made of, whose points add up to it. */
export interface Score extends EndedJob {
  contactId: string;
  score: number;
  grade: string;
  version: string;
  recommendation: string;
  components: { feature: string; value: number | boolean | null; points: number }[];
}

/**
 * Writes a score to a contact that is still there, and where it changed, its history, an event and an entry of the timeline. One at a time:
 * what was before is told with it.
 */
export async function writeScore(tx: PoolClient, one: Score): Promise<void> {
  // By itself: a statement that waits for the lock sees no score that was written in that wait.
  await tx.query({
    name: 'contact-ai-score-lock',
    text: 'select from contact where workspace_id = $1 and id = $2 for no key update',
    values: [one.workspaceId, one.contactId],
  });
  await tx.query({
    name: 'contact-ai-score',
    text: `with was as materialized (
        select c.workspace_id, c.id, c.lead_score as before, c.score_version, c.owner_id from contact c
          where c.workspace_id = $1 and c.id = $2 and c.deleted_at is null and c.erased_at is null for no key update),
      changed as materialized (select * from was where before is distinct from $3::int or score_version is distinct from $4),
      scored as (update contact c set lead_score = $3::int, score_version = $4 from changed w
        where c.workspace_id = w.workspace_id and c.id = w.id),
      passed as (update lead_score l set is_superseded = true from changed w
        where l.workspace_id = w.workspace_id and l.id = (select n.id from lead_score n
          where n.workspace_id = w.workspace_id and n.contact_id = w.id order by n.id desc limit 1)),
      kept as (insert into lead_score (workspace_id, id, contact_id, score, before, grade, version, components, recommendation, job_id)
        select workspace_id, uuidv7(), id, $3::int, before, $5, $4, $6::json, $7, $8::uuid from changed),
      told as (insert into outbox_event (workspace_id, id, type, subject_id, actor_id, data)
        select workspace_id, uuidv7(), 'contact.scored', id, null,
          json_build_object('contactId', id, 'ownerId', owner_id, 'score', $3::int, 'before', before)
        from changed where before is distinct from $3::int)
      insert into activity (workspace_id, id, type, contact_id, payload)
        select workspace_id, uuidv7(), 'contact.scored', id, json_build_object('score', $3::int, 'before', before)
        from changed where before is distinct from $3::int`,
    values: [
      one.workspaceId,
      one.contactId,
      one.score,
      one.version,
      one.grade,
      JSON.stringify(one.components),
      one.recommendation,
      one.jobId,
    ],
  });
}
