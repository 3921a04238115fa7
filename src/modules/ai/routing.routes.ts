import { z } from 'zod';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { JobOptions } from '#src/modules/jobs/job.schemas.ts';
import type { Runtime } from '#src/runtime.ts';

const ExplainBody = z.strictObject({
  engine: z.string().max(40),
  input: z.unknown(),
  options: JobOptions.optional(),
});

const TargetView = z.object({ provider: z.string(), model: z.string() });
const BreakerView = z.enum(['closed', 'open', 'half_open', 'ramping']);

const ExplainView = z.object({
  strategy: z.string(),
  inputTokens: z.number(),
  maxOutputTokens: z.number(),
  chosen: TargetView.nullable(),
  lastResort: TargetView.nullable(),
  targets: z.array(
    TargetView.extend({
      included: z.boolean(),
      order: z.int().nullable(),
      reasons: z.array(z.object({ code: z.string(), message: z.string(), retryAfterMs: z.int().nullable() })),
      breaker: BreakerView,
      score: z.number().nullable(),
      estimates: z
        .object({
          firstContentMs: z.number(),
          latencyMs: z.number(),
          outputTokens: z.number(),
          costUsd: z.number(),
          success: z.number(),
          quality: z.number(),
        })
        .nullable(),
    }),
  ),
});

const ProvidersView = z.object({
  providers: z.array(
    z.object({
      name: z.string(),
      status: z.enum(['up', 'degraded', 'down', 'no_key']),
      breaker: BreakerView,
      models: z.array(z.object({ name: z.string(), breaker: BreakerView, p50LatencyMs: z.int().nullable() })),
    }),
  ),
});

/** How the router decides and what it knows, for operators and clients: nobody is asked and no job is made. */
export function routingRoutes(rt: Runtime) {
  return async (app: App): Promise<void> => {
    app.post(
      '/api/ai/explain',
      {
        config: { access: 'ai:run', limits: ['ai'] },
        schema: {
          tags: ['ai'],
          description:
            'Which targets a job would be tried at now, in which order and why the others are not. Makes no job.',
          body: ExplainBody,
          response: { 200: ExplainView },
        },
      },
      async (request) => {
        const { body } = request;
        const { engine, input } = rt.ai.parse(body.engine, body.input);
        return rt.ai.explain(authOf(request).workspaceId, engine, input, body.options ?? {});
      },
    );
    app.get(
      '/api/ai/providers',
      {
        config: { access: 'jobs:read' },
        schema: {
          tags: ['ai'],
          description:
            'The providers of this installation. `p50LatencyMs`: to the first content, over the last five minutes; null below five calls.',
          response: { 200: ProvidersView },
        },
      },
      async () => ({ providers: await rt.ai.status() }),
    );
  };
}
