import { defineEntity, p } from '@mikro-orm/postgresql';
import { ofWorkspace } from '#src/db/row.ts';
import type { SegmentFilter } from '#src/modules/segments/segment-filter.ts';
import { owned } from '#src/modules/workspaces/owned.ts';

/** A list of contacts that is described: whoever the filter is true of is in it, at any time. */
export const SegmentSchema = defineEntity({
  name: 'Segment',
  properties: { ...owned, name: p.string().length(100), filter: p.json<SegmentFilter>().columnType('json') },
  filters: ofWorkspace(),
  indexes: [
    { name: 'segment_name', expression: 'create unique index segment_name on segment (workspace_id, lower(name))' },
  ],
});

export class Segment extends SegmentSchema.class {}
SegmentSchema.setClass(Segment);
