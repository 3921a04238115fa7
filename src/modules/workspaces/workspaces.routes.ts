import type { App } from '#src/http/app-type.ts';
import type { Runtime } from '#src/runtime.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams } from '#src/http/fields.ts';
import { PageQuery } from '#src/http/page.ts';
import { WorkspacePage, WorkspaceView } from '#src/modules/workspaces/workspaces.schemas.ts';
import { listWorkspaces, readWorkspace } from '#src/modules/workspaces/workspaces.service.ts';

const schema = { tags: ['workspaces'], security: [{ bearer: [] }] };

/** `/api/workspaces`: the workspaces the caller is a member of. */
export function workspaceRoutes(rt: Runtime) {
  return async (app: App): Promise<void> => {
    app.get('/api/workspaces', {
      schema: { ...schema, summary: 'Your workspaces', querystring: PageQuery, response: { 200: WorkspacePage } },
      config: { access: 'member' },
      handler: (request) => listWorkspaces(rt.orm, authOf(request).userId, request.query),
    });

    app.get('/api/workspaces/:id', {
      schema: { ...schema, summary: 'One of your workspaces', params: IdParams, response: { 200: WorkspaceView } },
      config: { access: 'member' },
      handler: (request) => readWorkspace(rt.orm, authOf(request), request.params.id),
    });
  };
}
