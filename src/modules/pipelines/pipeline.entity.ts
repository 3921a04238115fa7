import { defineEntity, p } from '@mikro-orm/postgresql';
import { ofWorkspace } from '#src/db/row.ts';
import { stagesOf, type StageRow } from '#src/modules/pipelines/stages.query.ts';
import { owned } from '#src/modules/workspaces/owned.ts';

/** The way of a deal from first word to an end, in stages. */
export const PipelineSchema = defineEntity({
  name: 'Pipeline',
  properties: {
    ...owned,
    name: p.string().length(60),
    isDefault: p.boolean().default(false),
    stages: p.json<StageRow[]>().formula((_columns, { alias }) => stagesOf(alias)),
  },
  filters: ofWorkspace(),
  indexes: [
    {
      name: 'pipeline_name',
      expression: 'create unique index pipeline_name on pipeline (workspace_id, lower(name))',
    },
    {
      name: 'pipeline_is_default',
      expression: 'create unique index pipeline_is_default on pipeline (workspace_id) where is_default',
    },
  ],
});

export class Pipeline extends PipelineSchema.class {}
PipelineSchema.setClass(Pipeline);
