import type { Config } from '#src/config.ts';
import type { Provider } from '#src/ai/model.ts';
import { createLocal } from '#src/ai/providers/local.ts';
import { createOllama } from '#src/ai/providers/ollama.ts';
import { createOpenai } from '#src/ai/providers/openai.ts';

/** Every provider there is: name → how the configuration makes it; undefined where it is not configured. */
export const createProvider = {
  openai: ({ OPENAI_API_KEY: apiKey, OPENAI_BASE_URL: baseUrl, OPENAI_MODELS: models }: Config) =>
    apiKey === undefined ? undefined : createOpenai({ apiKey, baseUrl, models }),
  ollama: ({ OLLAMA_BASE_URL: baseUrl, OLLAMA_MODELS: models }: Config) =>
    baseUrl === undefined ? undefined : createOllama({ baseUrl, models }),
  local: () => createLocal(),
} satisfies Record<string, (config: Config) => Provider | undefined>;
