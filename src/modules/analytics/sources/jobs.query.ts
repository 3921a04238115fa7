import { defineSource } from '#src/modules/analytics/sources/define.ts';

const ended = (status: string): string => `count(*) filter (where j.status = '${status}')`;

/** AI jobs, by the moment they ended; each item of a batch is one, the batch is none. Also those that no provider was asked for. */
export const jobs = defineSource({
  name: 'jobs',
  dimensions: ['engine', 'user'],
  measures: ['completed', 'failed', 'cancelled'],
  facts: `select array[j.engine, j.user_id::text] as dimensions,
      array[${ended('completed')}, ${ended('failed')}, ${ended('cancelled')}] as amounts
    from job j where j.workspace_id = $1 and j.finished_at >= bucket.starts and j.finished_at < bucket.ends and j.engine <> 'batch'
    group by j.engine, j.user_id`,
});
