import { AppError, badRequest } from '#src/errors.ts';
import type { EngineName, Provider, ProviderName } from '#src/ai/model.ts';

/** What a job may choose; each left out means our choice. */
export interface RouterOptions {
  provider?: string | undefined;
  model?: string | undefined;
  /** Lowers the engine's own bound, never raises it. */
  maxOutputTokens?: number | undefined;
}

/** One place an answer can come from. */
export interface Candidate {
  provider: Provider;
  model: string;
}

/** Whether a provider can be asked at all: it has a key or needs none. */
export const isUsable = ({ needsKey, keys }: Provider): boolean => !needsKey || keys.length > 0;

/** A candidate as results and logs name it. */
export interface Target {
  provider: ProviderName;
  model: string;
}

export const targetOf = ({ provider, model }: Candidate): Target => ({ provider: provider.name, model });

/** Where to ask, in order. `lastResort` is `local`, asked only when the others cannot. */
export interface Candidates {
  models: Candidate[];
  lastResort?: Candidate;
}

function unknownChoice(option: 'provider' | 'model', message: string): AppError {
  const code = `unknown_${option}`;
  return badRequest(code, message, [{ path: `options.${option}`, code, message }]);
}

function firstModel(provider: Provider): Candidate[] {
  return provider.models.slice(0, 1).map((model) => ({ provider, model }));
}

function chosenProviders(providers: readonly Provider[], engine: EngineName, name: string | undefined): Provider[] {
  if (name === undefined) return providers.filter((provider) => provider.supports(engine));
  const provider = providers.find((one) => one.name === name);
  if (!provider) {
    const names = providers.map((one) => one.name).join(', ') || 'none';
    throw unknownChoice('provider', `There is no provider "${name}" here. There is: ${names}.`);
  }
  if (provider.supports(engine)) return [provider];
  throw unknownChoice('provider', `The provider "${name}" cannot do "${engine}".`);
}

function explicit(providers: readonly Provider[], engine: EngineName, options: RouterOptions): Candidate[] {
  const able = chosenProviders(providers, engine, options.provider);
  const { model } = options;
  if (model === undefined) return able.flatMap(firstModel);
  const found = able.filter((provider) => provider.models.includes(model)).map((provider) => ({ provider, model }));
  if (found.length > 0) return found;
  const names = able.flatMap((provider) => provider.models).join(', ') || 'none';
  throw unknownChoice('model', `There is no model "${model}" for "${engine}" here. There is: ${names}.`);
}

/**
 * Orders the candidates for a task: what the options name, else each able provider's first model in the configured order, with `local` last.
 * @throws AppError 400 `unknown_provider`, `unknown_model`; 503 `no_provider_available` when nothing here can do the task.
 */
export function candidatesFor(all: readonly Provider[], engine: EngineName, options: RouterOptions): Candidates {
  const providers = all.filter(isUsable);
  if (options.provider !== undefined || options.model !== undefined)
    return { models: explicit(providers, engine, options) };
  const able = providers.filter((provider) => provider.supports(engine));
  const models = able.filter(({ name }) => name !== 'local').flatMap(firstModel);
  const [lastResort] = able.filter(({ name }) => name === 'local').flatMap(firstModel);
  if (models.length > 0 || lastResort) return { models, ...(lastResort && { lastResort }) };
  throw new AppError(
    503,
    'no_provider_available',
    `No provider that can do "${engine}" is configured: set OPENAI_API_KEY or OLLAMA_BASE_URL.`,
  );
}
