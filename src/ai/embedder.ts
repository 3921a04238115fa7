import { Access, type Entry } from '#src/ai/access.ts';
import type { AttemptRecord } from '#src/ai/attempt.ts';
import { keysFor, type Target } from '#src/ai/candidates.ts';
import { isHidden, listModels, livingName } from '#src/ai/catalog.ts';
import type { Health } from '#src/ai/health.ts';
import { type EmbeddingRequest, type Embeddings, type Provider, ProviderError } from '#src/ai/model.ts';
import { DEFAULT_PRIVACY, isMaskedFor, personalData, refuseBlocked } from '#src/ai/pii/policy.ts';
import { failed, failedAs } from '#src/ai/providers/failure.ts';
import { RULES } from '#src/ai/retry.ts';
import type { WorkspaceAi } from '#src/ai/workspace-ai.ts';

const MAX_CALLS = 4;

export interface EmbedOrder {
  target: Target;
  texts: readonly string[];
  dimensions?: number | undefined;
}

export interface EmbedControls {
  signal: AbortSignal;
  workspace?: WorkspaceAi | undefined;
  /** A provider call ended, also one that failed. */
  attempted?: (attempt: AttemptRecord) => void;
}

/** Texts become vectors. A vector means something only beside others of its model, so there is one target and no fallback. */
export interface Embedder {
  /** The models a workspace can have its texts embedded by. */
  targets(workspace?: WorkspaceAi): Target[];
  /** The target a model's name means; undefined where there is none here. */
  targetOf(model: string, workspace?: WorkspaceAi): Target | undefined;
  /**
   * Embeds, with another key where one fails. What the workspace masks is replaced by its kind, so that equal texts stay equal.
   * @throws ProviderError; AppError 422 `pii_blocked`; the signal's reason
   */
  embed(order: EmbedOrder, controls: EmbedControls): Promise<Embeddings>;
}

/** The texts as they may leave the machine. @throws AppError 422 `pii_blocked` */
function leavingTexts({ target, texts }: EmbedOrder, workspace: WorkspaceAi | undefined): string[] {
  const privacy = workspace?.privacy ?? DEFAULT_PRIVACY;
  const found = texts.map((text) => personalData(text, privacy));
  refuseBlocked(found.flat(), privacy);
  if (!isMaskedFor(target.provider, privacy)) return [...texts];
  return texts.map((text, at) => {
    const spans = found[at] ?? [];
    return spans
      .toReversed()
      .reduce(
        (left, { type, start, end }) => `${left.slice(0, start)}[[${type.toUpperCase()}]]${left.slice(end)}`,
        text,
      );
  });
}

/** Opens the embedder over the configured providers; keys that `health` knows to be parked are left out. */
export function createEmbedder({
  providers,
  health,
  random = Math.random,
}: {
  providers: readonly Provider[];
  health: Health;
  random?: () => number;
}): Embedder {
  const able = providers.filter((provider) => 'embed' in provider);
  const targets = (workspace?: WorkspaceAi): Target[] =>
    able
      .filter((one) => !one.needsKey || keysFor(one, workspace).length > 0)
      .filter(({ name }) => workspace?.allowedProviders?.includes(name) ?? true)
      .flatMap(({ name }) =>
        listModels()
          .filter(({ kind, provider, model }) => kind === 'embedding' && provider === name && !isHidden(name, model))
          .map(({ model }) => ({ provider: name, model })),
      );
  return {
    targets,
    targetOf: (model, workspace) =>
      targets(workspace).find((one) => one.model === livingName(one.provider, model) || one.model === model),
    async embed(order, controls) {
      const provider = able.find(({ name }) => name === order.target.provider);
      if (!provider) throw failedAs(order.target.provider, 'model_gone', { note: 'no embeddings' });
      const access = new Access(health, controls.workspace);
      const { model } = order.target;
      await health.refresh([`${provider.name}/${model}`, provider.name], access.scopes(provider));
      const { dimensions } = order;
      const texts = leavingTexts(order, controls.workspace);
      const request = { model, texts, ...(dimensions !== undefined && { dimensions }) };
      const used = new Set<Entry>();
      for (;;) {
        const entry = access.draw(provider, model, used, random);
        if (!entry) throw parkedError(order.target, access.allParked(provider, model)?.until, health.now());
        used.add(entry);
        try {
          return await embedOnce(provider, request, entry, controls);
        } catch (error) {
          const mayAnotherKey =
            error instanceof ProviderError && RULES[error.failure].otherKey && used.size < MAX_CALLS;
          if (!mayAnotherKey || used.size >= access.entries(provider).length) throw error;
        }
      }
    },
  };
}

/** One call, told of however it ends. @throws ProviderError, the signal's reason */
async function embedOnce(
  provider: Provider,
  request: EmbeddingRequest,
  { key }: Entry,
  { signal, attempted }: EmbedControls,
): Promise<Embeddings> {
  const startedAt = Date.now();
  const book = (rest: Pick<AttemptRecord, 'failure' | 'usage'>) =>
    attempted?.({
      provider: provider.name,
      model: request.model,
      startedAt,
      latencyMs: Date.now() - startedAt,
      timeToFirstTokenMs: null,
      keyOwner: key?.owner ?? 'installation',
      strategy: 'failover',
      ...(key && { keyId: key.id }),
      ...rest,
    });
  try {
    if (!provider.embed) throw failedAs(provider.name, 'model_gone');
    const embeddings = await provider.embed(request, signal, key);
    book({ usage: embeddings.usage });
    return embeddings;
  } catch (error) {
    if (signal.aborted) {
      book({ failure: 'cancelled' });
      throw signal.reason;
    }
    const classified = failed(provider.name, error);
    book({ failure: classified.failure });
    throw classified;
  }
}

function parkedError({ provider, model }: Target, until: number | undefined, now: number): ProviderError {
  const wait = until === undefined ? {} : { retryAfterMs: Math.max(1, Math.ceil(until - now)) };
  return new ProviderError(provider, 'rate_limited', `${provider}/${model}: no key can be used now.`, wait);
}
