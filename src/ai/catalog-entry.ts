import { z } from 'zod';
import type { EngineName, ProviderName } from '#src/ai/model.ts';

const PROVIDERS = [
  'openai',
  'anthropic',
  'google',
  'groq',
  'mistral',
  'cohere',
  'together',
  'ollama',
  'local',
] as const satisfies ProviderName[];
const ENGINES = [
  'copilot',
  'smart-replies',
  'sentiment',
  'intent',
  'extract-entities',
  'summarize',
  'translate',
  'score-lead',
  'chat',
] as const satisfies EngineName[];

/** A name as providers spell them: `openai/gpt-oss-20b`, `gpt-oss:20b-cloud`. */
export const ModelName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$/, 'must be 1 to 100 letters, digits or . _ : / -');
const Day = z.iso.date();
/** USD per million tokens, to six decimals: the smallest unit that cost is computed in. */
const Price = z
  .number()
  .min(0)
  .max(10_000)
  .refine((usd) => Math.abs(usd * 1e6 - Math.round(usd * 1e6)) < 1e-3, 'must have at most six decimals');
const Tokens = z.int().min(1).max(100_000_000);
const Mark = z.number().min(0).max(100);

/** What a model costs from a day on (00:00 UTC), or from a moment. A price that is null costs as the plain input does. */
export const PriceVersion = z.strictObject({
  effectiveFrom: z.union([Day, z.iso.datetime({ offset: true })]),
  inputUsdPerMtok: Price,
  cachedInputUsdPerMtok: Price.nullable().default(null),
  cacheWriteUsdPerMtok: Price.nullable().default(null),
  outputUsdPerMtok: Price,
  /** Prices of the whole call once its input is longer; null where a price is not published. */
  longContext: z
    .strictObject({
      aboveInputTokens: Tokens,
      inputUsdPerMtok: Price,
      cachedInputUsdPerMtok: Price.nullable().default(null),
      outputUsdPerMtok: Price.nullable().default(null),
    })
    .nullable()
    .default(null),
  /** Where it was read. */
  source: z.string().max(300).default('operator'),
});
export type PriceVersion = z.infer<typeof PriceVersion>;

/** Marks from 0 to 100 by task; a task that is left out keeps the mark of the model's tier. */
const Quality = z.partialRecord(z.enum(ENGINES), Mark);

/** One model of `catalog-models.json`. */
export const CatalogEntry = z.strictObject({
  provider: z.enum(PROVIDERS),
  model: ModelName,
  kind: z.enum(['chat', 'embedding']),
  /** Other names it is asked by. */
  aliases: z.array(ModelName).max(50),
  /** The day it is switched off. */
  deprecatedOn: Day.nullable(),
  /** Who answers for it, of the same provider, from `deprecatedOn` on; at once without such a day. */
  replacedBy: ModelName.nullable(),
  contextWindow: Tokens,
  /** 0 on embedding models, which write nothing. */
  maxOutputTokens: z.int().min(0).max(100_000_000),
  /** Length of the vectors. */
  dimensions: z.int().min(1).max(100_000).nullable(),
  /** Its published vocabulary; null where none is. */
  tokenizer: z.enum(['o200k_base', 'cl100k_base']).nullable(),
  supportsTools: z.boolean(),
  supportsJsonSchema: z.boolean(),
  supportsTemperature: z.boolean(),
  supportsReasoning: z.boolean(),
  supportsVision: z.boolean(),
  /** From 1, the smallest, to 4. */
  qualityTier: z.int().min(1).max(4),
  quality: Quality.optional(),
  /** Not asked by itself any more, and not listed. */
  isHidden: z.boolean().optional(),
  prices: z.array(PriceVersion).min(1),
});
export type CatalogEntry = z.infer<typeof CatalogEntry>;

/** What an operator says about a model of the catalogue, or of a model it does not have. */
export const ModelOverrideBody = CatalogEntry.omit({ provider: true, model: true })
  .extend({ prices: z.array(PriceVersion).max(100) })
  .partial();
export type ModelOverrideBody = z.infer<typeof ModelOverrideBody>;

/** An override with the model it is for. Prices are added to the known ones; one of the same day takes the other's place. */
export const ModelOverride = ModelOverrideBody.extend({ provider: z.enum(PROVIDERS), model: ModelName });
export type ModelOverride = z.infer<typeof ModelOverride>;

const WholeEntry = CatalogEntry.refine((entry) => entry.maxOutputTokens <= entry.contextWindow, {
  path: ['maxOutputTokens'],
  message: 'must fit into contextWindow',
}).refine((entry) => entry.kind === 'embedding' || entry.maxOutputTokens > 0, {
  path: ['maxOutputTokens'],
  message: 'must be above 0 for a model that answers',
});

const BLANK = {
  kind: 'chat',
  aliases: [],
  deprecatedOn: null,
  replacedBy: null,
  dimensions: null,
  tokenizer: null,
  supportsTools: true,
  supportsJsonSchema: false,
  supportsTemperature: false,
  supportsReasoning: false,
  supportsVision: false,
  qualityTier: 2,
} as const;

/**
 * The entry with an override laid over it.
 * @param known the entry as it was; undefined for a model that is new
 * @returns the entry, or a ZodError naming what a new model lacks (`prices`, `contextWindow`, `maxOutputTokens`)
 */
export function overridden(known: CatalogEntry | undefined, override: ModelOverride) {
  const prices = new Map([...(known?.prices ?? []), ...(override.prices ?? [])].map((one) => [one.effectiveFrom, one]));
  const quality = { ...known?.quality, ...override.quality };
  return WholeEntry.safeParse({ ...BLANK, ...known, ...override, quality, prices: [...prices.values()] });
}
