import { z } from 'zod';
import { factsOf } from '#src/ai/catalog.ts';
import { worstCaseNanoUsd } from '#src/ai/cost.ts';
import type { Embedder } from '#src/ai/embedder.ts';
import { textField } from '#src/ai/engines/fields.ts';
import { estimateTokens } from '#src/ai/tokens.ts';
import type { WorkspaceAi } from '#src/ai/workspace-ai.ts';
import { closest } from '#src/ai/closest.ts';
import { AppError } from '#src/errors.ts';
import type { ReadWorkspaceAi } from '#src/modules/ai/workspace-ai.ts';
import { unknownModel } from '#src/modules/ai/unknown-model.ts';
import { usageCall } from '#src/modules/ai/usage.ts';
import type { UsageCall } from '#src/modules/jobs/finish.query.ts';
import type { Attempt } from '#workers/run.ts';

/** What jobs of this kind are called; no engine of a client, since it comes in by its own door. */
export const EMBEDDINGS = 'embeddings';

export const EmbeddingsInput = z.strictObject({
  model: z.string().min(1).max(100),
  texts: z.array(textField(32_000)).min(1, 'must have at least one text').max(100, 'must have at most 100 texts'),
  dimensions: z.int().min(1).max(4096).optional(),
});
export type EmbeddingsInput = z.infer<typeof EmbeddingsInput>;

/** Vectors as little-endian 32-bit floats in base64: a fifth of their length in digits. */
export const EmbeddingsResult = z.object({ model: z.string(), vectors: z.array(z.base64()) });

/**
 * The most a job of embeddings can cost, in nano-USD.
 * @throws AppError 400 `unknown_model` naming what may have been meant; 422 `max_cost_too_low` above the workspace's limit, or
 * `no_provider_allowed`; 503 `no_provider_available`
 */
export function embeddingsHold(embedder: Embedder, { model, texts }: EmbeddingsInput, workspace: WorkspaceAi): number {
  const target = targetOf(embedder, model, workspace);
  const tokens = texts.reduce((sum, text) => sum + estimateTokens(text) + 2, 0);
  const hold = worstCaseNanoUsd(factsOf(target.provider, target.model), tokens, 0);
  const { maxCostUsd = Infinity } = workspace;
  if (hold <= maxCostUsd * 1e9) return hold;
  const message = `These texts may cost ${hold / 1e9} USD; the workspace allows ${maxCostUsd} for one request.`;
  throw new AppError(422, 'max_cost_too_low', message);
}

function targetOf(embedder: Embedder, model: string, workspace: WorkspaceAi) {
  const target = embedder.targetOf(model, workspace);
  if (target) return target;
  const here = embedder.targets(workspace).map((one) => one.model);
  if (here.length > 0) throw unknownModel(model, closest(model, here), 'model');
  const { allowedProviders: allowed } = workspace;
  if (allowed) {
    const detail = `None of the providers that the workspace allows (ai.allowedProviders: ${allowed.join(', ')}) has embeddings here.`;
    throw new AppError(422, 'no_provider_allowed', detail);
  }
  throw new AppError(503, 'no_provider_available', 'No provider that has embeddings is configured.');
}

/** Does one job of embeddings. */
export function createEmbeddingsAnswer(embedder: Embedder, readWorkspaceAi: ReadWorkspaceAi) {
  return async (attempt: Attempt): Promise<{ result: z.infer<typeof EmbeddingsResult> }> => {
    const { job, output, signal } = attempt;
    const workspace = await readWorkspaceAi(job.workspaceId);
    const { texts, dimensions, model } = EmbeddingsInput.parse(job.input);
    const target = targetOf(embedder, model, workspace);
    output.started(target.provider, target.model);
    const calls: UsageCall[] = [];
    const { vectors } = await embedder.embed(
      { target, texts, dimensions },
      {
        signal,
        workspace,
        attempted(record) {
          const call = usageCall(record, calls);
          calls.push(call);
          attempt.called(call);
        },
      },
    );
    const delivered = calls.at(-1);
    if (delivered) attempt.spent(spentOn(delivered));
    return { result: { model: target.model, vectors: vectors.map(inBase64) } };
  };
}

const inBase64 = (vector: number[]): string => Buffer.from(new Float32Array(vector).buffer).toString('base64');

const spentOn = (call: UsageCall) => ({
  provider: call.provider,
  model: call.model,
  inputTokens: call.input_tokens,
  outputTokens: call.output_tokens,
  cachedInputTokens: call.cached_input_tokens,
  costUsd: call.cost_nano / 1e9,
  estimated: call.is_estimated,
  degraded: false,
  fallbacks: [],
  timeToFirstTokenMs: null,
});
