import type { FastifyRequest } from 'fastify';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import type { Mine } from '#src/modules/notifications/notifications.query.ts';
import {
  ReminderBody,
  ReminderList,
  ReminderPatch,
  ReminderQuery,
  ReminderView,
} from '#src/modules/reminders/reminders.schemas.ts';
import {
  addReminder,
  cancelReminder,
  deleteReminder,
  editReminder,
  listReminders,
  readReminder,
} from '#src/modules/reminders/reminders.service.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['reminders'], security: [{ bearer: [] }] };
const config = { access: 'person' } as const;
const ONE = '/api/reminders/:id';

const mine = (request: FastifyRequest): Mine => {
  const { workspaceId, userId } = authOf(request);
  return { workspaceId, userId };
};

/** `/api/reminders`: what the caller wants to be reminded of; nobody else sees them. */
export function reminderRoutes(rt: Pick<Runtime, 'orm' | 'settings'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/reminders', {
      config,
      schema: {
        ...schema,
        summary: 'Your reminders, the earliest first',
        querystring: ReminderQuery,
        response: { 200: ReminderList },
      },
      handler: (request) => listReminders(rt, mine(request), request.query),
    });

    app.post('/api/reminders', {
      config,
      schema: { ...schema, summary: 'Be reminded of something', body: ReminderBody, response: { 201: ReminderView } },
      handler: async (request, reply) => reply.code(201).send(await addReminder(rt, authOf(request), request.body)),
    });

    app.get(ONE, {
      config,
      schema: { ...schema, summary: 'One reminder', params: IdParams, response: { 200: ReminderView } },
      handler: (request) => readReminder(rt, mine(request), request.params.id),
    });

    app.patch(ONE, {
      config,
      schema: {
        ...schema,
        summary: 'Change a reminder that still waits',
        params: IdParams,
        body: ReminderPatch,
        response: { 200: ReminderView },
      },
      handler: (request) => editReminder(rt, mine(request), request.params.id, request.body),
    });

    app.post(`${ONE}/cancel`, {
      config,
      schema: { ...schema, summary: 'Not be reminded', params: IdParams, response: { 200: ReminderView } },
      handler: (request) => cancelReminder(rt, mine(request), request.params.id),
    });

    app.delete(ONE, {
      config,
      schema: { ...schema, summary: 'Drop a reminder', params: IdParams, response: { 200: DeletedView } },
      handler: async (request) => {
        await deleteReminder(rt, mine(request), request.params.id);
        return { id: request.params.id, deleted: true as const };
      },
    });
  };
}
