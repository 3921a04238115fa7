import type { FastifyRequest } from 'fastify';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import type { PromptPlace } from '#src/modules/prompts/prompts.query.ts';
import {
  ActivateBody,
  PreviewBody,
  PreviewView,
  PromptBody,
  PromptHistory,
  PromptList,
  PromptParams,
  PromptView,
} from '#src/modules/prompts/prompts.schemas.ts';
import {
  deactivatePrompt,
  listPrompts,
  listVersions,
  previewPrompt,
  restorePrompt,
  writePrompt,
} from '#src/modules/prompts/prompts.service.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['prompts'], security: [{ bearer: [] }] };
const read = { access: 'settings:read' } as const;
const change = { access: 'settings:update' } as const;
const URL = '/api/ai/prompts/:engine/:language';

const placeOf = (request: FastifyRequest, params: PromptParams): PromptPlace => ({
  workspaceId: authOf(request).workspaceId,
  ...params,
});

/** `/api/ai/prompts`: what engines ask models with, and a workspace's own words in the place of ours. */
export function promptRoutes({ orm }: Pick<Runtime, 'orm'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/ai/prompts', {
      config: read,
      schema: { ...schema, summary: 'Every prompt, ours and your own', response: { 200: PromptList } },
      handler: async (request) => ({ data: await listPrompts(orm, authOf(request).workspaceId) }),
    });

    app.get(`${URL}/versions`, {
      config: read,
      schema: { ...schema, summary: 'Your texts so far', params: PromptParams, response: { 200: PromptHistory } },
      handler: async (request) => ({ data: await listVersions(orm, placeOf(request, request.params)) }),
    });

    app.post(`${URL}/preview`, {
      config: read,
      schema: {
        ...schema,
        summary: 'What a model would be told, with sample values; no job is made',
        params: PromptParams,
        body: PreviewBody,
        response: { 200: PreviewView },
      },
      handler: (request) => previewPrompt(orm, placeOf(request, request.params), request.body.text),
    });

    app.put(URL, {
      config: change,
      schema: {
        ...schema,
        summary: 'Ask in your own words; the fence and the format of the answer are added by the engine',
        params: PromptParams,
        body: PromptBody,
        response: { 200: PromptView },
      },
      handler: (request) =>
        writePrompt(orm, placeOf(request, request.params), {
          text: request.body.text,
          createdBy: authOf(request).userId,
          actor: actorOf(request),
        }),
    });

    app.post(`${URL}/activate`, {
      config: change,
      schema: {
        ...schema,
        summary: 'Put an earlier text in use again',
        params: PromptParams,
        body: ActivateBody,
        response: { 200: PromptView },
      },
      handler: (request) =>
        restorePrompt(orm, placeOf(request, request.params), request.body.version, actorOf(request)),
    });

    app.post(`${URL}/deactivate`, {
      config: change,
      schema: { ...schema, summary: 'Ask in our words again', params: PromptParams, response: { 200: PromptView } },
      handler: (request) => deactivatePrompt(orm, placeOf(request, request.params), actorOf(request)),
    });
  };
}
