import { p } from '@mikro-orm/postgresql';
import { dates } from '#src/db/row.ts';
import { newId } from '#src/lib/ids.ts';
import { Workspace } from '#src/modules/workspaces/workspace.entity.ts';

/** What every row of a workspace begins with. */
export const owned = {
  workspace: () => p.manyToOne(Workspace).ref().primary().deleteRule('cascade'),
  id: p
    .uuid()
    .primary()
    .onCreate(() => newId()),
  ...dates,
};
