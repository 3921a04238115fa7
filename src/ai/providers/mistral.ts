import type { ApiKey, Provider } from '#src/ai/model.ts';
import { runPlain, runStream, secretOf } from '#src/ai/providers/call.ts';
import { mendMistral, mistralBody, mistralChunk, mistralWhole } from '#src/ai/providers/mistral-chat.ts';
import { OpenaiAnswer, openaiCompletion, openaiEmbeddings } from '#src/ai/providers/openai-answer.ts';
import type { Upstream } from '#src/ai/providers/upstream.ts';

export interface MistralOptions {
  keys: readonly ApiKey[];
  /** Host only: `https://api.mistral.ai`; the SDK adds `/v1`. */
  baseUrl: string;
  models: readonly string[];
  fetch?: typeof fetch;
}

// The whole SDK takes 700 ms to load; its functions alone, 400.
const loadSdk = async () => {
  const [core, http, stream, complete, embeddings] = await Promise.all([
    import('@mistralai/mistralai/core'),
    import('@mistralai/mistralai/lib/http'),
    import('@mistralai/mistralai/funcs/chatStream'),
    import('@mistralai/mistralai/funcs/chatComplete'),
    import('@mistralai/mistralai/funcs/embeddingsCreate'),
  ]);
  return { ...core, ...http, ...stream, ...complete, ...embeddings };
};

const QUIET = { group() {}, groupEnd() {}, log() {} };

type Result<Value> = { ok: true; value: Value } | { ok: false; error: unknown };

/** The SDK gives errors back; ours are thrown. */
function valueOf<Value>(result: Result<Value>): Value {
  if (result.ok) return result.value;
  throw result.error;
}

/** Mistral by its SDK's functions. */
export function createMistral({ keys, baseUrl, models, fetch }: MistralOptions): Provider {
  const call = (signal: AbortSignal) => ({ provider: 'mistral' as const, signal, fetch, mend: mendMistral });
  const open = async (upstream: Upstream, key: ApiKey | undefined) => {
    const apiKey = secretOf('mistral', keys, key);
    const sdk = await loadSdk();
    const client = new sdk.MistralCore({
      apiKey,
      serverURL: baseUrl,
      retryConfig: { strategy: 'none' },
      // Said here, because with MISTRAL_DEBUG in the environment the SDK else prints whole requests, the key in them.
      debugLogger: QUIET,
      httpClient: new sdk.HTTPClient({ fetcher: (input, init) => upstream.fetch(input, init) }),
    });
    return { sdk, client, options: { signal: upstream.signal } };
  };
  return {
    name: 'mistral',
    models,
    needsKey: true,
    keys,
    supports: () => true,
    warm: async () => void (await loadSdk()),
    stream: (request, signal, key) =>
      runStream(call(signal), new OpenaiAnswer('mistral', request), async (upstream) => {
        const { sdk, client, options } = await open(upstream, key);
        return mistralChunks(valueOf(await sdk.chatStream(client, mistralBody(request), options)));
      }),
    complete: (request, signal, key) =>
      runPlain(call(signal), async (upstream) => {
        const { sdk, client, options } = await open(upstream, key);
        const answer = valueOf(await sdk.chatComplete(client, mistralBody(request), options));
        return openaiCompletion('mistral', request, mistralWhole(answer));
      }),
    embed: (request, signal, key) =>
      runPlain(call(signal), async (upstream) => {
        const { sdk, client, options } = await open(upstream, key);
        const { model, texts, dimensions } = request;
        const body = { model, inputs: texts, ...(dimensions && { outputDimension: dimensions }) };
        const { data, usage } = valueOf(await sdk.embeddingsCreate(client, body, options));
        return openaiEmbeddings('mistral', request, { data, usage: { prompt_tokens: usage.promptTokens || null } });
      }),
  };
}

async function* mistralChunks(events: AsyncIterable<{ data: Parameters<typeof mistralChunk>[0] }>) {
  for await (const { data } of events) yield mistralChunk(data);
}
