import type { ApiKey, ChatRequest, Chunk, Progress, Provider } from '#src/ai/model.ts';
import { failed, failedAs } from '#src/ai/providers/failure.ts';
import { OpenaiAnswer } from '#src/ai/providers/openai-answer.ts';
import { openaiBody } from '#src/ai/providers/openai-request.ts';
import { gather } from '#src/ai/providers/gather.ts';
import { openUpstream } from '#src/ai/providers/upstream.ts';

export interface OpenaiOptions {
  keys: readonly ApiKey[];
  /** With the version: `https://api.openai.com/v1`. */
  baseUrl: string;
  models: readonly string[];
  fetch?: typeof fetch;
}

// The SDK takes 120 ms to load, so only processes that call OpenAI do.
const loadSdk = () => import('openai');

/** OpenAI by chat completions, or any server that speaks them. */
export function createOpenai(options: OpenaiOptions): Provider {
  return {
    name: 'openai',
    models: options.models,
    needsKey: true,
    keys: options.keys,
    supports: () => true,
    warm: async () => void (await loadSdk()),
    stream: (request, signal, key) => stream(options, request, signal, key),
    complete: (request, signal, key) => gather('openai', stream(options, request, signal, key)),
  };
}

async function* stream(
  { keys, baseUrl, fetch }: OpenaiOptions,
  request: ChatRequest,
  signal: AbortSignal,
  key: ApiKey | undefined = keys[0],
): AsyncGenerator<Chunk | Progress, void, undefined> {
  signal.throwIfAborted();
  if (!key) throw failedAs('openai', 'auth', { note: 'no key' });
  const answer = new OpenaiAnswer(request);
  const upstream = openUpstream(signal, { fetch });
  let whole = false;
  try {
    const { OpenAI } = await loadSdk();
    // All that the SDK would else take from the environment is said here. Retries are the router's alone.
    const client = new OpenAI({
      apiKey: key.secret,
      baseURL: baseUrl,
      organization: null,
      project: null,
      adminAPIKey: null,
      webhookSecret: null,
      maxRetries: 0,
      logLevel: 'off',
      fetch: upstream.fetch,
    });
    const chunks = await client.chat.completions.create(openaiBody(request), { signal: upstream.signal });
    for await (const chunk of chunks) {
      const content = answer.push(chunk);
      if (content) yield content;
    }
    // The SDK ends the loop quietly when its signal aborts.
    signal.throwIfAborted();
    whole = answer.ended;
    yield* answer.end();
  } catch (error) {
    signal.throwIfAborted();
    throw failed('openai', error);
  } finally {
    upstream.close(whole);
  }
}
