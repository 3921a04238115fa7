import type { FastifyRequest } from 'fastify';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { ifMatchOf } from '#src/http/etag.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { PageQuery } from '#src/http/page.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import { deliveryRoutes } from '#src/modules/webhooks/deliveries.routes.ts';
import { eventCatalogue } from '#src/modules/webhooks/event-catalogue.ts';
import type { WebhookKey } from '#src/modules/webhooks/webhooks.query.ts';
import {
  NewWebhookView,
  RotateSecretBody,
  WebhookBody,
  WebhookEventsView,
  WebhookPage,
  WebhookPatch,
  WebhookView,
} from '#src/modules/webhooks/webhooks.schemas.ts';
import {
  changeWebhook,
  createWebhook,
  enableWebhook,
  listWebhooks,
  readWebhook,
  removeWebhook,
  rotateSecret,
} from '#src/modules/webhooks/webhooks.service.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['webhooks'], security: [{ bearer: [] }] };
const read = { access: 'webhooks:read' } as const;
const manage = { access: 'webhooks:manage' } as const;

/** The endpoint a request names, in its caller's workspace. */
export const webhookOf = (request: FastifyRequest, { id }: { id: string }): WebhookKey => ({
  workspaceId: authOf(request).workspaceId,
  id,
});

/** `/api/webhooks`: where a workspace has its events delivered. */
export function webhookRoutes(rt: Runtime) {
  return async (app: App): Promise<void> => {
    app.get('/api/webhook-events', {
      config: { access: 'member' },
      schema: { ...schema, summary: 'Every event there is, with its schema', response: { 200: WebhookEventsView } },
      handler: async () => eventCatalogue(),
    });

    app.post('/api/webhooks', {
      config: manage,
      schema: {
        ...schema,
        summary: 'Have events delivered to an address; the secret is shown once',
        body: WebhookBody,
        response: { 201: NewWebhookView },
      },
      handler: async (request, reply) => {
        const { workspaceId } = authOf(request);
        const { view, etag } = await createWebhook(rt, workspaceId, actorOf(request), request.body);
        return reply.code(201).header('etag', etag).send(view);
      },
    });

    app.get('/api/webhooks', {
      config: read,
      schema: { ...schema, summary: 'Your webhooks', querystring: PageQuery, response: { 200: WebhookPage } },
      handler: (request) => listWebhooks(rt, authOf(request).workspaceId, request.query),
    });

    app.get('/api/webhooks/:id', {
      config: read,
      schema: { ...schema, summary: 'One webhook', params: IdParams, response: { 200: WebhookView } },
      handler: async (request, reply) => {
        const { view, etag } = await readWebhook(rt, webhookOf(request, request.params));
        return reply.header('etag', etag).send(view);
      },
    });

    app.patch('/api/webhooks/:id', {
      config: manage,
      schema: {
        ...schema,
        summary: 'Change a webhook; what waits for it goes to the new address',
        params: IdParams,
        body: WebhookPatch,
        response: { 200: WebhookView },
      },
      handler: async (request, reply) => {
        const key = webhookOf(request, request.params);
        const { view, etag } = await changeWebhook(rt, key, actorOf(request), request.body, ifMatchOf(request));
        return reply.header('etag', etag).send(view);
      },
    });

    app.delete('/api/webhooks/:id', {
      config: manage,
      schema: {
        ...schema,
        summary: 'Take a webhook away and end its deliveries',
        params: IdParams,
        response: { 200: DeletedView },
      },
      handler: async (request) => {
        await removeWebhook(rt, webhookOf(request, request.params), actorOf(request), ifMatchOf(request));
        return { id: request.params.id, deleted: true as const };
      },
    });

    app.post('/api/webhooks/:id/rotate-secret', {
      config: manage,
      schema: {
        ...schema,
        summary: 'Make a new secret; the old one is signed with for a while longer',
        params: IdParams,
        body: RotateSecretBody,
        response: { 200: NewWebhookView },
      },
      handler: async (request, reply) => {
        const key = webhookOf(request, request.params);
        const { view, etag } = await rotateSecret(rt, key, actorOf(request), request.body.graceHours);
        return reply.header('etag', etag).send(view);
      },
    });

    app.post('/api/webhooks/:id/enable', {
      config: manage,
      schema: {
        ...schema,
        summary: 'Turn a webhook on again; what was missed can be replayed',
        params: IdParams,
        response: { 200: WebhookView },
      },
      handler: async (request, reply) => {
        const { view, etag } = await enableWebhook(rt, webhookOf(request, request.params), actorOf(request));
        return reply.header('etag', etag).send(view);
      },
    });

    deliveryRoutes(app, rt);
  };
}
