import type { ApiKey, Provider } from '#src/ai/model.ts';
import { AnthropicAnswer, anthropicCompletion } from '#src/ai/providers/anthropic-answer.ts';
import { anthropicBody } from '#src/ai/providers/anthropic-request.ts';
import { runPlain, runStream, secretOf } from '#src/ai/providers/call.ts';
import type { Upstream } from '#src/ai/providers/upstream.ts';

export interface AnthropicOptions {
  keys: readonly ApiKey[];
  /** Without a path of its own: `https://api.anthropic.com`. */
  baseUrl: string;
  models: readonly string[];
  fetch?: typeof fetch;
}

/** The version of the API that the SDK's types describe. */
const VERSION = '2026-10-21';
/** Our signal ends calls. Without a time of its own the SDK refuses plain calls that may become long. */
const TIMEOUT_MS = 86_400_000;

const loadSdk = () => import('@anthropic-ai/sdk');

/** Anthropic by its messages API; it has no embeddings. */
export function createAnthropic({ keys, baseUrl, models, fetch }: AnthropicOptions): Provider {
  const call = (signal: AbortSignal) => ({ provider: 'anthropic' as const, signal, fetch });
  const messagesOf = async (upstream: Upstream, key: ApiKey | undefined) => {
    const secret = secretOf('anthropic', keys, key);
    const { Anthropic } = await loadSdk();
    return new Anthropic({
      apiKey: secret,
      baseURL: baseUrl,
      webhookKey: null,
      maxRetries: 0,
      timeout: TIMEOUT_MS,
      logLevel: 'off',
      openTelemetry: false,
      fetch: (input, init) => upstream.fetch(input, { ...init, headers: headersOf(secret) }),
    }).messages;
  };
  return {
    name: 'anthropic',
    models,
    needsKey: true,
    keys,
    supports: () => true,
    warm: async () => void (await loadSdk()),
    stream: (request, signal, key) =>
      runStream(call(signal), new AnthropicAnswer(request), async (upstream) => {
        const messages = await messagesOf(upstream, key);
        return messages.create({ ...anthropicBody(request), stream: true }, { signal: upstream.signal });
      }),
    complete: (request, signal, key) =>
      runPlain(call(signal), async (upstream) => {
        const messages = await messagesOf(upstream, key);
        return anthropicCompletion(request, await messages.create(anthropicBody(request), { signal: upstream.signal }));
      }),
  };
}

/** In place of the SDK's, into which ANTHROPIC_CUSTOM_HEADERS of the environment writes, and nothing can be said against it. */
const headersOf = (secret: string) => ({
  accept: 'application/json',
  'content-type': 'application/json',
  authorization: `Bearer ${secret}`,
  'anthropic-version': VERSION,
});
