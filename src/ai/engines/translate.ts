import { z } from 'zod';
import { AnswerError, type AnswerReader, defineEngine } from '#src/ai/engines/define.ts';
import { LanguageField, textField } from '#src/ai/engines/fields.ts';
import { TrailerGate } from '#src/ai/engines/trailer.ts';
import { detectLanguage, languageSeenIn } from '#src/ai/local/language.ts';
import { renderPrompt } from '#src/ai/prompts/define.ts';
import { fence } from '#src/ai/prompts/fence.ts';
import { translatePrompt } from '#src/ai/prompts/translate.ts';

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

const UNDETERMINED = 'und';
// Made of the fence's mark, which the text does not contain: a translation cannot hold it by chance.
const separatorOf = (mark: string) => `###${mark}###`;
const fenceOf = (input: TranslateInput) => fence(input.text);

/** The original's language: as the request says, as the model wrote it in its trailer, as the text's own words tell, or `und`. */
function sourceOf(input: TranslateInput, trailer: string): string {
  if (input.sourceLanguage !== undefined) return canonical(input.sourceLanguage) ?? UNDETERMINED;
  const tag = Tag.safeParse(/[\p{L}\p{N}-]+/u.exec(trailer)?.[0]);
  if (tag.success && tag.data.toLowerCase() !== UNDETERMINED) return canonical(tag.data) ?? UNDETERMINED;
  return languageSeenIn(input.text) ?? UNDETERMINED;
}

function readTranslation(input: TranslateInput): AnswerReader<TranslateResult> {
  const separator = separatorOf(fenceOf(input).mark);
  const gate = new TrailerGate({ separator, blocks: false });
  return {
    push: (text) => gate.push(text),
    end({ finishReason }) {
      const answer = gate.end();
      const at = answer.indexOf(separator);
      const translatedText = (at < 0 ? answer : answer.slice(0, at)).trim();
      if (translatedText === '')
        throw new AnswerError('The translation was empty.', 'Write the translated text first.');
      if (at < 0 && finishReason === 'length') {
        throw new AnswerError(
          'The translation was cut at the token limit.',
          'Write the whole translation and nothing else.',
        );
      }
      const sourceLanguage = sourceOf(input, at < 0 ? '' : answer.slice(at + separator.length));
      const targetLanguage = canonical(input.targetLanguage) ?? input.targetLanguage;
      return {
        rest: translatedText.slice(gate.shown.length),
        result: { translatedText, sourceLanguage, targetLanguage },
      };
    },
  };
}

/** A text in another language, shown while it is written. */
export const translate = defineEngine<TranslateInput, TranslateResult>({
  name: 'translate',
  queue: 'ai-inference',
  band: 'interactive',
  input: TranslateInput,
  result: TranslateResult,
  streams: true,
  promptTokens: 350,
  prompt: translatePrompt,
  deterministic: true,
  language: (input) => detectLanguage(input.text),
  // Scripts that a tokenizer cuts finely take up to about a token a character.
  maxOutputTokens: (input) => 200 + input.text.length,
  ask(input, own) {
    const { mark, fenced } = fenceOf(input);
    const values = {
      mark,
      separator: separatorOf(mark),
      targetLanguage: canonical(input.targetLanguage) ?? input.targetLanguage,
      sourceLanguage: input.sourceLanguage ?? UNDETERMINED,
    };
    return {
      messages: [
        { role: 'system', content: renderPrompt(translatePrompt, detectLanguage(input.text), values, own) },
        { role: 'user', content: fenced },
      ],
    };
  },
  read: readTranslation,
});
