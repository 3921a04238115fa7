import { UniqueConstraintViolationException, type EntityManager } from '@mikro-orm/postgresql';
import type { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { conflict, notFound } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { etagOf, ifMatchOf, mustMatch } from '#src/http/etag.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { newId } from '#src/lib/ids.ts';
import { actorOf, appendAudit, fieldsOf } from '#src/modules/audit/audit.ts';
import { crud } from '#src/modules/crud.ts';
import { Pipeline } from '#src/modules/pipelines/pipeline.entity.ts';
import { NewPipelineBody, PipelineBody, PipelineView } from '#src/modules/pipelines/pipelines.schemas.ts';
import {
  emptyPipeline,
  insertDefaultStages,
  insertPipeline,
  insertStages,
  lockAllPipelines,
  makeDefault,
} from '#src/modules/pipelines/stages.query.ts';
import { stageOf } from '#src/modules/pipelines/stages.service.ts';
import { lockWorkspaceRow } from '#src/modules/workspaces/lock.query.ts';
import type { Runtime } from '#src/runtime.ts';

const MAX_PIPELINES = 100;
const name = 'pipeline';

/** As clients see it. @throws AppError 404 */
async function read(em: EntityManager, id: string): Promise<z.output<typeof PipelineView>> {
  const row = await em.findOne(Pipeline, { id }, { refresh: true });
  if (!row) throw notFound('The pipeline');
  const dates = { createdAt: row.createdAt.toISOString(), updatedAt: row.updatedAt.toISOString() };
  return { id, ...dates, name: row.name, isDefault: row.isDefault, stages: row.stages };
}

async function add(em: EntityManager, body: z.output<typeof NewPipelineBody>): Promise<string> {
  const id = newId();
  if (!(await insertPipeline(em, id, body.name, MAX_PIPELINES)))
    throw conflict('too_many_pipelines', `A workspace has no more than ${MAX_PIPELINES} pipelines.`);
  if (body.stages) await insertStages(em, id, body.stages.map(stageOf));
  else await insertDefaultStages(em, id);
  return id;
}

/** `/api/pipelines`. There is always one that is the default: it cannot be deleted, only another be made it. */
export function pipelineRoutes(rt: Pick<Runtime, 'orm'>) {
  const { orm } = rt;
  const access = { read: 'deals:read', write: 'pipelines:manage' } as const;
  const pipelines = crud(rt, Pipeline, { name, body: PipelineBody, view: PipelineView, access });
  const schema = { tags: [name], security: [{ bearer: [] }] };
  const config = { access: access.write };
  return async (app: App): Promise<void> => {
    app.get('/api/pipelines', pipelines.list);
    app.get('/api/pipelines/:id', pipelines.get);
    app.patch('/api/pipelines/:id', pipelines.update);

    app.post('/api/pipelines', {
      config,
      schema: {
        ...schema,
        summary: 'A new pipeline; with the usual stages where none are given',
        body: NewPipelineBody,
        response: { 201: PipelineView },
      },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const made = await inWorkspaceTx(orm, auth, async (em) => {
          // Of several at once each counts what the one before has made.
          await lockWorkspaceRow(em, auth.workspaceId);
          const id = await add(em, request.body);
          await appendAudit(em, actorOf(request), {
            action: 'pipeline.created',
            target: { type: name, id },
            after: fieldsOf(request.body),
          });
          return read(em, id);
        }).catch((error: unknown) => {
          if (!(error instanceof UniqueConstraintViolationException)) throw error;
          throw conflict('pipeline_exists', 'There is a pipeline like it already.');
        });
        return reply.code(201).header('etag', etagOf(made)).send(made);
      },
    });

    app.post('/api/pipelines/:id/default', {
      config,
      schema: {
        ...schema,
        summary: 'Deals that do not say where to go will go to this one',
        params: IdParams,
        response: { 200: PipelineView },
      },
      handler: (request) =>
        inWorkspaceTx(orm, authOf(request), async (em) => {
          const { id } = request.params;
          await lockAllPipelines(em);
          await read(em, id);
          await makeDefault(em, id);
          await appendAudit(em, actorOf(request), { action: 'pipeline.made_default', target: { type: name, id } });
          return read(em, id);
        }),
    });

    app.delete('/api/pipelines/:id', {
      config,
      schema: {
        ...schema,
        summary: 'Delete a pipeline that no deal is in; deals of it that were deleted are gone with it',
        params: IdParams,
        response: { 200: DeletedView },
      },
      handler: (request) =>
        inWorkspaceTx(orm, authOf(request), async (em) => {
          const { id } = request.params;
          await lockAllPipelines(em);
          const before = await read(em, id);
          mustMatch(ifMatchOf(request), etagOf(before));
          if (before.isDefault)
            throw conflict('default_pipeline', 'This is the default pipeline. Make another one the default first.');
          if (!(await emptyPipeline(em, id)))
            throw conflict('pipeline_not_empty', 'There are deals in it. Move or delete them first.');
          await em.nativeDelete(Pipeline, { id });
          await appendAudit(em, actorOf(request), { action: 'pipeline.deleted', target: { type: name, id } });
          return { id, deleted: true as const };
        }),
    });
  };
}
