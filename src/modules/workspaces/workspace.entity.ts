import { defineEntity, p } from '@mikro-orm/postgresql';
import { row } from '#src/db/row.ts';

export const WorkspaceSchema = defineEntity({
  name: 'Workspace',
  properties: { ...row, name: p.string().length(120) },
});

export class Workspace extends WorkspaceSchema.class {}
WorkspaceSchema.setClass(Workspace);
