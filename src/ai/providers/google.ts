import type { ApiKey, ChatRequest, Provider } from '#src/ai/model.ts';
import { runPlain, runStream, secretOf } from '#src/ai/providers/call.ts';
import { embeddingsOf } from '#src/ai/providers/completion.ts';
import { embedInBatches } from '#src/ai/providers/embed-batches.ts';
import { GoogleAnswer } from '#src/ai/providers/google-answer.ts';
import { callWithFetch, readStream } from '#src/ai/providers/google-sdk.ts';
import { GoogleLines } from '#src/ai/providers/google-lines.ts';
import { googleBody, googleEmbedRequest, googleToolConfig } from '#src/ai/providers/google-request.ts';

export interface GoogleOptions {
  keys: readonly ApiKey[];
  /** Without the version: `https://generativelanguage.googleapis.com`. */
  baseUrl: string;
  models: readonly string[];
  fetch?: typeof fetch;
}

const EMBED_TEXTS_MAX = 100;

const loadSdk = () => import('@google/generative-ai');

/** Google's Gemini models by the Generative Language API. */
export function createGoogle({ keys, baseUrl, models, fetch }: GoogleOptions): Provider {
  const call = (signal: AbortSignal) => ({ provider: 'google' as const, signal, fetch });
  const modelOf = async (model: string, key: ApiKey | undefined) => {
    const secret = secretOf('google', keys, key);
    const { GoogleGenerativeAI } = await loadSdk();
    return new GoogleGenerativeAI(secret).getGenerativeModel({ model }, { baseUrl });
  };
  const turnOf = async (request: ChatRequest, key: ApiKey | undefined) => {
    const [model, { FunctionCallingMode }] = await Promise.all([modelOf(request.model, key), loadSdk()]);
    return { model, body: { ...googleBody(request), ...googleToolConfig(request, FunctionCallingMode.ANY) } };
  };
  return {
    name: 'google',
    models,
    needsKey: true,
    keys,
    supports: () => true,
    warm: async () => void (await loadSdk()),
    stream(request, signal, key) {
      const lines = new GoogleLines();
      const mending = { mend: (text: string) => lines.mend(text), mendEnd: (rest: string) => lines.end(rest) };
      return runStream({ ...call(signal), ...mending }, new GoogleAnswer(request), async (upstream) => {
        const { model, body } = await turnOf(request, key);
        return readStream(await callWithFetch(upstream.fetch, () => model.generateContentStream(body)));
      });
    },
    complete: (request, signal, key) =>
      runPlain(call(signal), async (upstream) => {
        const { model, body } = await turnOf(request, key);
        const { response } = await callWithFetch(upstream.fetch, () => model.generateContent(body));
        const answer = new GoogleAnswer(request);
        answer.push(response);
        return answer.completion();
      }),
    embed: (request, signal, key) =>
      embedInBatches(request, EMBED_TEXTS_MAX, (batch) =>
        runPlain(call(signal), async (upstream) => {
          const model = await modelOf(batch.model, key);
          const requests = batch.texts.map((text) => googleEmbedRequest(text, batch.dimensions));
          const { embeddings } = await callWithFetch(upstream.fetch, () => model.batchEmbedContents({ requests }));
          // Google counts no tokens here.
          return embeddingsOf(
            'google',
            batch,
            (embeddings ?? []).map((one) => one.values),
            undefined,
          );
        }),
      ),
  };
}
