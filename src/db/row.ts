import { p } from '@mikro-orm/postgresql';
import { newId } from '#src/lib/ids.ts';

/** When a row was made and last changed. The database fills both, because bulk inserts and plain SQL skip the ORM's hooks. */
export const dates = {
  createdAt: p.datetime().defaultRaw('now()'),
  updatedAt: p
    .datetime()
    .defaultRaw('now()')
    .onUpdate(() => new Date()),
};

/** What every table with an id of its own has. `uuidv7()` needs PostgreSQL 18. */
export const row = {
  id: p
    .uuid()
    .primary()
    .defaultRaw('uuidv7()')
    .onCreate(() => newId()),
  ...dates,
};

/**
 * The filter of entities that belong to a workspace: a convenience, so that nobody must write the condition. The wall is row-level
 * security (`tenant-table.ts`). Throws where `inWorkspaceTx` has not set it.
 */
export const ofWorkspace = (column: 'workspace' | 'id' = 'workspace') => ({
  workspace: {
    name: 'workspace',
    cond: ({ workspaceId }: { workspaceId?: string }) => (workspaceId === undefined ? {} : { [column]: workspaceId }),
    default: true,
  },
});
