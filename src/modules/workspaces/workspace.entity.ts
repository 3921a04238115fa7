import { defineEntity, p } from '@mikro-orm/postgresql';
import { ofWorkspace, row } from '#src/db/row.ts';

export const WorkspaceSchema = defineEntity({
  name: 'Workspace',
  properties: {
    ...row,
    name: p.string().length(120),
    plan: p.enum(['free', 'pro', 'business'] as const).defaultRaw(`'free'`),
    /** Set when its owner deleted it; its rows are then as good as gone, and its key is destroyed. */
    deletedAt: p.datetime().nullable(),
  },
  filters: ofWorkspace('id'),
});

export class Workspace extends WorkspaceSchema.class {}
WorkspaceSchema.setClass(Workspace);
