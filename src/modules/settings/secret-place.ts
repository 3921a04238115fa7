import type { Place } from '#src/lib/envelope.ts';

/** Where a workspace's secret setting is kept: what it is sealed for, and opens at only. */
export const secretPlace = (workspaceId: string, key: string): Place => ({
  table: 'workspace_setting',
  column: 'sealed',
  workspaceId,
  rowId: key,
});
