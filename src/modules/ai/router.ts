import { isUsable } from '#src/ai/candidates.ts';
import type { Provider } from '#src/ai/model.ts';
import { createProvider } from '#src/ai/providers/index.ts';
import { createRouter, type Router } from '#src/ai/router.ts';
import { withTimers } from '#src/ai/timers.ts';
import type { Config } from '#src/config.ts';
import type { Log } from '#src/lib/log.ts';

/** The router over the providers this installation has configured. `warm` loads their SDKs, so that no job waits for that. */
export function openRouter(
  config: Config,
  log: Log,
): { router: Router; providers: Provider[]; warm: () => Promise<void> } {
  const providers = Object.values(createProvider)
    .map((create) => create(config))
    .filter((provider): provider is Provider => provider !== undefined);
  return {
    router: createRouter({ providers, withTimers, log }),
    providers,
    warm: async () => {
      await Promise.all(providers.filter(isUsable).flatMap((provider) => provider.warm?.() ?? []));
    },
  };
}
