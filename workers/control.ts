import { JOB_REF_KEY } from '#queues/job-ref.ts';
import { createProducer } from '#queues/producer.ts';
import { ConfigError, readConfig } from '#src/config.ts';
import { leadWhenFree } from '#src/db/leader.ts';
import { openPool } from '#src/db/pool.ts';
import { createLog } from '#src/lib/log.ts';
import { createMetrics } from '#src/lib/metrics.ts';
import { publishMetrics } from '#src/lib/metrics-relay.ts';
import { runMain, runUntilSignal } from '#src/lib/process.ts';
import { openRedis } from '#src/lib/redis.ts';
import { deriveKey } from '#src/lib/secrets.ts';
import { createRelay } from '#src/modules/jobs/relay.ts';

/** The advisory lock of the relay; any number, the same in every version. */
const RELAY_LOCK = 7_203_001;

/** The process that keeps Redis a true index of Postgres. Several may run: one works, the others stand by. */
async function main(): Promise<void> {
  const config = readConfig();
  const log = createLog(config.LOG_LEVEL, 'control');
  const processName = `control-${process.pid}`;
  const metrics = createMetrics(processName);
  const pool = openPool(config, { name: 'control', role: 'wh_system', max: 2 }, log);
  const redis = openRedis(config.REDIS_URL, 'commands', log);
  const prefix = config.REDIS_PREFIX;
  const queueRedis = openRedis(config.REDIS_URL, 'blocking', log);
  const producer = createProducer(queueRedis, `{${prefix}}`, deriveKey(config.APP_SECRET, JOB_REF_KEY, 32));
  const stopMetrics = publishMetrics(redis, prefix, processName, metrics);
  const relay = createRelay({
    pool,
    redis,
    producer,
    prefix,
    leaseMs: config.JOB_LEASE_MS,
    resultTtlSeconds: config.JOB_RESULT_TTL,
    log,
    metrics,
  });
  const stopping = new AbortController();
  const leading = leadWhenFree(config.DATABASE_URL, RELAY_LOCK, relay.run, stopping.signal, log);
  await runUntilSignal(log, async () => {
    stopping.abort();
    await leading;
    await stopMetrics();
    if (queueRedis.status === 'ready') await producer.close();
    for (const connection of [redis, queueRedis]) connection.disconnect();
    await pool.end();
  });
}

runMain(main, (error) => error instanceof ConfigError);
