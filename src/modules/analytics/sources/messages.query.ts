import { defineSource } from '#src/modules/analytics/sources/define.ts';

const some = (condition: string): string => `count(*) filter (where ${condition})`;
const outbound = (statuses: string): string => some(`m.direction = 'outbound' and m.status in (${statuses})`);

/**
 * Messages, by the moment they were sent, which is in their ids; `user` is who looks after the contact now, or nobody. A first response is an
 * outbound message whose conversation's last one was inbound; its time runs from the first inbound message that was not answered yet, looked
 * for among the last 20. What a campaign sends answers nobody.
 */
export const messages = defineSource({
  name: 'messages',
  dimensions: ['user'],
  measures: ['inbound', 'outbound', 'delivered', 'read', 'failed', 'responses', 'responseSeconds'],
  facts: `select array[coalesce(c.owner_id::text, '')] as dimensions, array[${some(`m.direction = 'inbound'`)},
      ${some(`m.direction = 'outbound'`)}, ${outbound(`'delivered', 'read'`)}, ${outbound(`'read'`)}, ${outbound(`'failed'`)},
      count(r.since), coalesce(sum(least(604800, extract(epoch from m.sent_at - r.since))) filter (where r.since is not null), 0)::bigint] as amounts
    from message m join conversation c on c.workspace_id = $1 and c.id = m.conversation_id
    left join lateral (
      select min(t.sent_at) filter (where t.direction = 'inbound') as since from (
        select b.sent_at, b.direction, bool_and(b.direction = 'inbound') over (order by b.id desc) as is_waiting from (
          select b.id, b.sent_at, b.direction from message b
            where b.workspace_id = $1 and b.conversation_id = m.conversation_id and b.id < m.id
              and b.campaign_item_id is null
            order by b.id desc limit 20) b) t
        where t.is_waiting) r on m.direction = 'outbound' and m.status <> 'failed' and m.campaign_item_id is null
    where m.workspace_id = $1 and m.id >= first_id_at(bucket.starts) and m.id < first_id_at(bucket.ends)
    group by c.owner_id`,
});
