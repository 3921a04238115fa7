import { defineSource, sumOf } from '#src/modules/analytics/sources/define.ts';

const NAMES = ['created', 'won', 'lost'] as const;
const count = (what: string): string => `count(*) filter (where f.what = '${what}')`;
const sum = (what: string): string => sumOf(`case when f.what = '${what}' then f.amount_minor else 0 end`);

/**
 * Deals, by the moment they were made, and again by the moment they were won or lost; each with what it is worth now, in minor units. Whose
 * a deal is not, has an empty `user`. A deal that is deleted or open again is counted no more.
 */
export const deals = defineSource({
  name: 'deals',
  dimensions: ['pipeline', 'currency', 'user'],
  measures: ['created', 'won', 'lost', 'createdMinor', 'wonMinor', 'lostMinor'],
  facts: `select array[f.pipeline_id::text, f.currency::text, coalesce(f.owner_id::text, '')] as dimensions,
      array[${[...NAMES.map(count), ...NAMES.map(sum)].join()}] as amounts
    from (
      select 'created' as what, d.pipeline_id, d.currency, d.owner_id, d.amount_minor from deal d
        where d.workspace_id = $1 and d.deleted_at is null and d.created_at >= bucket.starts and d.created_at < bucket.ends
      union all
      select d.status, d.pipeline_id, d.currency, d.owner_id, d.amount_minor from deal d where d.workspace_id = $1 and d.deleted_at is null
        and d.closed_at is not null and d.closed_at >= bucket.starts and d.closed_at < bucket.ends) f
    group by f.pipeline_id, f.currency, f.owner_id`,
});
