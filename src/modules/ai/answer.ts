import { budgetOf } from '#src/modules/ai/budget.ts';
import { engineNamed } from '#src/modules/ai/engine-named.ts';
import type { AttemptRecord } from '#src/ai/attempt.ts';
import type { Provider } from '#src/ai/model.ts';
import { withLivingModel } from '#src/modules/ai/chosen-model.ts';
import type { Router } from '#src/ai/router.ts';
import type { StreamLimits } from '#src/ai/timers.ts';
import { usageCall } from '#src/modules/ai/usage.ts';
import { AppError } from '#src/errors.ts';
import type { Metrics } from '#src/lib/metrics.ts';
import type { UsageCall } from '#src/modules/jobs/finish.query.ts';
import type { Attempt, Spent } from '#workers/run.ts';

/** Answers one attempt of an AI job: the engine asks, the router finds who answers, the text goes out meanwhile. */
export type Answer = (attempt: Attempt, limits: StreamLimits) => Promise<{ result: unknown }>;

/** What the client sees of the call that brought the answer, or its part of one. */
function spentOn(
  call: UsageCall,
  asked: string | undefined,
  rest: Pick<Spent, 'fallbacks' | 'timeToFirstTokenMs'>,
): Spent {
  return {
    provider: call.provider,
    model: call.model,
    ...(asked !== undefined && asked !== call.model && { requestedModel: asked }),
    inputTokens: call.input_tokens,
    outputTokens: call.output_tokens,
    cachedInputTokens: call.cached_input_tokens,
    costUsd: call.cost_nano / 1e9,
    estimated: call.is_estimated,
    degraded: call.provider === 'local',
    ...rest,
  };
}

export function createAnswer(router: Router, providers: readonly Provider[], metrics: Metrics): Answer {
  return async (attempt, limits) => {
    const { job, output, signal } = attempt;
    const engine = engineNamed(job.engine);
    if (!engine) throw new AppError(500, 'unknown_engine', `This worker does not know the engine "${job.engine}".`);
    const input = engine.input.parse(job.input);
    const isShown = job.options.stream !== false;
    const options = withLivingModel(providers, job.options);
    const { maxCostUsd } = options;
    const bounds =
      maxCostUsd === undefined ? {} : { maxOutputTokens: budgetOf(router, engine, input, options).maxOutputTokens };
    const startedAt = performance.now();
    let firstTextMs: number | null = null;
    const timeToFirstTokenMs = () => (firstTextMs === null ? null : Math.round(firstTextMs));
    const { model: asked } = job.options;
    const calls: UsageCall[] = [];
    const book = (record: AttemptRecord): UsageCall => {
      const call = usageCall(record, record.strategy, calls);
      calls.push(call);
      attempt.called(call);
      return call;
    };
    const outcome = await router.run(
      engine,
      input,
      { ...options, ...bounds },
      {
        signal,
        timeouts: limits,
        finalAttempt: attempt.isFinal,
        costLimits: {
          maxCostNanoUsd: maxCostUsd === undefined ? undefined : maxCostUsd * 1e9,
          heldNanoUsd: job.hold,
        },
        on: {
          started: (target) => output.started(target.provider, target.model),
          text(delta) {
            firstTextMs ??= performance.now() - startedAt;
            // Postgres has no U+0000 in text.
            if (isShown) output.text(delta.replaceAll('\0', ''));
          },
          restarted: ({ reason }) => output.restarted(reason),
          attempted(record) {
            const call = book(record);
            // A call that was cut off by a cancel is paid for as far as it came.
            if (record.failure === 'cancelled' && record.usage)
              attempt.spent(spentOn(call, asked, { fallbacks: [], timeToFirstTokenMs: timeToFirstTokenMs() }));
          },
        },
      },
    );
    if (firstTextMs !== null) {
      metrics.firstTokenSeconds.observe({ queue: job.queue, provider: outcome.provider }, firstTextMs / 1000);
    }
    const delivered = calls.at(-1);
    if (delivered)
      attempt.spent(
        spentOn(delivered, asked, { fallbacks: outcome.fallbacks, timeToFirstTokenMs: timeToFirstTokenMs() }),
      );
    return { result: outcome.result };
  };
}
