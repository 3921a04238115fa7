import { z } from 'zod';
import { closestModels, findModel, listModels, livingName, type ModelFacts } from '#src/ai/catalog.ts';
import { estimateMessageTokens, estimateTokens } from '#src/ai/tokens.ts';
import type { Tokenizer } from '#src/ai/tokenizer.ts';
import { unknownModel } from '#src/modules/ai/unknown-model.ts';

const MAX_CHARACTERS = 400_000;
/** As estimated in tokens.ts: the role and separators of a message, and what opens the answer. */
const EMPTY_MESSAGE = estimateMessageTokens([{ role: 'user', content: '' }]) - estimateMessageTokens([]);

const Asked = z.strictObject({ provider: z.string().max(40).optional(), model: z.string().min(1).max(100) });
const TextBody = Asked.extend({ text: z.string().max(MAX_CHARACTERS) });
const MessagesBody = Asked.extend({
  messages: z
    .array(z.strictObject({ role: z.enum(['system', 'user', 'assistant', 'tool']), content: z.string() }))
    .min(1)
    .max(200)
    .refine((messages) => messages.reduce((sum, { content }) => sum + content.length, 0) <= MAX_CHARACTERS, {
      message: `must have at most ${MAX_CHARACTERS} characters in all`,
    }),
});
export const CountTokensBody = z.union([TextBody, MessagesBody]);
export type CountTokensBody = z.infer<typeof CountTokensBody>;

export const CountTokensView = z
  .object({
    tokens: z.int(),
    /** `estimate`: from characters, leaning up, since the model's vocabulary is not published. */
    method: z.enum(['tokenizer', 'estimate']),
    tokenizer: z.string().optional(),
    provider: z.string(),
    /** The model that answers to the name that was given. */
    model: z.string(),
  })
  .meta({ id: 'TokenCount' });
export type CountTokensView = z.infer<typeof CountTokensView>;

/** @throws AppError 400 `unknown_model` with the names that may have been meant */
function modelAsked({ provider, model }: { provider?: string | undefined; model: string }): ModelFacts {
  const providers = [...Map.groupBy(listModels(), (one) => one.provider)]
    .filter(([name]) => provider === undefined || name === provider)
    .map(([name, own]) => ({ name, models: own.map((one) => one.model) }));
  for (const { name, models } of providers) {
    const living = livingName(name, model);
    const facts = models.includes(living) ? findModel(name, living) : undefined;
    if (facts) return facts;
  }
  throw unknownModel(model, closestModels(model, providers), 'model');
}

/** Counts by the model's own vocabulary, or estimates where it has none. @throws as `modelAsked` does */
export async function countTokens(tokenizer: Tokenizer, body: CountTokensBody): Promise<CountTokensView> {
  const { provider, model, tokenizer: vocabulary } = modelAsked(body);
  const texts = 'text' in body ? [body.text] : body.messages.map(({ content }) => content);
  const format = 'text' in body ? 0 : estimateMessageTokens([]) + EMPTY_MESSAGE * texts.length;
  if (vocabulary === null) {
    const tokens = texts.reduce((sum, text) => sum + estimateTokens(text), format);
    return { tokens, method: 'estimate', provider, model };
  }
  const tokens = format + (await tokenizer.count(vocabulary, texts));
  return { tokens, method: 'tokenizer', tokenizer: vocabulary, provider, model };
}
