import { z } from 'zod';
import { Role } from '#src/http/access-token.ts';
import { pageOf } from '#src/http/page.ts';

/** A workspace as one of its members sees it; `role` is that member's. */
export const WorkspaceView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    role: Role,
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Workspace' });
export type WorkspaceView = z.infer<typeof WorkspaceView>;

export const WorkspacePage = pageOf(WorkspaceView);
