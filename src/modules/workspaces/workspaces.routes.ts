import type { App } from '#src/http/app-type.ts';
import type { Runtime } from '#src/runtime.ts';
import { notFound } from '#src/errors.ts';
import { ACCESS_TOKEN_SECONDS } from '#src/http/access-token.ts';
import { authOf } from '#src/http/auth.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { PageQuery } from '#src/http/page.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import { Session } from '#src/modules/auth/session.entity.ts';
import { termsOf } from '#src/modules/billing/plans.ts';
import { MICRO_CREDITS_PER_CREDIT } from '#src/modules/workspaces/credit-account.entity.ts';
import { findUsage } from '#src/modules/workspaces/usage.query.ts';
import {
  SwitchedView,
  UsageView,
  WorkspaceBody,
  WorkspacePage,
  WorkspacePatch,
  WorkspaceView,
} from '#src/modules/workspaces/workspaces.schemas.ts';
import {
  changeWorkspace,
  createWorkspace,
  deleteWorkspace,
  listWorkspaces,
  readWorkspace,
} from '#src/modules/workspaces/workspaces.service.ts';

const schema = { tags: ['workspaces'], security: [{ bearer: [] }] };
const workspaceParam = 'id';

/** `/api/workspaces`: the workspaces the caller is a member of. In a path with an id, that workspace is the one worked in. */
export function workspaceRoutes(rt: Runtime) {
  const { orm } = rt;
  return async (app: App): Promise<void> => {
    app.get('/api/workspaces', {
      config: { access: 'person' },
      schema: { ...schema, summary: 'Your workspaces', querystring: PageQuery, response: { 200: WorkspacePage } },
      handler: (request) => listWorkspaces(orm, authOf(request).userId, request.query),
    });

    app.post('/api/workspaces', {
      config: { access: 'person' },
      schema: { ...schema, summary: 'Make a workspace', body: WorkspaceBody, response: { 201: WorkspaceView } },
      handler: async (request, reply) =>
        reply.code(201).send(await createWorkspace(rt, authOf(request), actorOf(request), request.body)),
    });

    app.get('/api/workspaces/:id', {
      config: { access: 'workspace:read', workspaceParam },
      schema: { ...schema, summary: 'One of your workspaces', params: IdParams, response: { 200: WorkspaceView } },
      handler: (request) => readWorkspace(orm, authOf(request)),
    });

    app.patch('/api/workspaces/:id', {
      config: { access: 'workspace:update', workspaceParam },
      schema: {
        ...schema,
        summary: 'Change it',
        params: IdParams,
        body: WorkspacePatch,
        response: { 200: WorkspaceView },
      },
      handler: (request) => changeWorkspace(orm, authOf(request), actorOf(request), request.body),
    });

    app.delete('/api/workspaces/:id', {
      config: { access: 'workspace:delete', workspaceParam },
      schema: { ...schema, summary: 'Close it for good', params: IdParams, response: { 200: DeletedView } },
      handler: async (request) => {
        await deleteWorkspace(rt, authOf(request), actorOf(request));
        return { id: request.params.id, deleted: true as const };
      },
    });

    app.get('/api/workspaces/:id/usage', {
      config: { access: 'workspace:read', workspaceParam },
      schema: {
        ...schema,
        summary: 'What it has, and what its plan has room for',
        params: IdParams,
        response: { 200: UsageView },
      },
      handler: async (request): Promise<UsageView> => {
        const row = await findUsage(rt.pool, authOf(request).workspaceId);
        if (!row) throw notFound('The workspace');
        const { plan, plan_override: planOverride } = row;
        const { limits } = termsOf({ plan, planOverride });
        return {
          plan,
          members: { used: row.members, limit: limits.members },
          invites: { used: row.invites, limit: limits.invites },
          apiKeys: { used: row.api_keys, limit: limits.apiKeys },
          jobs: { today: row.jobs_today, thisMonth: row.jobs_month },
          credits: {
            available: Number(row.balance) / MICRO_CREDITS_PER_CREDIT,
            held: Number(row.held) / MICRO_CREDITS_PER_CREDIT,
          },
        };
      },
    });

    app.post('/api/workspaces/:id/switch', {
      config: { access: 'person', workspaceParam, limits: ['ticket'] },
      schema: { ...schema, summary: 'Work in it from now on', params: IdParams, response: { 200: SwitchedView } },
      handler: async (request) => {
        const auth = authOf(request);
        // Remembered, so that a refresh goes on with the same workspace.
        await orm.em.fork().nativeUpdate(Session, { id: auth.sessionId }, { workspaceId: auth.workspaceId });
        const [token, workspace] = [await rt.accessTokens.sign(auth), await readWorkspace(orm, auth)];
        return { token, expiresIn: ACCESS_TOKEN_SECONDS, workspace };
      },
    });
  };
}
