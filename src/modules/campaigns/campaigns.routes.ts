import { z } from 'zod';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { ifMatchOf } from '#src/http/etag.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { idempotencyKeyOf } from '#src/http/idempotency.ts';
import { byOf } from '#src/modules/campaigns/by.ts';
import {
  CampaignBody,
  CampaignPage,
  CampaignPatch,
  CampaignQuery,
  CampaignView,
  NewCampaignView,
  NOTICE,
  PreviewBody,
  PreviewView,
  ScheduleBody,
  TestBody,
  TestView,
} from '#src/modules/campaigns/campaigns.schemas.ts';
import { retryCampaign, scheduleCampaign, startCampaign, turnCampaign } from '#src/modules/campaigns/campaign-moves.ts';
import {
  changeCampaign,
  createCampaign,
  duplicateCampaign,
  listCampaigns,
  previewPeople,
  readCampaign,
  removeCampaign,
  tagOf,
  viewOf,
} from '#src/modules/campaigns/campaigns.service.ts';
import { testCampaign } from '#src/modules/campaigns/test-send.ts';
import { itemRoutes } from '#src/modules/campaigns/items.routes.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['campaigns'], security: [{ bearer: [] }] };
const read = { access: 'campaigns:read' } as const;
const run = { access: 'campaigns:run' } as const;

/** `/api/campaigns`: one text to many people, each of whom gets it once. */
export function campaignRoutes(rt: Runtime) {
  return async (app: App): Promise<void> => {
    app.post('/api/campaigns', {
      config: run,
      schema: { ...schema, summary: 'Make a draft', body: CampaignBody, response: { 201: NewCampaignView } },
      handler: async (request, reply) => {
        const row = await createCampaign(rt, byOf(request), request.body);
        return reply
          .code(201)
          .header('etag', tagOf(row))
          .send({ ...viewOf(row), notice: NOTICE });
      },
    });

    app.get('/api/campaigns', {
      config: read,
      schema: { ...schema, summary: 'Your campaigns', querystring: CampaignQuery, response: { 200: CampaignPage } },
      handler: (request) => listCampaigns(rt, authOf(request), request.query),
    });

    app.post('/api/campaigns/preview-audience', {
      config: run,
      schema: {
        ...schema,
        summary: 'Who would get it now, and who would not, and why',
        body: PreviewBody,
        response: { 200: PreviewView },
      },
      handler: (request) => previewPeople(rt, authOf(request), request.body),
    });

    app.get('/api/campaigns/:id', {
      config: read,
      schema: { ...schema, summary: 'One campaign', params: IdParams, response: { 200: CampaignView } },
      handler: async (request, reply) => {
        const row = await readCampaign(rt, authOf(request), request.params.id);
        return reply.header('etag', tagOf(row)).send(viewOf(row));
      },
    });

    app.patch('/api/campaigns/:id', {
      config: run,
      schema: {
        ...schema,
        summary: 'Change a campaign that has not begun',
        params: IdParams,
        body: CampaignPatch,
        response: { 200: CampaignView },
      },
      handler: async (request, reply) => {
        const row = await changeCampaign(rt, byOf(request), request.params.id, request.body, ifMatchOf(request));
        return reply.header('etag', tagOf(row)).send(viewOf(row));
      },
    });

    app.delete('/api/campaigns/:id', {
      config: run,
      schema: {
        ...schema,
        summary: 'Delete a campaign that has not begun',
        params: IdParams,
        response: { 200: DeletedView },
      },
      handler: async (request) => {
        await removeCampaign(rt, byOf(request), request.params.id);
        return { id: request.params.id, deleted: true as const };
      },
    });

    app.post('/api/campaigns/:id/duplicate', {
      config: run,
      schema: { ...schema, summary: 'A new draft like it', params: IdParams, response: { 201: NewCampaignView } },
      handler: async (request, reply) => {
        const row = await duplicateCampaign(rt, byOf(request), request.params.id);
        return reply
          .code(201)
          .header('etag', tagOf(row))
          .send({ ...viewOf(row), notice: NOTICE });
      },
    });

    app.post('/api/campaigns/:id/test', {
      config: run,
      schema: {
        ...schema,
        summary: 'Send its texts to a few numbers now, to look at them',
        params: IdParams,
        body: TestBody,
        response: { 200: TestView },
      },
      handler: (request) => testCampaign(rt, byOf(request), request.params.id, request.body.to),
    });

    app.post('/api/campaigns/:id/schedule', {
      config: run,
      schema: {
        ...schema,
        summary: 'Start it by itself at a time',
        params: IdParams,
        body: ScheduleBody,
        response: { 200: CampaignView },
      },
      handler: async (request) => viewOf(await scheduleCampaign(rt, byOf(request), request.params.id, request.body)),
    });

    app.post('/api/campaigns/:id/start', {
      config: { ...run, idempotency: 'own' },
      schema: {
        ...schema,
        summary: 'Start it, or have it wait for its scheduledAt; takes an Idempotency-Key',
        params: IdParams,
        response: { 202: CampaignView },
      },
      handler: async (request, reply) => {
        const key = idempotencyKeyOf(request);
        const { row, isReplayed } = await startCampaign(rt, byOf(request), request.params.id, key);
        if (isReplayed) reply.header('idempotent-replayed', 'true');
        return reply.code(202).send(viewOf(row));
      },
    });

    for (const [verb, summary] of [
      ['pause', 'Send nothing more of it for now'],
      ['resume', 'Go on with a paused campaign'],
      ['cancel', 'Send nothing more of it, ever'],
    ] as const) {
      app.post(`/api/campaigns/:id/${verb}`, {
        config: run,
        schema: { ...schema, summary, params: IdParams, response: { 200: CampaignView } },
        handler: async (request) => viewOf(await turnCampaign(rt, byOf(request), request.params.id, verb)),
      });
    }

    app.post('/api/campaigns/:id/retry-failed', {
      config: run,
      schema: {
        ...schema,
        summary: 'Try what failed and reached nobody once more',
        params: IdParams,
        response: { 202: z.object({ retried: z.int() }) },
      },
      handler: async (request, reply) =>
        reply.code(202).send(await retryCampaign(rt, byOf(request), request.params.id)),
    });

    itemRoutes(app, rt);
  };
}
