import type { App } from '#src/http/app-type.ts';
import type { Runtime } from '#src/runtime.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import { authOf } from '#src/http/auth.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { PageQuery } from '#src/http/page.ts';
import {
  ApiKeyBody,
  ApiKeyPage,
  ApiKeyView,
  NewApiKeyView,
  RotateBody,
} from '#src/modules/api-keys/api-keys.schemas.ts';
import {
  createApiKey,
  listApiKeys,
  readApiKeyOf,
  revokeApiKey,
  rotateApiKey,
} from '#src/modules/api-keys/api-keys.service.ts';

const schema = { tags: ['api-keys'], security: [{ bearer: [] }] };
const config = { access: 'api-keys:manage' } as const;

/** `/api/api-keys`: how programs get into a workspace. */
export function apiKeyRoutes({ orm }: Pick<Runtime, 'orm'>) {
  return async (app: App): Promise<void> => {
    app.post('/api/api-keys', {
      config,
      schema: {
        ...schema,
        summary: 'Make a key; its secret is shown once',
        body: ApiKeyBody,
        response: { 201: NewApiKeyView },
      },
      handler: async (request, reply) =>
        reply.code(201).send(await createApiKey(orm, authOf(request), actorOf(request), request.body)),
    });

    app.get('/api/api-keys', {
      config,
      schema: { ...schema, summary: "The workspace's keys", querystring: PageQuery, response: { 200: ApiKeyPage } },
      handler: (request) => listApiKeys(orm, authOf(request), request.query),
    });

    app.get('/api/api-keys/:id', {
      config,
      schema: { ...schema, summary: 'One key', params: IdParams, response: { 200: ApiKeyView } },
      handler: (request) => readApiKeyOf(orm, authOf(request), request.params.id),
    });

    app.post('/api/api-keys/:id/rotate', {
      config,
      schema: {
        ...schema,
        summary: 'Replace a key; the old one works for a while longer',
        params: IdParams,
        body: RotateBody,
        response: { 201: NewApiKeyView },
      },
      handler: async (request, reply) => {
        const { id } = request.params;
        const { overlapSeconds } = request.body;
        const fresh = await rotateApiKey(orm, authOf(request), actorOf(request), id, overlapSeconds);
        return reply.code(201).send(fresh);
      },
    });

    app.delete('/api/api-keys/:id', {
      config,
      schema: { ...schema, summary: 'Revoke a key', params: IdParams, response: { 200: DeletedView } },
      handler: async (request) => {
        const { id } = request.params;
        await revokeApiKey(orm, authOf(request), actorOf(request), id);
        return { id, deleted: true as const };
      },
    });
  };
}
