import { budgetOf } from '#src/modules/ai/budget.ts';
import { engineNamed } from '#src/modules/ai/engine-named.ts';
import { factsOf } from '#src/ai/catalog.ts';
import { costNanoUsd } from '#src/ai/cost.ts';
import type { Usage } from '#src/ai/model.ts';
import type { Target } from '#src/ai/candidates.ts';
import type { Router } from '#src/ai/router.ts';
import type { StreamLimits } from '#src/ai/timers.ts';
import { AppError } from '#src/errors.ts';
import type { Metrics } from '#src/lib/metrics.ts';
import type { Attempt, Spent } from '#workers/run.ts';

/** Answers one attempt of an AI job: the engine asks, the router finds who answers, the text goes out meanwhile. */
export type Answer = (attempt: Attempt, limits: StreamLimits) => Promise<{ result: unknown }>;

function spentOn(
  { provider, model }: Target,
  usage: Usage,
  rest: Pick<Spent, 'fallbacks' | 'timeToFirstTokenMs' | 'degraded'>,
): Spent {
  return {
    provider,
    model,
    inputTokens: usage.inputTokens,
    outputTokens: usage.outputTokens,
    cachedInputTokens: usage.cachedInputTokens,
    costUsd: costNanoUsd(factsOf(provider, model), usage) / 1e9,
    estimated: usage.estimated,
    ...rest,
  };
}

export function createAnswer(router: Router, metrics: Metrics): Answer {
  return async (attempt, limits) => {
    const { job, output, signal } = attempt;
    const engine = engineNamed(job.engine);
    if (!engine) throw new AppError(500, 'unknown_engine', `This worker does not know the engine "${job.engine}".`);
    const input = engine.input.parse(job.input);
    const isShown = job.options.stream !== false;
    const { maxCostUsd } = job.options;
    const bounds =
      maxCostUsd === undefined ? {} : { maxOutputTokens: budgetOf(router, engine, input, job.options).maxOutputTokens };
    const startedAt = performance.now();
    let firstTextMs: number | null = null;
    const timeToFirstTokenMs = () => (firstTextMs === null ? null : Math.round(firstTextMs));
    const outcome = await router.run(
      engine,
      input,
      { ...job.options, ...bounds },
      {
        signal,
        timeouts: limits,
        finalAttempt: attempt.isFinal,
        on: {
          started: (target) => output.started(target.provider, target.model),
          text(delta) {
            firstTextMs ??= performance.now() - startedAt;
            // Postgres has no U+0000 in text.
            if (isShown) output.text(delta.replaceAll('\0', ''));
          },
          restarted: ({ reason }) => output.restarted(reason),
          attempted(record) {
            // A call that was cut off by a cancel is paid for as far as it came.
            if (record.failure !== 'cancelled' || !record.usage) return;
            const degraded = record.provider === 'local';
            attempt.spent(
              spentOn(record, record.usage, { fallbacks: [], timeToFirstTokenMs: timeToFirstTokenMs(), degraded }),
            );
          },
        },
      },
    );
    if (firstTextMs !== null) {
      metrics.firstTokenSeconds.observe({ queue: job.queue, provider: outcome.provider }, firstTextMs / 1000);
    }
    const { fallbacks, degraded } = outcome;
    attempt.spent(spentOn(outcome, outcome.usage, { fallbacks, timeToFirstTokenMs: timeToFirstTokenMs(), degraded }));
    return { result: outcome.result };
  };
}
