import models from '#src/ai/catalog-models.json' with { type: 'json' };
import type { ProviderName } from '#src/ai/model.ts';

/** What we know of one model. Prices in USD per million tokens. */
export interface ModelFacts {
  provider: ProviderName;
  model: string;
  /** Where the prices come from. */
  source: string;
  /** False where the price is our own guess, for a name only the installation knows. */
  priced: boolean;
  inputUsdPerMtok: number;
  /** null: cached input costs as much as other input. */
  cachedInputUsdPerMtok: number | null;
  outputUsdPerMtok: number;
  /** Prices of the whole call once its input is longer; null where a price is not published. */
  longContext: {
    aboveInputTokens: number;
    inputUsdPerMtok: number;
    cachedInputUsdPerMtok: number | null;
    outputUsdPerMtok: number | null;
  } | null;
  contextWindow: number;
  maxOutputTokens: number;
  supportsTools: boolean;
  supportsJsonSchema: boolean;
  supportsTemperature: boolean;
  supportsReasoning: boolean;
  /** The day it is switched off, `YYYY-MM-DD`. */
  deprecatedOn: string | null;
}

const COMPANIES = ['openai', 'anthropic', 'google', 'groq', 'mistral', 'cohere', 'together'] as const;
type Company = (typeof COMPANIES)[number];
const isCompany = (name: string): name is Company => COMPANIES.some((company) => company === name);

/**
 * The chat models we know the price of. gpt-6-*: what they can do is taken from gpt-5.6. Together publishes neither window nor bound
 * of some models: 128 000 and 16 384 are assumed there. Which of Cohere's take a JSON schema is from its guide to structured outputs. Anthropic's models take no temperature since API version 2026-10-21.
 */
export const CATALOG: readonly ModelFacts[] = models.map((facts) => {
  if (!isCompany(facts.provider)) throw new Error(`The catalogue has the unknown provider "${facts.provider}".`);
  return { ...facts, provider: facts.provider };
});

const byName = new Map(CATALOG.map((facts) => [`${facts.provider}/${facts.model}`, facts]));

/** The largest context we ask Ollama for: its memory is the installation's own. */
export const OLLAMA_CONTEXT_MAX = 32_768;

/**
 * What is known of a model. Every name is known of `ollama` and `local`: they run on machines of the installation and cost nothing there.
 * @returns undefined where the provider is a company and the name is not in its catalogue.
 */
export function findModel(provider: ProviderName, model: string): ModelFacts | undefined {
  return isCompany(provider) ? byName.get(`${provider}/${model}`) : selfHosted(provider, model);
}

/** What a call is sent with: the facts of the catalogue, or those assumed for a name it does not have. */
export function factsOf(provider: ProviderName, model: string): ModelFacts {
  return findModel(provider, model) ?? unpriced(provider, model);
}

function selfHosted(provider: ProviderName, model: string): ModelFacts {
  return {
    provider,
    model,
    source: 'self-hosted',
    priced: true,
    inputUsdPerMtok: 0,
    cachedInputUsdPerMtok: null,
    outputUsdPerMtok: 0,
    longContext: null,
    contextWindow: OLLAMA_CONTEXT_MAX,
    maxOutputTokens: OLLAMA_CONTEXT_MAX,
    supportsTools: true,
    supportsJsonSchema: true,
    supportsTemperature: true,
    supportsReasoning: false,
    deprecatedOn: null,
  };
}

/**
 * A name of an OpenAI-compatible server or of a model newer than the catalogue. It costs as much as the dearest known model:
 * at price 0 a paid model would run without a reservation, and the workspace's credits would bound nothing.
 */
function unpriced(provider: ProviderName, model: string): ModelFacts {
  const known = CATALOG.filter((one) => one.provider === provider);
  const dearest = (price: (one: ModelFacts) => number) => Math.max(...known.map(price));
  return {
    ...selfHosted(provider, model),
    source: 'unpriced: costed as the dearest known model',
    priced: false,
    inputUsdPerMtok: dearest((one) => Math.max(one.inputUsdPerMtok, one.longContext?.inputUsdPerMtok ?? 0)),
    outputUsdPerMtok: dearest((one) => Math.max(one.outputUsdPerMtok, one.longContext?.outputUsdPerMtok ?? 0)),
    contextWindow: 128_000,
    maxOutputTokens: 16_384,
    // Models of this family refuse a temperature more often than they need one.
    supportsTemperature: false,
  };
}
