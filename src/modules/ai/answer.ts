import { budgetOf } from '#src/modules/ai/budget.ts';
import { engineNamed } from '#src/modules/ai/engine-named.ts';
import type { AttemptRecord } from '#src/ai/attempt.ts';
import type { Target } from '#src/ai/candidates.ts';
import type { Embedder } from '#src/ai/embedder.ts';
import type { Provider } from '#src/ai/model.ts';
import { withLivingModel } from '#src/modules/ai/chosen-model.ts';
import type { Router } from '#src/ai/router.ts';
import type { StreamLimits } from '#src/ai/timers.ts';
import { bindTo } from '#src/ai/workspace-ai.ts';
import type { AnswerCache } from '#src/modules/ai/answer-cache.ts';
import { fromKept, toKept } from '#src/modules/ai/kept-answer.ts';
import { createEmbeddingsAnswer, EMBEDDINGS } from '#src/modules/ai/embeddings.ts';
import { type ReadWorkspaceAi, withMaxCost } from '#src/modules/ai/workspace-ai.ts';
import { usageCall } from '#src/modules/ai/usage.ts';
import { AppError } from '#src/errors.ts';
import { timeLeftMs } from '#src/modules/jobs/job.row.ts';
import type { JobOptions } from '#src/modules/jobs/job.schemas.ts';
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

export interface AnswerResources {
  router: Router;
  embedder: Embedder;
  providers: readonly Provider[];
  metrics: Metrics;
  readWorkspaceAi: ReadWorkspaceAi;
  cache: AnswerCache;
}

export function createAnswer({
  router,
  embedder,
  providers,
  metrics,
  readWorkspaceAi,
  cache,
}: AnswerResources): Answer {
  const answerEmbeddings = createEmbeddingsAnswer(embedder, readWorkspaceAi);
  return async (attempt, limits) => {
    const { job, output, signal } = attempt;
    if (job.engine === EMBEDDINGS) return answerEmbeddings(attempt);
    const named = engineNamed(job.engine);
    if (!named) throw new AppError(500, 'unknown_engine', `This worker does not know the engine "${job.engine}".`);
    const workspace = await readWorkspaceAi(job.workspaceId);
    const { engine, input, promptVersion } = bindTo(named, named.input.parse(job.input), workspace);
    const options = {
      ...withMaxCost(withLivingModel(providers, job.options), workspace),
      ...(job.options.timeoutMs !== undefined && { timeoutMs: Math.max(1, timeLeftMs(job)) }),
    };
    const { maxCostUsd } = options;
    const spent = (usage: Spent): void => attempt.spent({ ...usage, promptVersion });
    const isShown = options.stream !== false;
    const bounds =
      maxCostUsd === undefined
        ? {}
        : { maxOutputTokens: budgetOf(router, engine, input, options, workspace).maxOutputTokens };
    const startedAt = performance.now();
    let firstTextMs: number | null = null;
    const timeToFirstTokenMs = () => (firstTextMs === null ? null : Math.round(firstTextMs));
    const { model: asked } = job.options;
    const calls: UsageCall[] = [];
    const book = (record: AttemptRecord): UsageCall => {
      const call = usageCall(record, calls);
      calls.push(call);
      attempt.called(call);
      return call;
    };
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
          isRetry: job.failures > 0,
          workspace,
          costLimits: {
            maxCostNanoUsd: maxCostUsd === undefined ? undefined : maxCostUsd * 1e9,
            heldNanoUsd: job.hold,
          },
          on: {
            started,
            text: show,
            restarted: ({ reason }) => output.restarted(reason),
            attempted(record) {
              const call = book(record);
              // A call that was cut off by a cancel is paid for as far as it came, one whose answer does not fit where its text was shown.
              if ((record.failure === 'cancelled' || record.failure === 'bad_output') && record.usage)
                spent(spentOn(call, asked, { fallbacks: [], timeToFirstTokenMs: timeToFirstTokenMs() }));
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
    const rest = { fallbacks: outcome.fallbacks, timeToFirstTokenMs: timeToFirstTokenMs() };
    const delivered = calls.at(-1);
    if (isCached) spent({ ...spentOnKept(outcome), timeToFirstTokenMs: rest.timeToFirstTokenMs });
    else if (delivered) spent(spentOn(delivered, asked, rest));
    return { result: outcome.result };
  };
}

/** What a job used whose answer was another's: nothing. */
function spentOnKept({ provider, model, degraded }: Target & { degraded: boolean }): Omit<Spent, 'timeToFirstTokenMs'> {
  const nothing = { inputTokens: 0, outputTokens: 0, cachedInputTokens: 0, costUsd: 0, estimated: false };
  return { provider, model, degraded, ...nothing, fallbacks: [], cached: true };
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
