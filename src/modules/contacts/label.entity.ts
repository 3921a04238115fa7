import { defineEntity, p } from '@mikro-orm/postgresql';
import { ofWorkspace } from '#src/db/row.ts';
import { owned } from '#src/modules/workspaces/owned.ts';

/** A coloured word that contacts are sorted by. */
export const LabelSchema = defineEntity({
  name: 'Label',
  properties: {
    ...owned,
    name: p.string().length(60),
    color: p.string().length(7),
    /** From 1; one that nobody gave a place stands behind the others. */
    position: p.integer().default(1_000_000),
  },
  filters: ofWorkspace(),
  indexes: [
    { name: 'label_name', expression: 'create unique index label_name on label (workspace_id, lower(name))' },
    { name: 'label_position', properties: ['workspace', 'position', 'id'] },
  ],
});

export class Label extends LabelSchema.class {}
LabelSchema.setClass(Label);
