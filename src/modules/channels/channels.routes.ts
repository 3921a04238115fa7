import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { etagOf, ifMatchOf } from '#src/http/etag.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { PageQuery } from '#src/http/page.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import {
  ChannelBody,
  ChannelLimitsView,
  ChannelPage,
  ChannelPatch,
  ChannelView,
  HealthView,
  NewChannelView,
  PacingPatch,
} from '#src/modules/channels/channels.schemas.ts';
import {
  changeChannel,
  createChannel,
  listChannels,
  readChannel,
  removeChannel,
} from '#src/modules/channels/channels.service.ts';
import { channelHealth, channelLimits, checkChannel } from '#src/modules/channels/health.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['channels'], security: [{ bearer: [] }] };
const read = { access: 'campaigns:read' } as const;
const manage = { access: 'channels:manage' } as const;

/** `/api/channels`: the numbers a workspace writes from, and how fast each may. */
export function channelRoutes(rt: Runtime) {
  return async (app: App): Promise<void> => {
    app.post('/api/channels', {
      config: manage,
      schema: {
        ...schema,
        summary: 'Make a channel; the secret of a webhook is shown once',
        body: ChannelBody,
        response: { 201: NewChannelView },
      },
      handler: async (request, reply) => {
        const made = await createChannel(rt, authOf(request).workspaceId, actorOf(request), request.body);
        return reply.code(201).send(made);
      },
    });

    app.get('/api/channels', {
      config: read,
      schema: { ...schema, summary: 'Your channels', querystring: PageQuery, response: { 200: ChannelPage } },
      handler: (request) => listChannels(rt, authOf(request), request.query),
    });

    app.get('/api/channels/:id', {
      config: read,
      schema: { ...schema, summary: 'One channel', params: IdParams, response: { 200: ChannelView } },
      handler: async (request, reply) => {
        const view = await readChannel(rt, authOf(request), request.params.id);
        return reply.header('etag', etagOf(view)).send(view);
      },
    });

    app.patch('/api/channels/:id', {
      config: manage,
      schema: {
        ...schema,
        summary: 'Change a channel',
        params: IdParams,
        body: ChannelPatch,
        response: { 200: ChannelView },
      },
      handler: async (request, reply) => {
        const key = { workspaceId: authOf(request).workspaceId, id: request.params.id };
        const view = await changeChannel(rt, key, actorOf(request), request.body, ifMatchOf(request));
        return reply.header('etag', etagOf(view)).send(view);
      },
    });

    app.put('/api/channels/:id/pacing', {
      config: manage,
      schema: {
        ...schema,
        summary: 'How fast it sends; what is not named stays',
        params: IdParams,
        body: PacingPatch,
        response: { 200: ChannelView },
      },
      handler: (request) =>
        changeChannel(rt, { workspaceId: authOf(request).workspaceId, id: request.params.id }, actorOf(request), {
          pacing: request.body,
        }),
    });

    for (const [verb, state] of [
      ['pause', 'paused'],
      ['resume', 'active'],
    ] as const) {
      app.post(`/api/channels/:id/${verb}`, {
        config: manage,
        schema: {
          ...schema,
          summary: verb === 'pause' ? 'Send nothing more from it' : 'Go on sending from it',
          params: IdParams,
          response: { 200: ChannelView },
        },
        handler: (request) =>
          changeChannel(rt, { workspaceId: authOf(request).workspaceId, id: request.params.id }, actorOf(request), {
            state,
          }),
      });
    }

    app.get('/api/channels/:id/health', {
      config: read,
      schema: { ...schema, summary: 'How it is, as far as is known', params: IdParams, response: { 200: HealthView } },
      handler: (request) => channelHealth(rt, { workspaceId: authOf(request).workspaceId, id: request.params.id }),
    });

    app.get('/api/channels/:id/limits', {
      config: read,
      schema: {
        ...schema,
        summary: 'What it may send in its hour and day, and has sent',
        params: IdParams,
        response: { 200: ChannelLimitsView },
      },
      handler: (request) => channelLimits(rt, { workspaceId: authOf(request).workspaceId, id: request.params.id }),
    });

    app.post('/api/channels/:id/test', {
      config: manage,
      schema: {
        ...schema,
        summary: 'Ask Meta how a number of the Cloud API is',
        params: IdParams,
        response: { 200: HealthView },
      },
      handler: (request) => checkChannel(rt, { workspaceId: authOf(request).workspaceId, id: request.params.id }),
    });

    app.delete('/api/channels/:id', {
      config: manage,
      schema: {
        ...schema,
        summary: 'Take a channel away that no campaign was made for',
        params: IdParams,
        response: { 200: DeletedView },
      },
      handler: async (request) => {
        const key = { workspaceId: authOf(request).workspaceId, id: request.params.id };
        await removeChannel(rt, key, actorOf(request));
        return { id: key.id, deleted: true as const };
      },
    });
  };
}
