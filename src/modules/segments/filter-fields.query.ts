import type { EntityManager } from '@mikro-orm/postgresql';
import { DEFAULT_COUNTRY, isCountry } from '#src/modules/contacts/phone.ts';
import type { FilterFields, CustomField } from '#src/modules/segments/compile-filter.query.ts';
import { childrenOf, type SegmentFilter } from '#src/modules/segments/segment-filter.ts';

function labelsIn(node: SegmentFilter): string[] {
  return 'hasLabel' in node ? [node.hasLabel] : childrenOf(node, []).flatMap((child) => labelsIn(child.node));
}

/**
 * What a filter is compiled with, of the transaction's workspace (`inWorkspaceTx`): its own fields, which of the filter's labels there are,
 * its country and its day.
 * @param now what days are counted from
 */
export async function loadFilterFields(
  em: EntityManager,
  filter: SegmentFilter,
  now = new Date(),
): Promise<FilterFields> {
  const [row] = await em.execute<
    { custom: [string, CustomField][]; labels: string[]; country: string; time_zone: string }[]
  >(
    `select w.country, w.time_zone,
        (select coalesce(json_agg(json_build_array(f.key, json_build_object('kind', f.kind, 'options', f.options))), '[]')
          from contact_field f where f.workspace_id = w.id) as custom,
        (select coalesce(json_agg(l.id), '[]') from label l where l.workspace_id = w.id
          and l.id in (select v::uuid from json_array_elements_text(?::json) v)) as labels
      from workspace w where w.id = current_workspace()`,
    [JSON.stringify([...new Set(labelsIn(filter))])],
  );
  if (!row) throw new Error('A filter is compiled in a transaction of its workspace');
  return {
    custom: new Map(row.custom),
    labels: new Set(row.labels),
    country: isCountry(row.country) ? row.country : DEFAULT_COUNTRY,
    timeZone: row.time_zone,
    now,
  };
}
