import { z } from 'zod';
import type { App } from '#src/http/app-type.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import { ModelParams, ModelPut, OperatorModelList, OperatorModelView } from '#src/modules/ai/models.schemas.ts';
import { dropOverride, listForOperators, saveOverride } from '#src/modules/ai/models.service.ts';
import type { Runtime } from '#src/runtime.ts';

const config = { access: 'ops' as const };
const schema = { hide: true };

/** Adds `/ops/models` to a scope that lets only operators in: what is known of models, and changes of it. A slash in a name is `%2F`. */
export function addOperatorModels(app: App, rt: Pick<Runtime, 'orm' | 'pool' | 'models'>): void {
  app.get('/ops/models', {
    config,
    schema: { ...schema, response: { 200: OperatorModelList } },
    handler: async () => ({ data: await listForOperators(rt) }),
  });

  app.put('/ops/models/:provider/:model', {
    config,
    schema: { ...schema, params: ModelParams, body: ModelPut, response: { 200: OperatorModelView } },
    handler: (request) => saveOverride(rt, actorOf(request), request.params, request.body),
  });

  app.delete('/ops/models/:provider/:model', {
    config,
    schema: { ...schema, params: ModelParams, response: { 200: z.object({ deleted: z.literal(true) }) } },
    handler: async (request) => {
      await dropOverride(rt, actorOf(request), request.params);
      return { deleted: true as const };
    },
  });
}
