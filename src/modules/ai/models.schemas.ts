import { z } from 'zod';
import type { ModelFacts } from '#src/ai/catalog.ts';
import { ModelName, ModelOverrideBody, PriceVersion } from '#src/ai/catalog-entry.ts';

/** A model as clients see it. Prices in USD per million tokens; quality from 0 to 100 by task. */
export const ModelView = z
  .object({
    provider: z.string(),
    model: z.string(),
    kind: z.enum(['chat', 'embedding']),
    aliases: z.array(z.string()),
    contextWindow: z.int(),
    maxOutputTokens: z.int(),
    dimensions: z.int().nullable(),
    tokenizer: z.string().nullable(),
    capabilities: z.object({
      tools: z.boolean(),
      jsonSchema: z.boolean(),
      temperature: z.boolean(),
      reasoning: z.boolean(),
      vision: z.boolean(),
    }),
    price: PriceVersion.omit({ effectiveFrom: true, source: true }).extend({
      version: z.string(),
      source: z.string(),
      /** False where it is our own guess. */
      isKnown: z.boolean(),
    }),
    quality: z.record(z.string(), z.number()),
    qualitySource: z.string(),
    deprecatedOn: z.string().nullable(),
    replacedBy: z.string().nullable(),
  })
  .meta({ id: 'Model' });
export type ModelView = z.infer<typeof ModelView>;

export const ModelList = z.object({ data: z.array(ModelView) });

/** A model as operators see it: with what they said of it, if they did. */
export const OperatorModelView = ModelView.extend({
  isHidden: z.boolean(),
  override: z.record(z.string(), z.unknown()).nullable(),
});
export const OperatorModelList = z.object({ data: z.array(OperatorModelView) });

export const ModelParams = z.strictObject({ provider: z.string().max(40), model: ModelName });
export const ModelPut = ModelOverrideBody.refine((body) => Object.keys(body).length > 0, {
  message: 'must say something of the model',
  when: ({ issues }) => issues.length === 0,
});

export function toModelView(facts: ModelFacts): ModelView {
  return {
    provider: facts.provider,
    model: facts.model,
    kind: facts.kind,
    aliases: facts.aliases,
    contextWindow: facts.contextWindow,
    maxOutputTokens: facts.maxOutputTokens,
    dimensions: facts.dimensions,
    tokenizer: facts.tokenizer,
    capabilities: {
      tools: facts.supportsTools,
      jsonSchema: facts.supportsJsonSchema,
      temperature: facts.supportsTemperature,
      reasoning: facts.supportsReasoning,
      vision: facts.supportsVision,
    },
    price: {
      inputUsdPerMtok: facts.inputUsdPerMtok,
      cachedInputUsdPerMtok: facts.cachedInputUsdPerMtok,
      cacheWriteUsdPerMtok: facts.cacheWriteUsdPerMtok,
      outputUsdPerMtok: facts.outputUsdPerMtok,
      longContext: facts.longContext,
      version: facts.priceVersion,
      source: facts.source,
      isKnown: facts.priced,
    },
    quality: facts.quality,
    qualitySource: facts.qualitySource,
    deprecatedOn: facts.deprecatedOn,
    replacedBy: facts.replacedBy,
  };
}
