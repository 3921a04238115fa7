import type { FastifyRequest } from 'fastify';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import {
  NotificationList,
  NotificationQuery,
  NotificationView,
  ReadAllBody,
  ReadAllView,
} from '#src/modules/notifications/notifications.schemas.ts';
import {
  deleteNotification,
  listNotifications,
  readAllNotifications,
  readNotification,
} from '#src/modules/notifications/notifications.service.ts';
import type { Mine } from '#src/modules/notifications/notifications.query.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['notifications'], security: [{ bearer: [] }] };
const config = { access: 'person' } as const;

const mine = (request: FastifyRequest): Mine => {
  const { workspaceId, userId } = authOf(request);
  return { workspaceId, userId };
};

/** `/api/notifications`: what the caller was told in this workspace. */
export function notificationRoutes(rt: Pick<Runtime, 'orm' | 'settings'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/notifications', {
      config,
      schema: {
        ...schema,
        summary: 'Your notifications, the newest first',
        querystring: NotificationQuery,
        response: { 200: NotificationList },
      },
      handler: (request) => listNotifications(rt, mine(request), request.query),
    });

    app.post('/api/notifications/:id/read', {
      config,
      schema: { ...schema, summary: 'Note that one was read', params: IdParams, response: { 200: NotificationView } },
      handler: (request) => readNotification(rt, mine(request), request.params.id),
    });

    app.post('/api/notifications/read-all', {
      config,
      schema: {
        ...schema,
        summary: 'Note that all were read, or all up to one',
        body: ReadAllBody,
        response: { 200: ReadAllView },
      },
      handler: (request) => readAllNotifications(rt, mine(request), request.body.upTo ?? null),
    });

    app.delete('/api/notifications/:id', {
      config,
      schema: { ...schema, summary: 'Drop a notification', params: IdParams, response: { 200: DeletedView } },
      handler: async (request) => {
        await deleteNotification(rt, mine(request), request.params.id);
        return { id: request.params.id, deleted: true as const };
      },
    });
  };
}
