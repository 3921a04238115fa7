import { createSecretKey } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { JOB_REF_KEY } from '#queues/job-ref.ts';
import type { Config } from '#src/config.ts';
import { openPool } from '#src/db/pool.ts';
import { createEgress } from '#src/lib/egress.ts';
import { createLog } from '#src/lib/log.ts';
import { createMetrics } from '#src/lib/metrics.ts';
import { publishMetrics } from '#src/lib/metrics-relay.ts';
import { isRedisReady, openRedis } from '#src/lib/redis.ts';
import { deriveKey } from '#src/lib/secrets.ts';
import { createVault } from '#src/modules/vault/vault.ts';
import { createClaim } from '#src/modules/jobs/claim.query.ts';
import { type Batches, createBatches } from '#src/modules/jobs/batches.ts';
import { createFinish, type Finish, type Finished } from '#src/modules/jobs/finish.query.ts';
import { createTellEnd } from '#src/modules/jobs/tell-end.ts';
import { createEmit } from '#src/streams/emit.ts';
import { STREAM_KEY } from '#src/streams/frame.ts';
import { createStreamWriter } from '#src/streams/writer.ts';
import { createLeases } from '#workers/leases.ts';

/** Time a running job gets, on a drain, to hand itself over. */
const HANDOVER_MS = 10_000;

export type WorkerRuntime = Awaited<ReturnType<typeof openWorkerRuntime>>;

/** Opens what a worker process needs, and nothing of the API: no ORM, no HTTP. */
export async function openWorkerRuntime(config: Config, role: string) {
  const processName = `${role}-${process.pid}`;
  const log = createLog(config.LOG_LEVEL, role);
  const metrics = createMetrics(processName);
  const prefix = config.REDIS_PREFIX;
  const master = createSecretKey(deriveKey(config.APP_SECRET, STREAM_KEY, 32));
  const pool = openPool(config, { name: role, role: 'wh_app', max: config.DATABASE_POOL }, log);
  const redis = openRedis(config.REDIS_URL, 'blocking', log);
  const streamRedis = openRedis(config.REDIS_URL, 'commands', log);
  const subscriber = openRedis(config.REDIS_URL, 'commands', log);
  await isRedisReady(streamRedis, 2000);
  const emit = createEmit(streamRedis);
  const leases = createLeases({ pool, subscriber, prefix, leaseMs: config.JOB_LEASE_MS, log, metrics });
  const stopMetrics = publishMetrics(streamRedis, prefix, processName, metrics);
  const vault = createVault(pool, config);
  let systemPool: Pool | undefined;
  const stopping = new AbortController();
  const leaving = new AbortController();
  const egress = createEgress({ allow: config.EGRESS_ALLOW });

  const openAnswer = async () =>
    (await import('#workers/answer.ts')).openAnswer({ config, log, metrics, pool, vault, redis: streamRedis });
  let opening: ReturnType<typeof openAnswer> | undefined;

  const onError = (error: unknown) => log.debug({ err: error }, 'Left to the sweep');
  const tellEnd = createTellEnd({ emit, prefix, master, onError });
  const batches = createBatches({ pool, redis: streamRedis, prefix, tellEnd, onError });

  return {
    config,
    log,
    metrics,
    pool,
    redis,
    prefix,
    leaseMs: config.JOB_LEASE_MS,
    refKey: deriveKey(config.APP_SECRET, JOB_REF_KEY, 32),
    concurrency: config.WORKER_CONCURRENCY,
    leases,
    claim: createClaim(pool, config.JOB_LEASE_MS),
    finish: endingBatches(createFinish(pool), batches),
    openWriter: (jobId: string, attempt: number, onFenced: () => void) =>
      createStreamWriter({ emit, prefix, master, jobId, attempt, onFenced }),
    vault,
    /** Aborts when the process is told to go: nothing more may be begun. */
    stopping: stopping.signal,
    /** Aborts when what still runs must be given back. */
    leaving: leaving.signal,
    /** Sees all workspaces: for the statements of a queue whose batches span them, each item naming its own. */
    openSystemPool: () => (systemPool ??= openPool(config, { name: role, role: 'wh_system', max: 2 }, log)),
    /** The only way to URLs that a workspace sets. */
    egress,
    /** What answers AI jobs; processes without an AI pool never load it. */
    openAnswer: async () => (await (opening ??= openAnswer())).answer,
    /** Lets running jobs end for `DRAIN_MS`, then has them handed over to other workers without using an attempt. */
    async drain(running: () => number): Promise<void> {
      stopping.abort();
      const handOverAt = performance.now() + config.DRAIN_MS;
      while (running() > 0 && performance.now() < handOverAt) await sleep(20);
      leases.stopAll('drain');
      leaving.abort();
      const giveUpAt = performance.now() + HANDOVER_MS;
      while (running() > 0 && performance.now() < giveUpAt) await sleep(10);
    },
    async close(): Promise<void> {
      leases.close();
      await opening?.then(({ models }) => models.close());
      await egress.close();
      await stopMetrics();
      for (const connection of [redis, streamRedis, subscriber]) connection.disconnect();
      await Promise.all([pool.end(), systemPool?.end()]);
    },
  };
}

/** A finish that has the batch of an item looked at once the item is over. */
const endingBatches =
  (finish: (one: Finish) => Promise<Finished>, batches: Batches) =>
  async (one: Finish): Promise<Finished> => {
    const finished = await finish(one);
    if (finished.kind === 'done' && finished.row.parent_id !== null && finished.row.finished_at !== null) {
      batches.itemEnded({ workspaceId: finished.row.workspace_id, id: finished.row.parent_id });
    }
    return finished;
  };
