import type { EntityManager } from '@mikro-orm/postgresql';
import type { DealsOf } from '#src/modules/activities/activity-sight.ts';
import { DEFAULT_COUNTRY, isCountry } from '#src/modules/contacts/phone.ts';
import type { FilterFields, CustomField } from '#src/modules/segments/compile-filter.query.ts';
import { childrenOf, type SegmentFilter } from '#src/modules/segments/segment-filter.ts';

/** The ids of labels, stages and pipelines in a filter. */
function idsIn(node: SegmentFilter): string[] {
  if ('hasLabel' in node) return [node.hasLabel];
  if ('dealStage' in node) return [node.dealStage];
  if ('inPipeline' in node) return [node.inPipeline];
  return childrenOf(node, []).flatMap((child) => idsIn(child.node));
}

const THERE = (table: string) => `(select coalesce(json_agg(t.id), '[]') from ${table} t where t.workspace_id = w.id
  and t.id in (select v::uuid from json_array_elements_text(?::json) v))`;

/**
 * What a filter is compiled with, of the transaction's workspace (`inWorkspaceTx`): its own fields, which of the labels, stages and pipelines it
 * names there are,
 * its country and its day.
 * @param deals whose deals count (`dealsOf(auth)` of who asks, or asked for what runs later)
 * @param now what days are counted from
 */
export async function loadFilterFields(
  em: EntityManager,
  filter: SegmentFilter,
  deals: DealsOf,
  now = new Date(),
): Promise<FilterFields> {
  const ids = JSON.stringify([...new Set(idsIn(filter))]);
  const [row] = await em.execute<
    (Record<'labels' | 'stages' | 'pipelines', string[]> & {
      custom: [string, CustomField][];
      country: string;
      time_zone: string;
    })[]
  >(
    `select w.country, w.time_zone,
        (select coalesce(json_agg(json_build_array(f.key, json_build_object('kind', f.kind, 'options', f.options))), '[]')
          from contact_field f where f.workspace_id = w.id) as custom,
        ${THERE('label')} as labels, ${THERE('pipeline_stage')} as stages, ${THERE('pipeline')} as pipelines
      from workspace w where w.id = current_workspace()`,
    [ids, ids, ids],
  );
  if (!row) throw new Error('A filter is compiled in a transaction of its workspace');
  return {
    custom: new Map(row.custom),
    labels: new Set(row.labels),
    stages: new Set(row.stages),
    pipelines: new Set(row.pipelines),
    deals,
    country: isCountry(row.country) ? row.country : DEFAULT_COUNTRY,
    timeZone: row.time_zone,
    now,
  };
}
