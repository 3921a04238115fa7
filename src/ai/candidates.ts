import { factsOf, type ModelFacts } from '#src/ai/catalog.ts';
import type { Estimates, TargetStats } from '#src/ai/estimates.ts';
import type { ApiKey, EngineName, Provider, ProviderName, Strategy } from '#src/ai/model.ts';
import type { WorkspaceAi } from '#src/ai/workspace-ai.ts';
import { AppError, badRequest } from '#src/errors.ts';

/** What a job may choose; each left out means our choice. */
export interface RouterOptions {
  provider?: string | undefined;
  model?: string | undefined;
  /** Lowers the engine's own bound, never raises it. */
  maxOutputTokens?: number | undefined;
  strategy?: Strategy | undefined;
  /** Targets that could cost more are not asked. */
  maxCostUsd?: number | undefined;
  /** Bounds the whole run, like `timeouts.totalMs`. */
  timeoutMs?: number | undefined;
  priority?: 'interactive' | 'normal' | 'batch' | undefined;
}

/** One place an answer can come from; made once for each model of each provider. */
export interface Candidate {
  provider: Provider;
  model: string;
  /** `provider/model`. */
  id: string;
  /** Of the last second. */
  facts: ModelFacts;
  stats: TargetStats;
}

/** Whether a provider can be asked at all: it has a key or needs none. */
export const isUsable = ({ needsKey, keys }: Provider): boolean => !needsKey || keys.length > 0;

/** The keys a workspace's jobs use at a provider: its own, or the installation's. */
export const keysFor = (provider: Provider, workspace: WorkspaceAi | undefined): readonly ApiKey[] => {
  const own = workspace?.keys[provider.name];
  return own?.length ? own : provider.keys;
};

/** A candidate as results and logs name it. */
export interface Target {
  provider: ProviderName;
  model: string;
}

export const targetOf = ({ provider, model }: Candidate): Target => ({ provider: provider.name, model });

/** Where to ask, in the order of the configuration. `lastResort` is `local`, asked only when the others cannot. */
export interface Candidates {
  models: readonly Candidate[];
  lastResort?: Candidate;
}

/** What is known of a model is looked up again after so long. */
const FACTS_MS = 1000;

/**
 * Every model of every provider, with what is known of it.
 * @returns gives them as they are now. Operators change the catalogue while we run; one look at the clock for all of them, since one for
 * each use would cost more than the decision.
 */
export function openCandidates(providers: readonly Provider[], estimates: Estimates): () => readonly Candidate[] {
  const all = providers.flatMap((provider) =>
    provider.models.map((model): Candidate => {
      const id = `${provider.name}/${model}`;
      const facts = factsOf(provider.name, model);
      return { provider, model, id, facts, stats: estimates.of(id, facts) };
    }),
  );
  let lookedAt = performance.now();
  return () => {
    const now = performance.now();
    if (now - lookedAt > FACTS_MS) {
      lookedAt = now;
      for (const one of all) one.facts = factsOf(one.provider.name, one.model);
    }
    return all;
  };
}

function unknownChoice(option: 'provider' | 'model', message: string): AppError {
  const code = `unknown_${option}`;
  return badRequest(code, message, [{ path: `options.${option}`, code, message }]);
}

const namesOf = (names: Iterable<string>): string => [...new Set(names)].join(', ') || 'none';

/** Why a target that is known cannot be chosen; empty for a name that nobody knows. */
function whyClosed(all: readonly Candidate[], { provider, model }: RouterOptions): string {
  const known = all.find((one) => (model ? one.model === model : one.provider.name === provider));
  return known ? ` (${known.provider.name} has no key here, or the workspace does not allow it)` : '';
}

function chosen(
  all: readonly Candidate[],
  usable: readonly Candidate[],
  engine: EngineName,
  { provider, model }: RouterOptions,
): Candidate[] {
  let left = usable.filter((one) => one.provider.supports(engine));
  if (provider !== undefined) {
    const its = usable.filter((one) => one.provider.name === provider);
    if (its.length === 0) {
      const there = namesOf(usable.map((one) => one.provider.name));
      const why = whyClosed(all, { provider });
      throw unknownChoice('provider', `There is no provider "${provider}" here${why}. There is: ${there}.`);
    }
    left = its.filter((one) => one.provider.supports(engine));
    if (left.length === 0) throw unknownChoice('provider', `The provider "${provider}" cannot do "${engine}".`);
  }
  if (model === undefined) return left;
  const found = left.filter((one) => one.model === model);
  if (found.length > 0) return found;
  const there = namesOf(left.map((one) => one.model));
  const why = usable.some((one) => one.model === model) ? '' : whyClosed(all, { model });
  throw unknownChoice('model', `There is no model "${model}" for "${engine}" here${why}. There is: ${there}.`);
}

/**
 * The candidates for a task: what the options name, else every model of each able provider in the configured order, with `local` apart.
 * @throws AppError 400 `unknown_provider`, `unknown_model`; 422 `no_provider_allowed` when the workspace allows none that can do the task,
 * 503 `no_provider_available` when nothing here can.
 */
export function candidatesFor(
  all: readonly Candidate[],
  engine: EngineName,
  options: RouterOptions,
  workspace?: WorkspaceAi,
): Candidates {
  const allowed = workspace?.allowedProviders;
  const isOpen = ({ provider }: Candidate) =>
    (!provider.needsKey || keysFor(provider, workspace).length > 0) &&
    (allowed === undefined || provider.name === 'local' || allowed.includes(provider.name));
  const usable = all.filter(isOpen);
  if (options.provider !== undefined || options.model !== undefined) {
    return { models: chosen(all, usable, engine, options) };
  }
  const able = usable.filter(({ provider }) => provider.supports(engine));
  const models = able.filter(({ provider }) => provider.name !== 'local');
  const lastResort = able.find(({ provider }) => provider.name === 'local');
  if (models.length > 0 || lastResort) return { models, ...(lastResort && { lastResort }) };
  // What the workspace itself has closed is no failure of the platform.
  if (allowed) {
    const detail = `None of the providers that the workspace allows (ai.allowedProviders: ${allowed.join(', ')}) can do "${engine}" here.`;
    throw new AppError(422, 'no_provider_allowed', detail);
  }
  throw new AppError(
    503,
    'no_provider_available',
    `No provider that can do "${engine}" has a key: set one of OPENAI_API_KEY, ANTHROPIC_API_KEY, GOOGLE_API_KEY, GROQ_API_KEY, MISTRAL_API_KEY, COHERE_API_KEY, TOGETHER_API_KEY or OLLAMA_BASE_URL, or the workspace's own (ai.providerKey.*).`,
  );
}
