import { z } from 'zod';
import type { App } from '#src/http/app-type.ts';
import { queues } from '#queues/index.ts';
import { pingDatabase } from '#src/db/ping.ts';
import { queueDepths } from '#src/modules/jobs/relay.query.ts';
import type { Runtime } from '#src/runtime.ts';

const Part = z.object({ status: z.enum(['up', 'down']), latencyMs: z.number().nullable() });
const HealthView = z.object({ status: z.enum(['ok', 'degraded', 'down']) });
const DetailedView = HealthView.extend({
  uptimeSeconds: z.number(),
  database: Part,
  redis: Part,
  queues: z.array(z.object({ name: z.string(), waiting: z.int(), active: z.int(), oldestAgeMs: z.number() })),
  providers: z.array(z.object({ name: z.string(), models: z.array(z.string()) })),
});

async function probe(ask: () => Promise<unknown>): Promise<z.infer<typeof Part>> {
  const startedAt = performance.now();
  try {
    await ask();
    return { status: 'up', latencyMs: Math.round((performance.now() - startedAt) * 100) / 100 };
  } catch {
    return { status: 'down', latencyMs: null };
  }
}

/** Whether this process can do its work. Redis away is `degraded`, not down: jobs are still accepted, and dispatched later. */
export function healthRoutes(rt: Runtime) {
  const database = () => probe(() => pingDatabase(rt.pool));
  const redis = () => probe(() => rt.redis.ping());
  const check = async () => {
    const [db, cache] = await Promise.all([database(), redis()]);
    const status =
      db.status === 'down' ? ('down' as const) : cache.status === 'down' ? ('degraded' as const) : ('ok' as const);
    return { status, db, cache };
  };

  return async (app: App): Promise<void> => {
    const config = { access: 'public', limits: 'none' } as const;
    const schema = { tags: ['health'], response: { 200: HealthView, 503: HealthView } };
    app.get(
      '/api/health/live',
      { config: { ...config, isNeverShed: true }, schema: { tags: ['health'], response: { 200: HealthView } } },
      async () => ({
        status: 'ok' as const,
      }),
    );
    for (const path of ['/api/health', '/api/health/ready']) {
      app.get(path, { config, schema }, async (_request, reply) => {
        const { status } = await check();
        return reply.code(status === 'down' ? 503 : 200).send({ status });
      });
    }
    app.get(
      '/api/health/detailed',
      { config, schema: { tags: ['health'], response: { 200: DetailedView, 503: DetailedView } } },
      async (_request, reply) => {
        const { status, db, cache } = await check();
        const depths = db.status === 'up' ? await queueDepths(rt.systemPool) : [];
        return reply.code(status === 'down' ? 503 : 200).send({
          status,
          uptimeSeconds: Math.round(process.uptime()),
          database: db,
          redis: cache,
          queues: queues.map(({ name }) => {
            const depth = depths.find((found) => found.queue === name);
            return {
              name,
              waiting: depth?.waiting ?? 0,
              active: depth?.active ?? 0,
              oldestAgeMs: Math.round(depth?.oldest_age_ms ?? 0),
            };
          }),
          providers: rt.ai.providers(),
        });
      },
    );
  };
}
