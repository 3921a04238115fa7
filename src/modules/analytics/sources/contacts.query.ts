import { defineSource } from '#src/modules/analytics/sources/define.ts';

/** New contacts, by the moment they were made, also those that are in the bin by now; `user` is who made them, and empty for the platform. */
export const contacts = defineSource({
  name: 'contacts',
  dimensions: ['source', 'user'],
  measures: ['created'],
  facts: `select array[c.source, coalesce(c.created_by::text, '')] as dimensions, array[count(*)] as amounts
    from contact c where c.workspace_id = $1 and c.created_at >= bucket.starts and c.created_at < bucket.ends
    group by c.source, c.created_by`,
});
