import { createHash } from 'node:crypto';
import { z } from 'zod';
import models from '#src/ai/catalog-models.json' with { type: 'json' };
import { CatalogEntry, type ModelOverride, overridden, type PriceVersion } from '#src/ai/catalog-entry.ts';
import { closest } from '#src/ai/closest.ts';
import { marksOf, QUALITY_SOURCE } from '#src/ai/quality.ts';
import type { EngineName, ProviderName } from '#src/ai/model.ts';

/** What we know of one model at one moment. Prices in USD per million tokens. */
export interface ModelFacts extends Omit<
  CatalogEntry,
  'prices' | 'quality' | 'qualityTier' | 'isHidden' | 'replacedBy'
> {
  /** Where the price comes from. */
  source: string;
  /** False where the price is our own guess, for a name only the installation knows. */
  priced: boolean;
  /** Names the price: the day it came into force and the start of its SHA-256. */
  priceVersion: string;
  inputUsdPerMtok: number;
  /** null: cached input costs as much as other input. */
  cachedInputUsdPerMtok: number | null;
  /** null: input that is written to a cache costs as much as other input. */
  cacheWriteUsdPerMtok: number | null;
  outputUsdPerMtok: number;
  longContext: PriceVersion['longContext'];
  /** How well it does each task, 0 to 100, and what that rests on. */
  quality: Readonly<Record<EngineName, number>>;
  qualitySource: string;
  /** The model that answers for it by now; null while it is there itself. */
  replacedBy: string | null;
}

/** The largest context we ask Ollama for: its memory is the installation's own. */
export const OLLAMA_CONTEXT_MAX = 32_768;

/** One model: its facts under each price it has had, oldest first. */
interface Listed {
  entry: CatalogEntry;
  versions: { from: number; facts: ModelFacts }[];
}

interface Catalog {
  byName: Map<string, Listed>;
  /** Other names → the listed ones, most of a single provider. */
  byAlias: Map<string, Listed[]>;
  unpriced: Map<ProviderName, ModelFacts>;
}

const isSelfHosted = (provider: ProviderName): boolean => provider === 'ollama' || provider === 'local';
const nameOf = (provider: string, model: string): string => `${provider}/${model}`;
const BUILT_IN: readonly CatalogEntry[] = z.array(CatalogEntry).parse(models);

function listed(entry: CatalogEntry): Listed {
  const { prices, quality, qualityTier: _, isHidden: __, ...known } = entry;
  const versions = prices
    .map(({ effectiveFrom, source, ...price }) => {
      const digest = createHash('sha256')
        .update(JSON.stringify(Object.entries(price).toSorted(([a], [b]) => (a < b ? -1 : 1))))
        .digest('hex');
      const facts: ModelFacts = {
        ...known,
        ...price,
        source,
        priced: true,
        priceVersion: `${effectiveFrom}#${digest.slice(0, 6)}`,
        quality: marksOf(entry),
        qualitySource: Object.keys(quality ?? {}).length > 0 ? `operator; else ${QUALITY_SOURCE}` : QUALITY_SOURCE,
      };
      return { from: Date.parse(effectiveFrom), facts };
    })
    .toSorted((a, b) => a.from - b.from);
  return { entry, versions };
}

/** @throws ZodError when overrides are of a new model without saying all of it, or name a replacement that is not there; paths begin with the model */
function build(overrides: readonly ModelOverride[]): Catalog {
  const entries = new Map(BUILT_IN.map((entry) => [nameOf(entry.provider, entry.model), entry]));
  const issues: z.core.$ZodIssue[] = [];
  for (const override of overrides) {
    const name = nameOf(override.provider, override.model);
    const { data, error } = overridden(entries.get(name), override);
    if (data) entries.set(name, data);
    else issues.push(...error.issues.map((issue) => ({ ...issue, path: [name, ...issue.path] })));
  }
  for (const { provider, model, replacedBy } of overrides) {
    if (!replacedBy || entries.has(nameOf(provider, replacedBy))) continue;
    const path = [nameOf(provider, model), 'replacedBy'];
    issues.push({ code: 'custom', path, message: `is no model of ${provider}`, input: replacedBy });
  }
  if (issues.length > 0) throw new z.ZodError(issues);
  const byName = new Map([...entries].map(([name, entry]) => [name, listed(entry)]));
  const byAlias = new Map<string, Listed[]>();
  for (const one of byName.values())
    for (const name of [one.entry.model, ...one.entry.aliases]) byAlias.set(name, [...(byAlias.get(name) ?? []), one]);
  return { byName, byAlias, unpriced: new Map() };
}

// One per process, so that workers and API look up without a round trip; `watchModels` (modules/ai/models.ts) keeps it current.
let catalog = build([]);

/**
 * Lays the operator's changes over the built-in catalogue, for the whole process and from now on.
 * @param overrides in order: the later says last
 * @throws ZodError as `checkOverride` does; the catalogue then stays as it was
 */
export function useOverrides(overrides: readonly ModelOverride[]): void {
  catalog = build(overrides);
}

/** Whether an override can be laid over the models there are and `others`. @throws ZodError naming what is missing */
export function checkOverride(override: ModelOverride, others: readonly ModelOverride[]): void {
  build([...others, override]);
}

function factsAt({ versions }: Listed, at: number): ModelFacts | undefined {
  // Before its first price a model has that one.
  return versions.findLast(({ from }) => from <= at)?.facts ?? versions[0]?.facts;
}

/**
 * What is known of a model. Every name is known of `ollama` and `local`: they run on machines of the installation and cost nothing there.
 * @param at the moment whose price is asked for, in milliseconds since 1970
 * @returns undefined where the provider is a company and the name is not in its catalogue.
 */
export function findModel(provider: ProviderName, model: string, at = Date.now()): ModelFacts | undefined {
  const known = catalog.byName.get(nameOf(provider, model));
  if (known) return factsAt(known, at);
  return isSelfHosted(provider) ? selfHosted(provider, model) : undefined;
}

/** What a call is sent with and costs: the facts of the catalogue, or those assumed for a name it does not have. */
export function factsOf(provider: ProviderName, model: string, at = Date.now()): ModelFacts {
  return findModel(provider, model, at) ?? unpriced(provider, model);
}

/** Every model that is not hidden, of all providers, with its facts of this moment. @param withHidden the others too */
export function listModels(at = Date.now(), withHidden = false): ModelFacts[] {
  return [...catalog.byName.values()]
    .filter(({ entry }) => withHidden || !entry.isHidden)
    .flatMap((one) => factsAt(one, at) ?? []);
}

/** Whether an operator took the model out of what is asked. */
export const isHidden = (provider: ProviderName, model: string): boolean =>
  catalog.byName.get(nameOf(provider, model))?.entry.isHidden === true;

/**
 * The model that answers when this name is asked for: an alias is followed to its model, and a model that is switched off to the one
 * in its place.
 * @returns the name itself where the catalogue knows nothing better
 */
export function livingName(provider: ProviderName, name: string, at = Date.now()): string {
  let now = name;
  // More steps than any chain has: operators can close one to a ring.
  for (let step = 0; step < 8; step++) {
    const aliased = catalog.byAlias.get(now)?.find(({ entry }) => entry.provider === provider);
    const { entry } = catalog.byName.get(nameOf(provider, now)) ?? aliased ?? {};
    if (!entry) return now;
    const { deprecatedOn, replacedBy } = entry;
    const isGone = replacedBy !== null && (deprecatedOn === null || Date.parse(deprecatedOn) <= at);
    if (!isGone) return entry.model;
    now = replacedBy;
  }
  return name;
}

/**
 * The names somebody may have meant who asked for one that is not here.
 * @param here the models that could be asked, by provider; their aliases are looked through too
 */
export function closestModels(
  name: string,
  here: readonly { name: ProviderName; models: readonly string[] }[],
): string[] {
  const names = here.flatMap(({ name: provider, models: own }) =>
    own.flatMap((model) => [model, ...(catalog.byName.get(nameOf(provider, model))?.entry.aliases ?? [])]),
  );
  return closest(name, [...new Set(names)]);
}

const NO_PRICE = { cachedInputUsdPerMtok: null, cacheWriteUsdPerMtok: null, longContext: null };

function selfHosted(provider: ProviderName, model: string): ModelFacts {
  const facts = {
    provider,
    model,
    kind: 'chat' as const,
    aliases: [],
    deprecatedOn: null,
    replacedBy: null,
    contextWindow: OLLAMA_CONTEXT_MAX,
    maxOutputTokens: OLLAMA_CONTEXT_MAX,
    dimensions: null,
    tokenizer: null,
    supportsTools: true,
    supportsJsonSchema: true,
    supportsTemperature: true,
    supportsReasoning: false,
    supportsVision: false,
  };
  return {
    ...facts,
    ...NO_PRICE,
    source: 'self-hosted',
    priced: true,
    priceVersion: 'self-hosted',
    inputUsdPerMtok: 0,
    outputUsdPerMtok: 0,
    quality: marksOf({ ...facts, qualityTier: 1 }),
    qualitySource: QUALITY_SOURCE,
  };
}

/**
 * A name of an OpenAI-compatible server or of a model newer than the catalogue. It costs as much as the dearest known model:
 * at price 0 a paid model would run without a reservation, and the workspace's credits would bound nothing.
 */
function unpriced(provider: ProviderName, model: string): ModelFacts {
  const seen = catalog.unpriced.get(provider) ?? dearestOf(provider);
  catalog.unpriced.set(provider, seen);
  return { ...seen, model };
}

/** Of a plain and a written token, short or long: where a long price of writing is not published, it rises as the plain one does. */
function dearestInput({ inputUsdPerMtok, cacheWriteUsdPerMtok, longContext }: ModelFacts): number {
  const short = Math.max(inputUsdPerMtok, cacheWriteUsdPerMtok ?? 0);
  if (!longContext || inputUsdPerMtok === 0) return short;
  return short * Math.max(1, longContext.inputUsdPerMtok / inputUsdPerMtok);
}

function dearestOf(provider: ProviderName): ModelFacts {
  const known = [...catalog.byName.values()]
    .filter(({ entry }) => entry.provider === provider && entry.kind === 'chat')
    .flatMap(({ versions }) => versions.map(({ facts }) => facts));
  const dearest = (price: (one: ModelFacts) => number) => Math.max(0, ...known.map(price));
  return {
    ...selfHosted(provider, ''),
    source: 'unpriced: costed as the dearest known model',
    priced: false,
    priceVersion: 'unpriced',
    inputUsdPerMtok: dearest(dearestInput),
    outputUsdPerMtok: dearest((one) => Math.max(one.outputUsdPerMtok, one.longContext?.outputUsdPerMtok ?? 0)),
    contextWindow: 128_000,
    maxOutputTokens: 16_384,
    // Models of this family refuse a temperature more often than they need one.
    supportsTemperature: false,
    quality: marksOf({ kind: 'chat', qualityTier: 2, supportsJsonSchema: true }),
  };
}
