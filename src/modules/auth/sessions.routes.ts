import { z } from 'zod';
import type { App } from '#src/http/app-type.ts';
import type { Runtime } from '#src/runtime.ts';
import { notFound } from '#src/errors.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import { authOf } from '#src/http/auth.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { SignedOutView } from '#src/modules/auth/auth.schemas.ts';
import { endSession, listSessions, signOutEverywhere } from '#src/modules/auth/sessions.service.ts';

const SessionView = z
  .object({
    id: z.uuid(),
    createdAt: z.iso.datetime(),
    lastUsedAt: z.iso.datetime(),
    expiresAt: z.iso.datetime(),
    userAgent: z.string().nullable(),
    ip: z.string().nullable(),
    current: z.boolean(),
  })
  .meta({ id: 'Session' });

/** A user has ten sessions at most, so there are no pages. */
const SessionList = z.object({ data: z.array(SessionView) });

const schema = { tags: ['auth'], security: [{ bearer: [] }] };
const config = { access: 'person' } as const;

/** The devices a user is signed in on. */
export function sessionRoutes({ orm }: Pick<Runtime, 'orm'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/auth/sessions', {
      config,
      schema: { ...schema, summary: 'Where you are signed in', response: { 200: SessionList } },
      handler: async (request) => {
        const { userId, sessionId } = authOf(request);
        const sessions = await listSessions(orm, userId);
        const data = sessions.map(({ id, createdAt, lastUsedAt, expiresAt, userAgent, ip }) => ({
          id,
          createdAt: createdAt.toISOString(),
          lastUsedAt: lastUsedAt.toISOString(),
          expiresAt: expiresAt.toISOString(),
          userAgent: userAgent ?? null,
          ip: ip ?? null,
          current: id === sessionId,
        }));
        return { data };
      },
    });

    app.delete('/api/auth/sessions/:id', {
      config,
      schema: { ...schema, summary: 'Sign out on one device', params: IdParams, response: { 200: DeletedView } },
      handler: async (request) => {
        const { id } = request.params;
        if (!(await endSession(orm, authOf(request), actorOf(request), id))) throw notFound('The session');
        return { id, deleted: true as const };
      },
    });

    app.post('/api/auth/logout-all', {
      config,
      schema: { ...schema, summary: 'Sign out everywhere', response: { 200: SignedOutView } },
      handler: async (request) => {
        await signOutEverywhere(orm, authOf(request), actorOf(request));
        return { signedOut: true as const };
      },
    });
  };
}
