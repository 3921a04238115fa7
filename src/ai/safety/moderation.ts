import type { ApiKey } from '#src/ai/model.ts';

const MODEL = 'omni-moderation-latest';
const TIMEOUT_MS = 3000;
/** The endpoint takes so many texts at once. */
const MAX_TEXTS = 32;

/** @returns the categories texts were flagged for, none when they may pass. @throws what the SDK throws when it cannot be asked */
export type Moderate = (texts: string[], signal: AbortSignal, key?: ApiKey) => Promise<string[]>;

/** OpenAI's moderation endpoint. `keys` are the installation's; without any and without a workspace's key it cannot be asked. */
export function createModerate({ baseUrl, keys }: { baseUrl: string; keys: readonly ApiKey[] }): Moderate {
  return async (texts, signal, key = keys[0]) => {
    if (!key) throw new Error('Moderation needs a key of OpenAI.');
    const { OpenAI } = await import('openai');
    const client = new OpenAI({
      apiKey: key.secret,
      baseURL: baseUrl,
      organization: null,
      project: null,
      adminAPIKey: null,
      webhookSecret: null,
      maxRetries: 0,
      logLevel: 'off',
    });
    const input = texts.slice(-MAX_TEXTS);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const { results } = await client.moderations.create({ model: MODEL, input }, { signal: limit });
    signal.throwIfAborted();
    const flagged = results.filter((one) => one.flagged).flatMap(({ categories }) => Object.entries(categories));
    return [...new Set(flagged.filter(([, holds]) => holds).map(([name]) => name))].toSorted();
  };
}
