import { z } from 'zod';
import type { App } from '#src/http/app-type.ts';
import type { Auth } from '#src/http/access-token.ts';
import { authOf } from '#src/http/auth.ts';
import { may, onlyOwner } from '#src/http/permissions.ts';
import { decodeCursor, pageOf, PageQuery, toPage } from '#src/http/page.ts';
import { IdParams } from '#src/http/fields.ts';
import { badRequest } from '#src/errors.ts';
import { toJobView } from '#src/modules/jobs/job.row.ts';
import { JobAccepted, JobStatus, JobView } from '#src/modules/jobs/job.schemas.ts';
import { listJobs, type OwnJobKey } from '#src/modules/jobs/jobs.query.ts';
import { openEventStream } from '#src/modules/jobs/sse.ts';
import type { Runtime } from '#src/runtime.ts';
import { parseResumeId, QUEUED_ID } from '#src/streams/cursor.ts';

const ListQuery = PageQuery.extend({ status: JobStatus.optional(), engine: z.string().max(60).optional() });

/** The links of a job, as an accepted answer carries them. */
export const jobLinks = (id: string): JobAccepted['links'] => ({
  self: `/api/jobs/${id}`,
  events: `/api/jobs/${id}/events`,
  cancel: `/api/jobs/${id}/cancel`,
});

/** A job as the caller may name it: one limited to their own finds no other. */
export const jobOf = (auth: Auth, id: string): OwnJobKey => ({
  workspaceId: auth.workspaceId,
  id,
  userId: onlyOwner(auth, 'jobs'),
});

export function jobRoutes(rt: Runtime) {
  return async (app: App): Promise<void> => {
    app.get(
      '/api/jobs',
      {
        config: { access: 'jobs:read' },
        schema: { tags: ['jobs'], querystring: ListQuery, response: { 200: pageOf(JobView) } },
      },
      async (request) => {
        const auth = authOf(request);
        const { workspaceId } = auth;
        const { limit, cursor, status, engine } = request.query;
        const [before] = cursor === undefined ? [] : decodeCursor(cursor, z.tuple([z.uuid()]));
        const rows = await listJobs(rt.pool, {
          workspaceId,
          userId: onlyOwner(auth, 'jobs'),
          status,
          engine,
          before,
          limit: limit + 1,
        });
        return toPage(rows, limit, (row) => [row.id], toJobView);
      },
    );

    app.get(
      '/api/jobs/:id',
      {
        config: { access: 'jobs:read' },
        schema: { tags: ['jobs'], params: IdParams, response: { 200: JobView } },
      },
      async (request) => rt.jobs.view(jobOf(authOf(request), request.params.id)),
    );

    app.post(
      '/api/jobs/:id/cancel',
      {
        config: { access: 'jobs:cancel' },
        schema: { tags: ['jobs'], params: IdParams, response: { 202: JobAccepted } },
      },
      async (request, reply) => {
        const { id } = request.params;
        const { status } = await rt.jobs.cancel(jobOf(authOf(request), id));
        return reply.code(202).send({ jobId: id, status, links: jobLinks(id) });
      },
    );

    app.get(
      '/api/jobs/:id/events',
      {
        config: { access: 'jobs:read' },
        schema: {
          tags: ['jobs'],
          description: 'Server-sent events, as on the WebSocket topic `job:<id>`; resumes by Last-Event-ID.',
          params: IdParams,
        },
      },
      async (request, reply) => {
        const auth = authOf(request);
        const key = jobOf(auth, request.params.id);
        const { id } = request.params;
        const lastEventId = request.headers['last-event-id'];
        const from = lastEventId === undefined ? null : parseResumeId(String(lastEventId));
        if (lastEventId !== undefined && from === null) {
          throw badRequest('validation_failed', 'Last-Event-ID is not the id of an event.', [
            { path: 'headers.last-event-id', code: 'invalid_event_id', message: 'must look like 1-42' },
          ]);
        }
        const view = await rt.jobs.view(key);
        const stillMay = (now: Auth) => may(now, 'jobs:read') && onlyOwner(now, 'jobs') === key.userId;
        const stream = openEventStream(reply, rt, { auth, stillMay });
        if (from === null && view.status === 'queued') {
          stream.send({ id: QUEUED_ID, event: 'job.queued', data: JSON.stringify({ jobId: id }) });
        }
        stream.attach(await rt.reader.watch({ workspaceId: key.workspaceId, id }, from, stream.sink));
        return reply;
      },
    );
  };
}
