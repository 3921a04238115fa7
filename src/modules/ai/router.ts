import type { Redis } from 'ioredis';
import { readApiKeys } from '#src/ai/api-keys.ts';
import { isUsable } from '#src/ai/candidates.ts';
import type { Phase } from '#src/ai/circuit-breaker.ts';
import { createEmbedder, type Embedder } from '#src/ai/embedder.ts';
import { Estimates } from '#src/ai/estimates.ts';
import { RedisHealth } from '#src/ai/health-redis.ts';
import type { Provider } from '#src/ai/model.ts';
import { createProvider } from '#src/ai/providers/index.ts';
import { createModerate } from '#src/ai/safety/moderation.ts';
import { createRouter, type Router, type RouterObserver } from '#src/ai/router.ts';
import { withTimers } from '#src/ai/timers.ts';
import type { Config } from '#src/config.ts';
import type { Log } from '#src/lib/log.ts';
import type { Metrics } from '#src/lib/metrics.ts';

const clock = () => performance.timeOrigin + performance.now();

const OPENNESS: Record<Phase, number> = { closed: 0, ramping: 1, half_open: 2, open: 3 };

function observe(metrics: Metrics): RouterObserver {
  return {
    decided: (ms) => metrics.routerDecisionSeconds.observe(ms / 1000),
    breaker: ({ provider, model }, phase) => metrics.breakerState.set({ provider, model }, OPENNESS[phase]),
    failedOver: (failure) => metrics.failovers.inc({ class: failure }),
  };
}

/** The router over the providers this installation has configured; `redis` answers at once or fails. `warm` loads their SDKs, so that no job waits for that. */
export function openRouter(
  config: Config,
  log: Log,
  redis: Redis,
  metrics: Metrics,
): { router: Router; embedder: Embedder; providers: Provider[]; warm: () => Promise<void> } {
  const providers = Object.values(createProvider)
    .map((create) => create(config))
    .filter((provider): provider is Provider => provider !== undefined);
  const estimates = new Estimates();
  const health = new RedisHealth({ redis, prefix: config.REDIS_PREFIX, estimates, clock });
  return {
    router: createRouter({
      providers,
      withTimers,
      moderate: createModerate({
        baseUrl: config.OPENAI_BASE_URL,
        keys: readApiKeys(config.OPENAI_API_KEY, 'installation'),
      }),
      log,
      strategy: config.AI_STRATEGY,
      health,
      estimates,
      clock,
      observer: observe(metrics),
    }),
    embedder: createEmbedder({ providers, health }),
    providers,
    warm: async () => {
      await Promise.all(providers.filter(isUsable).flatMap((provider) => provider.warm?.() ?? []));
    },
  };
}
