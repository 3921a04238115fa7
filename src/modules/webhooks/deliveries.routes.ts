import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams } from '#src/http/fields.ts';
import { waitSecondsOf } from '#src/modules/ai/preferences.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import {
  DeliveryDetailView,
  DeliveryListQuery,
  DeliveryPage,
  DeliveryParams,
  ReplayBody,
  ReplayView,
} from '#src/modules/webhooks/deliveries.schemas.ts';
import { listDeliveries, readDelivery, replay, retry, tryOut } from '#src/modules/webhooks/deliveries.service.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['webhooks'], security: [{ bearer: [] }] };
const read = { access: 'webhooks:read' } as const;
const manage = { access: 'webhooks:manage' } as const;
const URL = '/api/webhooks/:id';

/** `/api/webhooks/:id/deliveries`: what was sent, what came of it, and how to have it sent again. */
export function deliveryRoutes(app: App, rt: Runtime): void {
  app.get(`${URL}/deliveries`, {
    config: read,
    schema: {
      ...schema,
      summary: 'What was delivered, or not, the newest first',
      params: IdParams,
      querystring: DeliveryListQuery,
      response: { 200: DeliveryPage },
    },
    handler: (request) => {
      const { status, type, cursor, limit } = request.query;
      const key = { workspaceId: authOf(request).workspaceId, id: request.params.id };
      return listDeliveries(rt, key, { status, type, cursor, limit });
    },
  });

  app.get(`${URL}/deliveries/:deliveryId`, {
    config: read,
    schema: {
      ...schema,
      summary: 'One delivery, with its tries and its body',
      params: DeliveryParams,
      response: { 200: DeliveryDetailView },
    },
    handler: (request) => {
      const { id, deliveryId } = request.params;
      return readDelivery(rt, { workspaceId: authOf(request).workspaceId, id }, deliveryId);
    },
  });

  app.post(`${URL}/deliveries/:deliveryId/retry`, {
    config: manage,
    schema: {
      ...schema,
      summary: 'Deliver it again, at once',
      params: DeliveryParams,
      response: { 202: DeliveryDetailView },
    },
    handler: async (request, reply) => {
      const { id, deliveryId } = request.params;
      const key = { workspaceId: authOf(request).workspaceId, id };
      return reply.code(202).send(await retry(rt, key, deliveryId, actorOf(request)));
    },
  });

  app.post(`${URL}/replay`, {
    config: manage,
    schema: {
      ...schema,
      summary: 'Have what happened in a range of time delivered once more, with the ids it had',
      params: IdParams,
      body: ReplayBody,
      response: { 202: ReplayView },
    },
    handler: async (request, reply) => {
      const key = { workspaceId: authOf(request).workspaceId, id: request.params.id };
      return reply.code(202).send({ deliveries: await replay(rt, key, request.body, actorOf(request)) });
    },
  });

  app.post(`${URL}/test`, {
    config: manage,
    schema: {
      ...schema,
      summary: 'Send it a test, once; `Prefer: wait=N` (at most 25 s) answers with what came of it',
      params: IdParams,
      response: { 200: DeliveryDetailView, 202: DeliveryDetailView },
    },
    handler: async (request, reply) => {
      const key = { workspaceId: authOf(request).workspaceId, id: request.params.id };
      const seconds = waitSecondsOf(request, 0);
      const view = await tryOut(rt, key, actorOf(request), seconds * 1000);
      if (request.headers['prefer'] !== undefined) reply.header('preference-applied', `wait=${seconds}`);
      return reply.code(view.finishedAt === null ? 202 : 200).send(view);
    },
  });
}
