import { createSecretKey } from 'node:crypto';
import type { Config } from '#src/config.ts';
import { openOrm } from '#src/db/orm.ts';
import { openPool } from '#src/db/pool.ts';
import { createAccess } from '#src/http/access.ts';
import { createLimiter } from '#src/http/rate-limit/limiter.ts';
import { createAccessTokens, type SigningSecret } from '#src/http/access-token.ts';
import { createTokenizer } from '#src/ai/tokenizer.ts';
import { createEgress } from '#src/lib/egress.ts';
import { createLog, type Log } from '#src/lib/log.ts';
import { createMetrics } from '#src/lib/metrics.ts';
import { createPasswords } from '#src/lib/password.ts';
import { isRedisReady, openRedis } from '#src/lib/redis.ts';
import { deriveKey } from '#src/lib/secrets.ts';
import { anchorWith, createAnchor } from '#src/modules/audit/anchor.ts';
import { createAiService } from '#src/modules/ai/ai.service.ts';
import { openStripe } from '#src/modules/payments/stripe.ts';
import { createWorkspaceAi } from '#src/modules/ai/workspace-ai.ts';
import { watchModels } from '#src/modules/ai/models.ts';
import { openRouter } from '#src/modules/ai/router.ts';
import { createKnowLeads } from '#src/modules/contact-ai/features.ts';
import { entities } from '#src/modules/entities.ts';
import { createThrottle } from '#src/modules/auth/throttle.ts';
import { createJobs } from '#src/modules/jobs/jobs.service.ts';
import { createSettings } from '#src/modules/settings/settings.ts';
import { JOB_REF_KEY } from '#queues/job-ref.ts';
import { createVault } from '#src/modules/vault/vault.ts';
import { createProducer } from '#queues/producer.ts';
import { createEventFeed } from '#src/events/feed.ts';
import { createEmit } from '#src/streams/emit.ts';
import { controlChannel, STREAM_KEY } from '#src/streams/frame.ts';
import { createStreamReader } from '#src/streams/reader.ts';

/** How long the start waits for Redis; without it jobs are accepted all the same. */
const REDIS_PATIENCE_MS = 2000;

export type Runtime = Awaited<ReturnType<typeof openRuntime>>;

/** The keys of access tokens, the signing one first. */
export function signingSecrets(
  config: Pick<Config, 'ACCESS_TOKEN_KEYS' | 'APP_SECRET'>,
): [SigningSecret, ...SigningSecret[]] {
  const [first, ...others] = config.ACCESS_TOKEN_KEYS;
  return first ? [first, ...others] : [{ id: 'v1', secretBase64: config.APP_SECRET }];
}

/** Opens what the API needs; `close` closes it in reverse. Nothing here waits for Postgres: its absence is an error of each query. */
export async function openRuntime(config: Config, role = 'api', given?: Log) {
  const log = given ?? createLog(config.LOG_LEVEL, role);
  const metrics = createMetrics(`${role}-${process.pid}`);
  const prefix = config.REDIS_PREFIX;
  const master = createSecretKey(deriveKey(config.APP_SECRET, STREAM_KEY, 32));
  const orm = openOrm(config, entities, { role: 'wh_app', log });
  const auditAnchor = createAnchor(config);
  anchorWith(orm, auditAnchor);
  // Apart from the ORM's pool, which turns off the driver's reading of dates.
  const pool = openPool(config, { name: role, role: 'wh_app', max: config.DATABASE_POOL }, log);
  const systemPool = openPool(config, { name: `${role}-system`, role: 'wh_system', max: 2 }, log);
  const redis = openRedis(config.REDIS_URL, 'commands', log);
  const subscriber = openRedis(config.REDIS_URL, 'commands', log);
  const queueRedis = openRedis(config.REDIS_URL, 'blocking', log);
  await Promise.all([redis, subscriber, queueRedis].map((connection) => isRedisReady(connection, REDIS_PATIENCE_MS)));

  const producer = createProducer(queueRedis, `{${prefix}}`, deriveKey(config.APP_SECRET, JOB_REF_KEY, 32));
  const emit = createEmit(redis);
  const jobs = createJobs({ pool, systemPool, producer, redis, emit, prefix, master, log });
  const reader = createStreamReader({
    redis,
    subscriber,
    prefix,
    master,
    findEnded: (keys) => jobs.findEnded(keys),
    requestResync: (jobId) =>
      void redis.publish(controlChannel(prefix), JSON.stringify({ op: 'resync', jobId })).catch(() => undefined),
    onError: (error) => log.debug({ err: error }, 'A stream could not be read'),
  });
  const events = createEventFeed({
    pool,
    systemPool,
    subscriber,
    prefix,
    metrics,
    onError: (error) => log.debug({ err: error }, 'Events could not be read'),
  });
  const { router, embedder, providers } = openRouter(config, log, redis, metrics);
  const models = watchModels(pool, config.MODEL_CATALOG_FILE, log);
  const tokenizer = createTokenizer();
  const accessTokens = createAccessTokens(signingSecrets(config));
  const access = createAccess({ pool, systemPool, accessTokens, log });
  const vault = createVault(pool, config);
  const egress = createEgress({ allow: config.EGRESS_ALLOW });
  const payments = await openStripe(config, log);
  const closing = new AbortController();

  return {
    config,
    log,
    metrics,
    orm,
    pool,
    /** Sees all workspaces: for dispatching and for the operator's figures, never for a request of a client. */
    systemPool,
    redis,
    isQueueReady: () => queueRedis.status === 'ready',
    producer,
    jobs,
    reader,
    events,
    ai: createAiService({
      router,
      providers,
      embedder,
      readWorkspaceAi: createWorkspaceAi(pool, vault),
      knowLeads: createKnowLeads(pool),
    }),
    models,
    tokenizer,
    accessTokens,
    access,
    auditAnchor,
    vault,
    /** The only way to URLs that a workspace sets. */
    egress,
    /** Who collects money; null: nobody does it for us. */
    payments,
    limiter: createLimiter(config, redis),
    passwords: createPasswords(),
    settings: createSettings({ orm, config, vault }),
    throttle: createThrottle(redis, config, log),
    /** Aborts when the server begins to close: answers that would last end then, and their clients resume elsewhere. */
    closing: closing.signal,
    beginClosing: () => closing.abort(),
    async close(): Promise<void> {
      reader.close();
      events.close();
      access.close();
      models.close();
      await tokenizer.close();
      await egress.close();
      await jobs.close();
      // Closing the queues would wait for a Redis that is away.
      if (queueRedis.status === 'ready') await producer.close();
      for (const connection of [redis, subscriber, queueRedis]) connection.disconnect();
      await Promise.all([pool.end(), systemPool.end(), orm.close()]);
    },
  };
}
