import { readApiKeys } from '#src/ai/api-keys.ts';
import type { Config } from '#src/config.ts';
import type { Provider } from '#src/ai/model.ts';
import { createGroq } from '#src/ai/providers/groq.ts';
import { createAnthropic } from '#src/ai/providers/anthropic.ts';
import { createCohere } from '#src/ai/providers/cohere.ts';
import { createGoogle } from '#src/ai/providers/google.ts';
import { createLocal } from '#src/ai/providers/local.ts';
import { createMistral } from '#src/ai/providers/mistral.ts';
import { createOllama } from '#src/ai/providers/ollama.ts';
import { createOpenai } from '#src/ai/providers/openai.ts';
import { createTogether } from '#src/ai/providers/together.ts';

/**
 * Every provider there is: name → how the configuration makes it; undefined where it has no address. A company's provider is there
 * without a key of the installation too: a workspace may bring its own.
 */
export const createProvider = {
  openai: ({ OPENAI_API_KEY: keys, OPENAI_BASE_URL: baseUrl, OPENAI_MODELS: models }: Config) =>
    createOpenai({ keys: readApiKeys(keys, 'installation'), baseUrl, models }),
  groq: ({ GROQ_API_KEY: keys, GROQ_BASE_URL: baseUrl, GROQ_MODELS: models }: Config) =>
    createGroq({ keys: readApiKeys(keys, 'installation'), baseUrl, models }),
  mistral: ({ MISTRAL_API_KEY: keys, MISTRAL_BASE_URL: baseUrl, MISTRAL_MODELS: models }: Config) =>
    createMistral({ keys: readApiKeys(keys, 'installation'), baseUrl, models }),
  together: ({ TOGETHER_API_KEY: keys, TOGETHER_BASE_URL: baseUrl, TOGETHER_MODELS: models }: Config) =>
    createTogether({ keys: readApiKeys(keys, 'installation'), baseUrl, models }),
  anthropic: ({ ANTHROPIC_API_KEY: keys, ANTHROPIC_BASE_URL: baseUrl, ANTHROPIC_MODELS: models }: Config) =>
    createAnthropic({ keys: readApiKeys(keys, 'installation'), baseUrl, models }),
  google: ({ GOOGLE_API_KEY: keys, GOOGLE_BASE_URL: baseUrl, GOOGLE_MODELS: models }: Config) =>
    createGoogle({ keys: readApiKeys(keys, 'installation'), baseUrl, models }),
  cohere: ({ COHERE_API_KEY: keys, COHERE_BASE_URL: baseUrl, COHERE_MODELS: models }: Config) =>
    createCohere({ keys: readApiKeys(keys, 'installation'), baseUrl, models }),
  ollama: ({ OLLAMA_BASE_URL: baseUrl, OLLAMA_MODELS: models }: Config) =>
    baseUrl === undefined ? undefined : createOllama({ baseUrl, models }),
  local: () => createLocal(),
} satisfies Record<string, (config: Config) => Provider | undefined>;
