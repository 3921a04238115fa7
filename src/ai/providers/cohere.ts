import type { ApiKey, Provider } from '#src/ai/model.ts';
import { runPlain, runStream, secretOf } from '#src/ai/providers/call.ts';
import { CohereAnswer, cohereCompletion } from '#src/ai/providers/cohere-answer.ts';
import { cohereBody } from '#src/ai/providers/cohere-request.ts';
import { embeddingsOf } from '#src/ai/providers/completion.ts';
import { embedInBatches } from '#src/ai/providers/embed-batches.ts';
import type { Upstream } from '#src/ai/providers/upstream.ts';

export interface CohereOptions {
  keys: readonly ApiKey[];
  /** Without the version: `https://api.cohere.com`. */
  baseUrl: string;
  models: readonly string[];
  fetch?: typeof fetch;
}

const EMBED_TEXTS_MAX = 96;

const loadSdk = () => import('cohere-ai');

/** Cohere by version 2 of its API. */
export function createCohere({ keys, baseUrl, models, fetch }: CohereOptions): Provider {
  const call = (signal: AbortSignal) => ({ provider: 'cohere' as const, signal, fetch });
  const clientOf = async (upstream: Upstream, key: ApiKey | undefined) => {
    const token = secretOf('cohere', keys, key);
    const { CohereClientV2 } = await loadSdk();
    // Our signal ends calls, through our fetch. The SDK leaves its timer running when a call fails, so it is to run out at once.
    return new CohereClientV2({ token, baseUrl, maxRetries: 0, timeoutInSeconds: 0, fetch: upstream.fetch });
  };
  return {
    name: 'cohere',
    models,
    needsKey: true,
    keys,
    supports: () => true,
    warm: async () => void (await loadSdk()),
    stream: (request, signal, key) =>
      runStream({ ...call(signal), mend: mendCohere }, new CohereAnswer(request), async (upstream) => {
        const client = await clientOf(upstream, key);
        return client.chatStream(cohereBody(request));
      }),
    complete: (request, signal, key) =>
      runPlain(call(signal), async (upstream) => {
        const client = await clientOf(upstream, key);
        return cohereCompletion(request, await client.chat(cohereBody(request)));
      }),
    embed: (request, signal, key) =>
      embedInBatches(request, EMBED_TEXTS_MAX, (batch) =>
        runPlain(call(signal), async (upstream) => {
          const client = await clientOf(upstream, key);
          const { model, texts, dimensions } = batch;
          const { embeddings, meta } = await client.embed({
            model,
            texts,
            inputType: 'search_document',
            embeddingTypes: ['float'],
            ...(dimensions ? { outputDimension: dimensions } : {}),
          });
          return embeddingsOf('cohere', batch, embeddings?.float ?? [], meta?.billedUnits?.inputTokens);
        }),
      ),
  };
}

/** The SDK ends a stream at any line that has `[DONE]` in it, also in what the model writes: there the bracket is sent as its escape. */
const mendCohere = (text: string) =>
  text.replace(/^data: ?\{.*$/gm, (line) => line.replaceAll('[DONE]', String.raw`\u005bDONE]`));
