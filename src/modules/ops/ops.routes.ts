import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { STATUSES } from '@bull-board/api/constants/statuses';
import { FastifyAdapter } from '@bull-board/fastify';
import { timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { MetricObject } from 'prom-client';
import { sha256 } from '#src/lib/secrets.ts';
import { type AppError, conflict, notFound, unauthenticated, unavailable } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { protectPages } from '#src/http/browsers.ts';
import { sendProblem } from '#src/http/problem.ts';
import { LimitedError } from '#src/http/rate-limit/limiter.ts';
import { mergeMetrics } from '#src/lib/metrics.ts';
import { collectMetrics } from '#src/lib/metrics-relay.ts';
import { queueDepths } from '#src/modules/jobs/relay.query.ts';
import { queues } from '#queues/index.ts';
import { addOperatorAnalytics } from '#src/modules/analytics/recompute.routes.ts';
import { addOperatorCredits } from '#src/modules/billing/billing.routes.ts';
import { addOperatorLicenses } from '#src/modules/billing/licenses.routes.ts';
import { addOperatorModels } from '#src/modules/ai/models.routes.ts';
import { addOperatorSettings } from '#src/modules/settings/settings.routes.ts';
import { addOperatorInvoices } from '#src/modules/payments/payments.routes.ts';
import { isRecord } from '#src/lib/record.ts';
import type { Runtime } from '#src/runtime.ts';

const BOARD = '/ops/queues';

/** HTTP Basic with the ops credentials (RFC 7617), compared in constant time. */
function isOps(request: FastifyRequest, user: string, password: string): boolean {
  const given = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
  const expected = Buffer.from(`${user}:${password}`).toString('base64');
  return timingSafeEqual(sha256(given), sha256(expected));
}

/** Counts a request before its credentials are looked at. @returns the refusal of who has sent too many */
async function countOps(
  { limiter }: Pick<Runtime, 'limiter'>,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<LimitedError | undefined> {
  try {
    await limiter.take(['ops'], request);
    return undefined;
  } catch (error) {
    if (!(error instanceof LimitedError)) throw error;
    reply.headers(error.headers);
    return error;
  }
}

/** BullMQ refuses what a queue or a job is in no state for with bare errors: of a code below zero, or by a sentence alone. */
function refusalOf(error: unknown): AppError | undefined {
  if (!(error instanceof Error)) return undefined;
  const hasCode = 'code' in error && typeof error.code === 'number' && error.code < 0;
  const isRefusal = hasCode || error.message.startsWith('Cannot obliterate ');
  return isRefusal ? conflict('queue_refused', error.message) : undefined;
}

/** The board reads fields of a body without looking whether there is one, and makes the name of a Redis key of a status. */
async function mendBoardRequest(request: FastifyRequest): Promise<void> {
  request.body ??= {};
  const status = isRecord(request.params) ? request.params['queueStatus'] : undefined;
  if (status !== undefined && !Object.values<unknown>(STATUSES).includes(status)) throw notFound('The status');
}

/** What operators see: Bull Board and metrics, both behind the ops credentials. */
export function opsRoutes(rt: Runtime) {
  const { OPS_USER, OPS_PASSWORD, REDIS_PREFIX } = rt.config;
  return async (app: App): Promise<void> => {
    // Answered here, not thrown: Bull Board's own error handler would make a 500 of it.
    app.addHook('onRequest', async (request, reply) => {
      // Here and not by the route: its own count comes after this hook, and so never for who guesses.
      const limited = await countOps(rt, request, reply);
      if (limited) return sendProblem(limited, request, reply);
      if (isOps(request, OPS_USER, OPS_PASSWORD)) return;
      reply.header('www-authenticate', 'Basic realm="WhatsHybrid operations", charset="UTF-8"');
      const detail = 'Operators sign in with the ops user and password.';
      sendProblem(unauthenticated(detail), request, reply);
    });

    await protectPages(app);
    app.addHook('onRequest', async (request, reply) => {
      if (!request.url.startsWith(BOARD) || rt.isQueueReady()) return;
      const away = unavailable('redis_unavailable', 'Redis is away; the queues cannot be shown.', 2000);
      sendProblem(away, request, reply);
    });

    // The board's plugin brings an error handler that answers everything with 500, also JSON that cannot be read.
    app.addHook('onRoute', (route) => {
      route.errorHandler = (error, request, reply) => sendProblem(refusalOf(error) ?? error, request, reply);
    });
    app.addHook('preValidation', mendBoardRequest);
    const board = new FastifyAdapter();
    board.setBasePath(BOARD);
    createBullBoard({
      queues: rt.producer.queues.map(
        (queue) =>
          new BullMQAdapter(queue, {
            description: queues.find((contract) => contract.name === queue.name)?.description,
          }),
      ),
      serverAdapter: board,
      options: { uiConfig: { boardTitle: 'WhatsHybrid', hideRedisDetails: true } },
    });
    await app.register(board.registerPlugin(), { prefix: BOARD });

    addOperatorSettings(app, rt);
    addOperatorModels(app, rt);
    addOperatorAnalytics(app, rt);
    addOperatorCredits(app, rt);
    addOperatorInvoices(app, rt);
    addOperatorLicenses(app, rt);

    app.get(
      '/metrics',
      { config: { access: 'ops', isNeverShed: true }, schema: { hide: true } },
      async (_request, reply) => {
        rt.metrics.watchers.set(rt.reader.counts().watchers);
        const own = (await rt.metrics.registry.getMetricsAsJSON()) as MetricObject[];
        // Without Redis the API still shows its own.
        const others = await collectMetrics(rt.redis, REDIS_PREFIX).catch(() => []);
        const depths = await queueDepths(rt.systemPool);
        reply.header('content-type', rt.metrics.registry.contentType);
        return `${await mergeMetrics([own, ...others])}\n${depthMetrics(depths)}`;
      },
    );
  };
}

type Depth = Awaited<ReturnType<typeof queueDepths>>[number];

/** Every queue has its lines, also an empty one: an alert must not lose its series. */
function depthMetrics(depths: Depth[]): string {
  const of = (name: string) =>
    depths.find((depth) => depth.queue === name) ?? { waiting: 0, active: 0, oldest_age_ms: 0 };
  const lines = [
    '# HELP wh_queue_jobs Jobs that are not over, by the state Postgres holds',
    '# TYPE wh_queue_jobs gauge',
    ...queues.flatMap(({ name }) => [
      `wh_queue_jobs{queue="${name}",state="waiting"} ${of(name).waiting}`,
      `wh_queue_jobs{queue="${name}",state="active"} ${of(name).active}`,
    ]),
    '# HELP wh_queue_oldest_age_seconds Age of the oldest waiting job',
    '# TYPE wh_queue_oldest_age_seconds gauge',
    ...queues.map(({ name }) => `wh_queue_oldest_age_seconds{queue="${name}"} ${of(name).oldest_age_ms / 1000}`),
  ];
  return `${lines.join('\n')}\n`;
}
