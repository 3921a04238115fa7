import type { ApiKey, ChatRequest, Provider } from '#src/ai/model.ts';
import { factsOf } from '#src/ai/catalog.ts';
import { runPlain, runStream, secretOf } from '#src/ai/providers/call.ts';
import { loadOpenai, openaiClient } from '#src/ai/providers/openai.ts';
import { OpenaiAnswer, openaiCompletion, openaiEmbeddings } from '#src/ai/providers/openai-answer.ts';
import {
  embeddingBody,
  openaiBounds,
  openaiFormat,
  openaiMessage,
  openaiTools,
} from '#src/ai/providers/openai-request.ts';
import type { Upstream } from '#src/ai/providers/upstream.ts';

export interface TogetherOptions {
  keys: readonly ApiKey[];
  /** With the version: `https://api.together.ai/v1`. */
  baseUrl: string;
  models: readonly string[];
  fetch?: typeof fetch;
}

/** Our turn as the body of a Together chat completion: OpenAI's, with the older name of the bound. */
export function togetherBody(request: ChatRequest) {
  const facts = factsOf('together', request.model);
  return {
    model: request.model,
    max_tokens: request.maxOutputTokens,
    ...(request.temperature !== undefined && facts.supportsTemperature ? { temperature: request.temperature } : {}),
    ...openaiTools(request),
    ...openaiBounds(request),
    ...openaiFormat(request, request.messages.map(openaiMessage), { schema: facts.supportsJsonSchema, strict: true }),
  };
}

/** Together, through OpenAI's SDK, whose protocol it speaks. */
export function createTogether({ keys, baseUrl, models, fetch }: TogetherOptions): Provider {
  const call = (signal: AbortSignal) => ({ provider: 'together' as const, signal, fetch });
  const clientOf = (upstream: Upstream, key: ApiKey | undefined) =>
    openaiClient(baseUrl, secretOf('together', keys, key), upstream);
  return {
    name: 'together',
    models,
    needsKey: true,
    keys,
    supports: () => true,
    warm: async () => void (await loadOpenai()),
    stream: (request, signal, key) =>
      runStream(call(signal), new OpenaiAnswer('together', request), async (upstream) => {
        const client = await clientOf(upstream, key);
        const body = { ...togetherBody(request), stream: true as const };
        return client.chat.completions.create(body, { signal: upstream.signal });
      }),
    complete: (request, signal, key) =>
      runPlain(call(signal), async (upstream) => {
        const client = await clientOf(upstream, key);
        const answer = await client.chat.completions.create(togetherBody(request), { signal: upstream.signal });
        return openaiCompletion('together', request, answer);
      }),
    embed: (request, signal, key) =>
      runPlain(call(signal), async (upstream) => {
        const client = await clientOf(upstream, key);
        const answer = await client.embeddings.create(embeddingBody(request), { signal: upstream.signal });
        return openaiEmbeddings('together', request, answer);
      }),
  };
}
