import type { Groq } from 'groq-sdk';
import type { ApiKey, Provider } from '#src/ai/model.ts';
import { runPlain, runStream, secretOf } from '#src/ai/providers/call.ts';
import { groqBody, groqChunks } from '#src/ai/providers/groq-chat.ts';
import { OpenaiAnswer, openaiCompletion } from '#src/ai/providers/openai-answer.ts';
import type { Upstream } from '#src/ai/providers/upstream.ts';

export interface GroqOptions {
  keys: readonly ApiKey[];
  /** Host only: `https://api.groq.com`; the SDK adds `/openai/v1`. */
  baseUrl: string;
  models: readonly string[];
  fetch?: typeof fetch;
}

const loadSdk = () => import('groq-sdk');

async function clientOf(baseURL: string, apiKey: string, { fetch }: Upstream): Promise<Groq> {
  const { Groq } = await loadSdk();
  return new Groq({ apiKey, baseURL, maxRetries: 0, logLevel: 'off', fetch });
}

/** Groq by chat completions; it has no embeddings. */
export function createGroq({ keys, baseUrl, models, fetch }: GroqOptions): Provider {
  const call = (signal: AbortSignal) => ({ provider: 'groq' as const, signal, fetch });
  return {
    name: 'groq',
    models,
    needsKey: true,
    keys,
    supports: () => true,
    warm: async () => void (await loadSdk()),
    stream: (request, signal, key) =>
      runStream(call(signal), new OpenaiAnswer('groq', request), async (upstream) => {
        const client = await clientOf(baseUrl, secretOf('groq', keys, key), upstream);
        const body = { ...groqBody(request), stream: true as const };
        return groqChunks(await client.chat.completions.create(body, { signal: upstream.signal }));
      }),
    complete: (request, signal, key) =>
      runPlain(call(signal), async (upstream) => {
        const client = await clientOf(baseUrl, secretOf('groq', keys, key), upstream);
        const answer = await client.chat.completions.create(groqBody(request), { signal: upstream.signal });
        return openaiCompletion('groq', request, answer);
      }),
  };
}
