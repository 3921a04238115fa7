import { budgetOf } from '#src/modules/ai/budget.ts';
import { engineNamed } from '#src/modules/ai/engine-named.ts';
import { factsOf } from '#src/ai/catalog.ts';
import { costNanoUsd } from '#src/ai/cost.ts';
import type { Usage } from '#src/ai/model.ts';
import type { Target } from '#src/ai/candidates.ts';
import type { Router } from '#src/ai/router.ts';
import type { StreamLimits } from '#src/ai/timers.ts';
import { bindTo } from '#src/ai/workspace-ai.ts';
import type { AnswerCache } from '#src/modules/ai/answer-cache.ts';
import { fromKept, toKept } from '#src/modules/ai/kept-answer.ts';
import { type ReadWorkspaceAi, withMaxCost } from '#src/modules/ai/workspace-ai.ts';
import { AppError } from '#src/errors.ts';
import type { JobOptions } from '#src/modules/jobs/job.schemas.ts';
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

export interface AnswerResources {
  router: Router;
  metrics: Metrics;
  readWorkspaceAi: ReadWorkspaceAi;
  cache: AnswerCache;
}

export function createAnswer({ router, metrics, readWorkspaceAi, cache }: AnswerResources): Answer {
  return async (attempt, limits) => {
    const { job, output, signal } = attempt;
    const named = engineNamed(job.engine);
    if (!named) throw new AppError(500, 'unknown_engine', `This worker does not know the engine "${job.engine}".`);
    const workspace = await readWorkspaceAi(job.workspaceId);
    const { engine, input, promptVersion } = bindTo(named, named.input.parse(job.input), workspace);
    const options = withMaxCost(job.options, workspace);
    const spent = (usage: Spent): void => attempt.spent({ ...usage, promptVersion });
    const isShown = options.stream !== false;
    const bounds =
      options.maxCostUsd === undefined
        ? {}
        : { maxOutputTokens: budgetOf(router, engine, input, options, workspace).maxOutputTokens };
    const startedAt = performance.now();
    let firstTextMs: number | null = null;
    const timeToFirstTokenMs = () => (firstTextMs === null ? null : Math.round(firstTextMs));
    const started = (target: Target) => output.started(target.provider, target.model);
    const show = (delta: string): void => {
      firstTextMs ??= performance.now() - startedAt;
      // Postgres has no U+0000 in text.
      if (isShown) output.text(delta.replaceAll('\0', ''));
    };
    const run = () =>
      router.run(
        engine,
        input,
        { ...options, ...bounds },
        {
          signal,
          timeouts: limits,
          finalAttempt: attempt.isFinal,
          workspace,
          on: {
            started,
            text: show,
            restarted: ({ reason }) => output.restarted(reason),
            attempted(record) {
              // A call that was cut off by a cancel is paid for as far as it came.
              if (record.failure !== 'cancelled' || !record.usage) return;
              const degraded = record.provider === 'local';
              spent(
                spentOn(record, record.usage, { fallbacks: [], timeToFirstTokenMs: timeToFirstTokenMs(), degraded }),
              );
            },
          },
        },
      );
    const { outcome, isCached } =
      engine.deterministic && options.cache !== false
        ? await cache.through({
            of: sameAnswer(job.workspaceId, engine.name, promptVersion, input, { ...options, ...bounds }),
            signal,
            run,
            toKept,
            fromKept: (value) => fromKept(engine, value),
          })
        : { outcome: await run(), isCached: false };
    if (isCached) {
      started(outcome);
      if (outcome.text !== '') show(outcome.text);
    }
    if (firstTextMs !== null) {
      metrics.firstTokenSeconds.observe({ queue: job.queue, provider: outcome.provider }, firstTextMs / 1000);
    }
    const { fallbacks, degraded } = outcome;
    const rest = { fallbacks, timeToFirstTokenMs: timeToFirstTokenMs(), degraded };
    spent({ ...spentOn(outcome, outcome.usage, rest), ...(isCached && { cached: true }) });
    return { result: outcome.result };
  };
}

/** All that makes two jobs' answers the same; how urgent they are, and how they are shown, does not. */
function sameAnswer(
  workspaceId: string,
  engine: string,
  promptVersion: string | null,
  input: unknown,
  { provider, model, strategy, maxCostUsd, maxOutputTokens }: JobOptions & { maxOutputTokens?: number },
) {
  return { workspaceId, engine, promptVersion, input, provider, model, strategy, maxCostUsd, maxOutputTokens };
}
