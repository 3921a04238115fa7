import type { Redis } from 'ioredis';
import type { Pool } from 'pg';
import type { Config } from '#src/config.ts';
import type { Log } from '#src/lib/log.ts';
import type { Metrics } from '#src/lib/metrics.ts';
import { createAnswer, type Answer } from '#src/modules/ai/answer.ts';
import { createAnswerCache } from '#src/modules/ai/answer-cache.ts';
import { watchModels } from '#src/modules/ai/models.ts';
import { openRouter } from '#src/modules/ai/router.ts';
import { createWorkspaceAi } from '#src/modules/ai/workspace-ai.ts';
import type { Vault } from '#src/modules/vault/vault.ts';

interface AnswerNeeds {
  config: Config;
  log: Log;
  metrics: Metrics;
  pool: Pool;
  vault: Vault;
  /** Answers at once or fails. */
  redis: Redis;
}

/** Opens what answers AI jobs, its providers' SDKs loaded. The engines behind it are half of what a process can load: import this only where AI jobs are done. */
export async function openAnswer({ config, log, metrics, pool, vault, redis }: AnswerNeeds): Promise<{
  answer: Answer;
  models: ReturnType<typeof watchModels>;
}> {
  const models = watchModels(pool, config.MODEL_CATALOG_FILE, log);
  const { router, embedder, providers, warm } = openRouter(config, log, redis, metrics);
  await warm();
  const { APP_SECRET: appSecret, AI_CACHE_TTL_SECONDS: ttlSeconds, REDIS_PREFIX: prefix } = config;
  const cache = createAnswerCache({ redis, prefix, appSecret, ttlMs: ttlSeconds * 1000 });
  const readWorkspaceAi = createWorkspaceAi(pool, vault);
  return { answer: createAnswer({ router, embedder, providers, metrics, readWorkspaceAi, cache }), models };
}
