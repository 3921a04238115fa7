import type { Pool, PoolClient } from 'pg';
import type { CampaignAi } from '#src/modules/campaigns/campaigns.schemas.ts';
import type { TemplateContact } from '#src/modules/templates/template.ts';

/** Texts of one campaign that are being written at once. */
const UNDER_WAY = 50;
/** A text that has not come by then does not come: its item goes with the campaign's own. */
const GIVE_UP_MINUTES = 15;

/** A text that is to be written now, by the job of that id. */
export interface TextStart {
  workspaceId: string;
  itemId: string;
  jobId: string;
  /** In whose name. */
  userId: string | null;
  ai: CampaignAi;
  template: string;
  contact: TemplateContact;
}

/**
 * Takes items whose texts are to be written, as the system, as far as their campaigns' budgets go: each reserves the most it may cost. Where a
 * budget is spent, or a text does not come, an item goes with the campaign's own text.
 */
export async function takeTexts(systemPool: Pool): Promise<TextStart[]> {
  const { rows } = await systemPool.query<TextStart>({
    name: 'campaign-texts-take',
    text: `with open as materialized (
        select c.workspace_id, c.id, c.ai, c.variants, c.started_by, (select count(*) from campaign_item u where u.workspace_id = c.workspace_id
            and u.campaign_id = c.id and u.awaits_text and u.status = 'pending' and u.text_job_id is not null) as under_way, ((c.ai->>'maxCostUsd')::numeric * 1e9)::bigint as each,
            floor(((c.ai->>'budgetUsd')::numeric * 1e9 - c.ai_spent_nano) / ((c.ai->>'maxCostUsd')::numeric * 1e9)) as affordable
          from campaign c where c.ai is not null and c.status in ('running', 'paused') and exists (select from campaign_item i
            where i.workspace_id = c.workspace_id and i.campaign_id = c.id and i.awaits_text and i.status = 'pending')
          order by c.workspace_id, c.id limit 20 for no key update skip locked),
      due as materialized (
        select o.workspace_id, o.id as campaign_id, i.id from open o cross join lateral (
          select i.id from campaign_item i where i.workspace_id = o.workspace_id and i.campaign_id = o.id and i.awaits_text and i.status = 'pending'
            and i.text_job_id is null order by i.id
            limit greatest(0, least(o.affordable, ${UNDER_WAY} - o.under_way))::bigint) i),
      taken as (
        update campaign_item i set text_job_id = uuidv7(), text_asked_at = now() from due d where i.workspace_id = d.workspace_id and i.id = d.id
          returning i.workspace_id, i.id, i.campaign_id, i.contact_id, i.variant, i.text_job_id),
      reserved as (
        update campaign c set ai_spent_nano = c.ai_spent_nano + t.n * o.each
          from (select workspace_id, campaign_id, count(*) as n from taken group by 1, 2) t, open o
          where c.workspace_id = t.workspace_id and c.id = t.campaign_id and o.workspace_id = c.workspace_id and o.id = c.id),
      given_up as (
        update campaign_item i set awaits_text = false, text_job_id = null from open o
          where i.workspace_id = o.workspace_id and i.campaign_id = o.id and i.awaits_text and i.status = 'pending'
            and case when i.text_job_id is null then o.affordable < 1 and o.under_way = 0 else i.text_asked_at < now() - interval '${GIVE_UP_MINUTES} minutes' end)
      select t.workspace_id as "workspaceId", t.id as "itemId", t.text_job_id as "jobId", o.ai, o.variants->(t.variant::int)->>'text' as template,
          coalesce(o.started_by, (select m.user_id from member m where m.workspace_id = t.workspace_id and m.role = 'owner' order by m.user_id limit 1))
            as "userId",
          json_build_object('name', p.name, 'phone', p.phone, 'email', p.email, 'company', p.company, 'position', p.position,
            'customFields', p.custom_fields) as contact
        from taken t join open o on o.workspace_id = t.workspace_id and o.id = t.campaign_id
          join contact p on p.workspace_id = t.workspace_id and p.id = t.contact_id`,
  });
  return rows;
}

/** Items go with their campaigns' own texts; what was reserved for theirs is free again. */
export async function dropTexts(systemPool: Pool, starts: readonly TextStart[]): Promise<void> {
  await systemPool.query({
    name: 'campaign-texts-drop',
    text: WRITE,
    values: [
      starts.map(({ workspaceId }) => workspaceId),
      starts.map(({ jobId }) => jobId),
      starts.map(() => null),
      starts.map(() => 0),
    ],
  });
}

/** How a job that wrote a text ended, and what it cost. */
export interface WrittenText {
  workspaceId: string;
  jobId: string;
  /** Null: there is none. */
  text: string | null;
  costNano: number;
}

/** Writes texts to the items they are for, and what they cost to the campaigns' budgets. */
export async function writeTexts(tx: PoolClient, written: readonly WrittenText[]): Promise<void> {
  await tx.query({
    name: 'campaign-texts-write',
    text: WRITE,
    values: [
      written.map(({ workspaceId }) => workspaceId),
      written.map(({ jobId }) => jobId),
      written.map(({ text }) => text),
      written.map(({ costNano }) => costNano),
    ],
  });
}

// Campaigns before items, as everywhere.
const WRITE = `with ended as materialized (
    select i.workspace_id, i.campaign_id, i.id, e.text, e.cost from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[]) as e (workspace_id, job_id, text, cost)
      join campaign_item i on i.workspace_id = e.workspace_id and i.text_job_id = e.job_id),
  locked as materialized (
    select c.workspace_id, c.id from campaign c where (c.workspace_id, c.id) in (select e.workspace_id, e.campaign_id from ended e)
      order by c.workspace_id, c.id for no key update),
  paid as (
    update campaign c set ai_spent_nano = greatest(0, c.ai_spent_nano + e.cost - e.n * ((c.ai->>'maxCostUsd')::numeric * 1e9)::bigint)
      from (select workspace_id, campaign_id, count(*) as n, sum(cost)::bigint as cost from ended group by 1, 2) e, locked l
      where c.workspace_id = e.workspace_id and c.id = e.campaign_id and l.workspace_id = c.workspace_id and l.id = c.id)
  update campaign_item i set text = case when i.status = 'pending' then e.text end, awaits_text = false, text_job_id = null, updated_at = now()
    from ended e, locked l where i.workspace_id = e.workspace_id and i.id = e.id and l.workspace_id = e.workspace_id and l.id = e.campaign_id`;

/** Results of jobs that were asked for texts, as the system; others are not among them. */
export async function findWritten(
  tx: PoolClient,
  jobs: readonly { workspaceId: string; jobId: string }[],
): Promise<{ workspaceId: string; jobId: string; result: unknown }[]> {
  const { rows } = await tx.query<{ workspaceId: string; jobId: string; result: unknown }>({
    name: 'campaign-texts-written',
    text: `select e.workspace_id as "workspaceId", e.job_id as "jobId", j.result from unnest($1::uuid[], $2::uuid[]) as e (workspace_id, job_id)
      join campaign_item i on i.workspace_id = e.workspace_id and i.text_job_id = e.job_id
      left join job j on j.workspace_id = e.workspace_id and j.id = e.job_id`,
    values: [jobs.map(({ workspaceId }) => workspaceId), jobs.map(({ jobId }) => jobId)],
  });
  return rows;
}
