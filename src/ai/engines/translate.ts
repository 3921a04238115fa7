import { z } from 'zod';
import { LanguageField, textField } from '#src/ai/engines/fields.ts';

function canonical(tag: string): string | undefined {
  try {
    return Intl.getCanonicalLocales(tag)[0];
  } catch {
    return undefined;
  }
}
const Tag = LanguageField.refine(
  (tag) => canonical(tag) !== undefined,
  'must be a BCP 47 language tag such as pt-BR, en or es',
);

export const TranslateInput = z.strictObject({
  text: textField(20_000),
  targetLanguage: Tag,
  sourceLanguage: Tag.optional(),
});
export type TranslateInput = z.infer<typeof TranslateInput>;

/** The languages are canonical BCP 47 tags; `sourceLanguage` is `und` (undetermined) where neither the request nor the model told it. */
export const TranslateResult = z.object({
  translatedText: z.string().min(1),
  sourceLanguage: z.string().min(2),
  targetLanguage: z.string().min(2),
});
export type TranslateResult = z.infer<typeof TranslateResult>;
