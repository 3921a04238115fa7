import underPressure from '@fastify/under-pressure';
import { getHeapStatistics } from 'node:v8';
import type { FastifyRequest } from 'fastify';
import type { Config } from '#src/config.ts';
import type { App } from '#src/http/app-type.ts';
import type { Metrics } from '#src/lib/metrics.ts';
import { unavailable } from '#src/errors.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answered however busy the process is: who asks wants to know just that. */
    isNeverShed?: boolean;
  }
}

const SAMPLE_MS = 1000;
const RETRY_AFTER_MS = 2000;
const MIB = 1_048_576;
/** Of the heap Node allows itself. Beyond, it collects garbage more than it works, and then dies with every request it has. */
const HEAP_SHARE = 0.9;

type Limits = Pick<Config, 'MAX_EVENT_LOOP_DELAY_MS' | 'MAX_EVENT_LOOP_UTILIZATION' | 'MAX_HEAP_MB' | 'MAX_RSS_MB'>;

/**
 * Answers 503 `overloaded` with `Retry-After` at once while the process is beyond a limit, measured every second, so that what it has
 * accepted gets done. After CORS, so that web pages can read the answer, and before any route is registered.
 */
export async function shedLoad(app: App, limits: Limits, metrics: Metrics): Promise<void> {
  await app.register(underPressure, {
    sampleInterval: SAMPLE_MS,
    maxEventLoopDelay: limits.MAX_EVENT_LOOP_DELAY_MS,
    maxEventLoopUtilization: limits.MAX_EVENT_LOOP_UTILIZATION,
    // The other mode averages over the whole life of the process.
    eventLoopUtilizationMode: 'interval',
    maxHeapUsedBytes: (limits.MAX_HEAP_MB ?? 0) * MIB || getHeapStatistics().heap_size_limit * HEAP_SHARE,
    maxRssBytes: limits.MAX_RSS_MB * MIB,
    pressureHandler: async (request: FastifyRequest, _reply, reason) => {
      if (request.routeOptions.config.isNeverShed) return;
      metrics.shed.inc({ reason });
      throw unavailable('overloaded', 'The server is too busy right now. Try again.', RETRY_AFTER_MS);
    },
  });
}
