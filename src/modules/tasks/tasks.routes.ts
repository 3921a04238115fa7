import type { FastifyReply, FastifyRequest } from 'fastify';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { ifMatchOf } from '#src/http/etag.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import {
  addReminder,
  deleteReminder,
  moveReminder,
  readReminder,
  readReminders,
} from '#src/modules/tasks/task-reminders.service.ts';
import {
  PlateQuery,
  TaskBody,
  TaskList,
  TaskPatch,
  TaskQuery,
  TaskReminderBody,
  TaskReminderList,
  TaskReminderParams,
  TaskReminderView,
  TaskView,
  UpcomingQuery,
} from '#src/modules/tasks/tasks.schemas.ts';
import {
  addTask,
  completeTask,
  deleteTask,
  editTask,
  readTask,
  readTasks,
  readToday,
  readUpcoming,
  reopenTask,
  taskEtag,
  type Caller,
  type TaskKey,
} from '#src/modules/tasks/tasks.service.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['tasks'], security: [{ bearer: [] }] };
const read = { access: 'tasks:read' } as const;
const write = { access: 'tasks:write' } as const;
const ONE = '/api/tasks/:id';
const REMINDER = `${ONE}/reminders/:reminderId`;

const keyOf = (request: FastifyRequest<{ Params: { id: string } }>): TaskKey => ({
  id: request.params.id,
  ifMatch: ifMatchOf(request),
});
const callerOf = (request: FastifyRequest): Caller => ({ auth: authOf(request), actor: actorOf(request) });
const tagged = (reply: FastifyReply, task: TaskView): TaskView => {
  void reply.header('etag', taskEtag(task));
  return task;
};

/** `/api/tasks`: what members have to do, and when they want to be reminded of it. */
export function taskRoutes(rt: Pick<Runtime, 'orm' | 'settings'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/tasks', {
      config: read,
      schema: { ...schema, summary: 'Tasks', querystring: TaskQuery, response: { 200: TaskList } },
      handler: (request) => readTasks(rt, authOf(request), request.query),
    });

    app.post('/api/tasks', {
      config: write,
      schema: { ...schema, summary: 'Make a task', body: TaskBody, response: { 201: TaskView } },
      handler: async (request, reply) =>
        reply.code(201).send(tagged(reply, await addTask(rt, callerOf(request), request.body))),
    });

    app.get('/api/tasks/today', {
      config: read,
      schema: {
        ...schema,
        summary: 'What is due by the end of your day, and what was due before',
        querystring: PlateQuery,
        response: { 200: TaskList },
      },
      handler: (request) => readToday(rt, authOf(request), request.query),
    });

    app.get('/api/tasks/upcoming', {
      config: read,
      schema: {
        ...schema,
        summary: 'What is due from tomorrow on, by your clock',
        querystring: UpcomingQuery,
        response: { 200: TaskList },
      },
      handler: (request) => readUpcoming(rt, authOf(request), request.query),
    });

    app.get(ONE, {
      config: read,
      schema: { ...schema, summary: 'One task', params: IdParams, response: { 200: TaskView } },
      handler: async (request, reply) => tagged(reply, await readTask(rt, authOf(request), request.params.id)),
    });

    app.patch(ONE, {
      config: write,
      schema: { ...schema, summary: 'Change a task', params: IdParams, body: TaskPatch, response: { 200: TaskView } },
      handler: async (request, reply) => {
        const asked = { patch: request.body, ifMatch: ifMatchOf(request) };
        return tagged(reply, await editTask(rt, callerOf(request), request.params.id, asked));
      },
    });

    app.delete(ONE, {
      config: write,
      schema: { ...schema, summary: 'Delete a task', params: IdParams, response: { 200: DeletedView } },
      handler: async (request) => {
        await deleteTask(rt, callerOf(request), keyOf(request));
        return { id: request.params.id, deleted: true as const };
      },
    });

    app.post(`${ONE}/complete`, {
      config: write,
      schema: {
        ...schema,
        summary: 'A task is done; a recurring one gets its next turn',
        params: IdParams,
        response: { 200: TaskView },
      },
      handler: async (request, reply) => tagged(reply, await completeTask(rt, callerOf(request), keyOf(request))),
    });

    app.post(`${ONE}/reopen`, {
      config: write,
      schema: { ...schema, summary: 'A task is not done after all', params: IdParams, response: { 200: TaskView } },
      handler: async (request, reply) => tagged(reply, await reopenTask(rt, callerOf(request), keyOf(request))),
    });

    app.get(`${ONE}/reminders`, {
      config: read,
      schema: { ...schema, summary: 'Its reminders', params: IdParams, response: { 200: TaskReminderList } },
      handler: (request) => readReminders(rt, authOf(request), request.params.id),
    });

    app.post(`${ONE}/reminders`, {
      config: write,
      schema: {
        ...schema,
        summary: 'Remind who does the task',
        params: IdParams,
        body: TaskReminderBody,
        response: { 201: TaskReminderView },
      },
      handler: async (request, reply) =>
        reply.code(201).send(await addReminder(rt, authOf(request), request.params.id, request.body)),
    });

    app.get(REMINDER, {
      config: read,
      schema: { ...schema, summary: 'One reminder', params: TaskReminderParams, response: { 200: TaskReminderView } },
      handler: (request) => readReminder(rt, authOf(request), request.params.id, request.params.reminderId),
    });

    app.patch(REMINDER, {
      config: write,
      schema: {
        ...schema,
        summary: 'Move a reminder that still waits',
        params: TaskReminderParams,
        body: TaskReminderBody,
        response: { 200: TaskReminderView },
      },
      handler: (request) => {
        const { id: taskId, reminderId: id } = request.params;
        return moveReminder(rt, authOf(request), { taskId, id }, request.body);
      },
    });

    app.delete(REMINDER, {
      config: write,
      schema: { ...schema, summary: 'Drop a reminder', params: TaskReminderParams, response: { 200: DeletedView } },
      handler: async (request) => {
        const { id: taskId, reminderId: id } = request.params;
        await deleteReminder(rt, authOf(request), taskId, id);
        return { id, deleted: true as const };
      },
    });
  };
}
