import type { EntityManager } from '@mikro-orm/postgresql';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { notFound } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { actorOf, appendAudit, fieldsOf } from '#src/modules/audit/audit.ts';
import {
  RemoveStageQuery,
  ReorderBody,
  StageBody,
  StageList,
  StageParams,
  StagePatch,
  StageView,
} from '#src/modules/pipelines/pipelines.schemas.ts';
import { findStages } from '#src/modules/pipelines/stages.query.ts';
import { addStage, changeStage, removeStage, reorderStages } from '#src/modules/pipelines/stages.service.ts';
import type { Runtime } from '#src/runtime.ts';

const LIST = '/api/pipelines/:id/stages';
const ONE = `${LIST}/:stageId`;
const schema = { tags: ['pipeline'], security: [{ bearer: [] }] };
const config = { access: 'pipelines:manage' as const };

/** `/api/pipelines/:id/stages`. Each change makes others of the same pipeline wait. */
export function stageRoutes({ orm }: Pick<Runtime, 'orm'>) {
  type Request = Parameters<typeof actorOf>[0] & Parameters<typeof authOf>[0];
  const change = <Result>(
    request: Request,
    action: string,
    work: (em: EntityManager) => Promise<{ result: Result; id: string; before?: unknown; after?: unknown }>,
  ): Promise<Result> =>
    inWorkspaceTx(orm, authOf(request), async (em) => {
      const { result, id, before, after } = await work(em);
      await appendAudit(em, actorOf(request), { action, target: { type: 'pipeline_stage', id }, before, after });
      return result;
    });

  return async (app: App): Promise<void> => {
    app.get(LIST, {
      config: { access: 'deals:read' },
      schema: {
        ...schema,
        summary: 'The stages of a pipeline, in their order',
        params: IdParams,
        response: { 200: StageList },
      },
      handler: async (request) => {
        const data = await inWorkspaceTx(orm, authOf(request), (em) => findStages(em, request.params.id));
        // There is no pipeline without one.
        if (data.length === 0) throw notFound('The pipeline');
        return { data };
      },
    });

    app.get(ONE, {
      config: { access: 'deals:read' },
      schema: { ...schema, summary: 'One stage', params: StageParams, response: { 200: StageView } },
      handler: async (request) => {
        const { id, stageId } = request.params;
        const stages = await inWorkspaceTx(orm, authOf(request), (em) => findStages(em, id));
        const stage = stages.find((one) => one.id === stageId);
        if (!stage) throw notFound('The stage');
        return stage;
      },
    });

    app.post(LIST, {
      config,
      schema: {
        ...schema,
        summary: 'A new stage behind the others',
        params: IdParams,
        body: StageBody,
        response: { 201: StageView },
      },
      handler: async (request, reply) => {
        const made = await change(request, 'pipeline_stage.created', async (em) => {
          const stage = await addStage(em, request.params.id, request.body);
          return { result: stage, id: stage.id, after: fieldsOf(request.body) };
        });
        return reply.code(201).send(made);
      },
    });

    app.patch(`${LIST}/reorder`, {
      config,
      schema: {
        ...schema,
        summary: 'Put all stages into another order',
        params: IdParams,
        body: ReorderBody,
        response: { 200: StageList },
      },
      handler: (request) =>
        change(request, 'pipeline_stage.reordered', async (em) => {
          const { id } = request.params;
          const { before, stages } = await reorderStages(em, id, request.body.stageIds);
          return { result: { data: stages }, id, before, after: request.body.stageIds };
        }),
    });

    app.patch(ONE, {
      config,
      schema: {
        ...schema,
        summary: 'Change a stage; its kind stays',
        params: StageParams,
        body: StagePatch,
        response: { 200: StageView },
      },
      handler: (request) =>
        change(request, 'pipeline_stage.changed', async (em) => {
          const { id, stageId } = request.params;
          const { after: result } = await changeStage(em, id, stageId, request.body);
          return { result, id: stageId, after: fieldsOf(request.body) };
        }),
    });

    app.delete(ONE, {
      config,
      schema: {
        ...schema,
        summary: 'Delete a stage; its deals go to the end of `targetStageId`',
        params: StageParams,
        querystring: RemoveStageQuery,
        response: { 200: DeletedView },
      },
      handler: (request) =>
        change(request, 'pipeline_stage.deleted', async (em) => {
          const { id: pipelineId, stageId: id } = request.params;
          const { targetStageId: targetId } = request.query;
          const { moved } = await removeStage(em, {
            pipelineId,
            id,
            targetId,
            actorId: authOf(request).userId,
          });
          return { result: { id, deleted: true as const }, id, after: { targetId, moved } };
        }),
    });
  };
}
