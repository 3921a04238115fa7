import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { idempotencyKeyOf } from '#src/http/idempotency.ts';
import { acceptAndWait } from '#src/modules/ai/ai.routes.ts';
import { BatchBody } from '#src/modules/ai/batch.schemas.ts';
import { waitSecondsOf } from '#src/modules/ai/preferences.ts';
import { engineNamed } from '#src/modules/ai/engine-named.ts';
import { badRequest } from '#src/errors.ts';
import { JobAccepted, JobView } from '#src/modules/jobs/job.schemas.ts';
import type { Runtime } from '#src/runtime.ts';

const BODY_LIMIT_BYTES = 4_194_304;

/** `POST /api/ai/batch`: one engine on up to a thousand inputs, a job for each. */
export function batchRoutes(rt: Runtime) {
  return async (app: App): Promise<void> => {
    app.post('/api/ai/batch', {
      bodyLimit: BODY_LIMIT_BYTES,
      config: { access: 'ai:run', limits: ['ai'], idempotency: 'own' },
      schema: {
        tags: ['ai'],
        description:
          'Accepts a job for each item and one above them, whose result is the list in order: `{ok: true, result}` or `{ok: false, problem}`. Cancelling it cancels them.',
        body: BatchBody,
        response: { 200: JobView, 202: JobAccepted },
      },
      handler: async (request, reply) => {
        const { engine: name, items: inputs, options = {} } = request.body;
        const engine = engineNamed(name);
        if (!engine) throw badRequest('unknown_engine', `There is no engine "${name}".`, []);
        const auth = authOf(request);
        const origin = { requestId: request.id, idempotencyKey: idempotencyKeyOf(request) };
        const { submission, items } = await rt.ai.prepareBatch(auth, engine, inputs, options, origin);
        const pending = {
          workspaceId: auth.workspaceId,
          accept: (id: string) => rt.jobs.acceptBatch(submission, items, id),
        };
        const seconds = waitSecondsOf(request, rt.config.DEFAULT_WAIT_SECONDS);
        return acceptAndWait(rt, pending, seconds, request, reply);
      },
    });
  };
}
