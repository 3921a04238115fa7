import type { OpenAI } from 'openai';
import type { ApiKey, Provider } from '#src/ai/model.ts';
import { runPlain, runStream, secretOf } from '#src/ai/providers/call.ts';
import { OpenaiAnswer, openaiCompletion, openaiEmbeddings } from '#src/ai/providers/openai-answer.ts';
import { embeddingBody, openaiBody } from '#src/ai/providers/openai-request.ts';
import type { Upstream } from '#src/ai/providers/upstream.ts';

export interface OpenaiOptions {
  keys: readonly ApiKey[];
  /** With the version: `https://api.openai.com/v1`. */
  baseUrl: string;
  models: readonly string[];
  fetch?: typeof fetch;
}

// The SDK takes 120 ms to load, so only processes that call OpenAI do.
export const loadOpenai = () => import('openai');

/** A client of OpenAI's SDK for one call, to OpenAI or to a server that speaks its protocol. */
export async function openaiClient(baseURL: string, apiKey: string, { fetch }: Upstream): Promise<OpenAI> {
  const { OpenAI } = await loadOpenai();
  // All that the SDK would else take from the environment is said here. Retries are the router's alone.
  return new OpenAI({
    apiKey,
    baseURL,
    organization: null,
    project: null,
    adminAPIKey: null,
    webhookSecret: null,
    maxRetries: 0,
    logLevel: 'off',
    fetch,
  });
}

/** OpenAI by chat completions, or any server that speaks them. */
export function createOpenai({ keys, baseUrl, models, fetch }: OpenaiOptions): Provider {
  const call = (signal: AbortSignal) => ({ provider: 'openai' as const, signal, fetch });
  const clientOf = (upstream: Upstream, key: ApiKey | undefined) =>
    openaiClient(baseUrl, secretOf('openai', keys, key), upstream);
  return {
    name: 'openai',
    models,
    needsKey: true,
    keys,
    supports: () => true,
    warm: async () => void (await loadOpenai()),
    stream: (request, signal, key) =>
      runStream(call(signal), new OpenaiAnswer('openai', request), async (upstream) => {
        const client = await clientOf(upstream, key);
        const body = { ...openaiBody(request), stream: true as const, stream_options: { include_usage: true } };
        return client.chat.completions.create(body, { signal: upstream.signal });
      }),
    complete: (request, signal, key) =>
      runPlain(call(signal), async (upstream) => {
        const client = await clientOf(upstream, key);
        const answer = await client.chat.completions.create(openaiBody(request), { signal: upstream.signal });
        return openaiCompletion('openai', request, answer);
      }),
    embed: (request, signal, key) =>
      runPlain(call(signal), async (upstream) => {
        const client = await clientOf(upstream, key);
        const answer = await client.embeddings.create(embeddingBody(request), { signal: upstream.signal });
        return openaiEmbeddings('openai', request, answer);
      }),
  };
}
