import { z } from 'zod';
import type { App } from '#src/http/app-type.ts';
import type { Runtime } from '#src/runtime.ts';
import { authOf } from '#src/http/auth.ts';
import { DeletedView, IdParams, IdText } from '#src/http/fields.ts';
import { PageQuery } from '#src/http/page.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import { acceptInvite, invite, listInvites, revokeInvite } from '#src/modules/workspaces/invites.service.ts';
import { changeMember, listMembers, removeMember, transferOwnership } from '#src/modules/workspaces/members.service.ts';
import {
  InviteBody,
  InvitePage,
  InviteView,
  MemberPage,
  MemberPatch,
  MemberView,
  WorkspaceView,
} from '#src/modules/workspaces/workspaces.schemas.ts';

const schema = { tags: ['workspaces'], security: [{ bearer: [] }] };
const workspaceParam = 'id';
const MemberParams = IdParams.extend({ userId: IdText });
const InviteParams = IdParams.extend({ inviteId: IdText });

/** `/api/workspaces/:id/members` and `/invites`: who is in a workspace, and who is asked in. */
export function memberRoutes(rt: Runtime) {
  const { orm } = rt;
  return async (app: App): Promise<void> => {
    app.get('/api/workspaces/:id/members', {
      config: { access: 'members:read', workspaceParam },
      schema: {
        ...schema,
        summary: 'Its members',
        params: IdParams,
        querystring: PageQuery,
        response: { 200: MemberPage },
      },
      handler: (request) => listMembers(orm, authOf(request), request.query),
    });

    app.patch('/api/workspaces/:id/members/:userId', {
      config: { access: 'members:manage', workspaceParam },
      schema: {
        ...schema,
        summary: 'Change what a member may',
        params: MemberParams,
        body: MemberPatch,
        response: { 200: MemberView },
      },
      handler: (request) => changeMember(orm, authOf(request), actorOf(request), request.params.userId, request.body),
    });

    app.delete('/api/workspaces/:id/members/:userId', {
      // Anybody may leave; taking others out takes `members:manage`, which the service checks.
      config: { access: 'person', workspaceParam },
      schema: {
        ...schema,
        summary: 'Take a member out, or leave',
        params: MemberParams,
        response: { 200: DeletedView },
      },
      handler: async (request) => {
        const { userId } = request.params;
        await removeMember(orm, authOf(request), actorOf(request), userId);
        return { id: userId, deleted: true as const };
      },
    });

    app.post('/api/workspaces/:id/transfer-ownership', {
      config: { access: 'workspace:transfer', workspaceParam },
      schema: {
        ...schema,
        summary: 'Make another member the owner',
        params: IdParams,
        body: z.strictObject({ userId: IdText }),
        response: { 200: MemberView },
      },
      handler: (request) => transferOwnership(orm, authOf(request), actorOf(request), request.body.userId),
    });

    app.post('/api/workspaces/:id/invites', {
      config: { access: 'members:manage', workspaceParam, limits: ['mail'] },
      schema: {
        ...schema,
        summary: 'Ask somebody in by mail',
        params: IdParams,
        body: InviteBody,
        response: { 201: InviteView },
      },
      handler: async (request, reply) =>
        reply.code(201).send(await invite(rt, authOf(request), actorOf(request), request.body)),
    });

    app.get('/api/workspaces/:id/invites', {
      config: { access: 'members:manage', workspaceParam },
      schema: {
        ...schema,
        summary: 'Who is asked in',
        params: IdParams,
        querystring: PageQuery,
        response: { 200: InvitePage },
      },
      handler: (request) => listInvites(orm, authOf(request), request.query),
    });

    app.delete('/api/workspaces/:id/invites/:inviteId', {
      config: { access: 'members:manage', workspaceParam },
      schema: { ...schema, summary: 'Take an invite back', params: InviteParams, response: { 200: DeletedView } },
      handler: async (request) => {
        const { inviteId } = request.params;
        await revokeInvite(orm, authOf(request), actorOf(request), inviteId);
        return { id: inviteId, deleted: true as const };
      },
    });

    app.post('/api/invites/accept', {
      config: { access: 'person', limits: ['secret'] },
      schema: {
        ...schema,
        summary: 'Become a member of the workspace that asked you in',
        body: z.strictObject({ token: z.string().max(200) }),
        response: { 200: WorkspaceView },
      },
      handler: (request) => acceptInvite(rt, authOf(request), actorOf(request), request.body.token),
    });
  };
}
