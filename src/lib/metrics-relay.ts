import type { Redis } from 'ioredis';
import type { MetricObject } from 'prom-client';
import type { Metrics } from '#src/lib/metrics.ts';

const PUBLISH_EVERY_MS = 2000;
const STALE_MS = 15_000;

/**
 * Workers have no HTTP port: each leaves its metrics in Redis every 2 s, and the API shows them as one exposition.
 * @param processName unique among the processes of the installation.
 * @returns a function that stops it and takes the metrics away.
 */
export function publishMetrics(
  redis: Redis,
  prefix: string,
  processName: string,
  metrics: Metrics,
): () => Promise<void> {
  const key = `${prefix}:metrics`;
  const publish = async (): Promise<void> => {
    const payload = JSON.stringify({ at: Date.now(), metrics: await metrics.registry.getMetricsAsJSON() });
    await redis.hset(key, processName, payload);
  };
  // Redis away: the next round tells again.
  const timer = setInterval(() => void publish().catch(() => undefined), PUBLISH_EVERY_MS).unref();
  void publish().catch(() => undefined);
  return async () => {
    clearInterval(timer);
    await redis.hdel(key, processName).catch(() => 0);
  };
}

/** @returns the metrics other processes left within the last 15 s; older ones are taken away. */
export async function collectMetrics(redis: Redis, prefix: string): Promise<MetricObject[][]> {
  const key = `${prefix}:metrics`;
  const left = Object.entries(await redis.hgetall(key));
  const parts: MetricObject[][] = [];
  for (const [name, payload] of left) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `publishMetrics` of the same version
    const { at, metrics } = JSON.parse(payload) as { at: number; metrics: MetricObject[] };
    if (Date.now() - at <= STALE_MS) parts.push(metrics);
    else await redis.hdel(key, name);
  }
  return parts;
}
