import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { cuts, readWith } from '#src/ai/__fixtures__/read.ts';
import { AnswerError } from '#src/ai/engines/define.ts';
import { translate, TranslateInput } from '#src/ai/engines/translate.ts';

const input = TranslateInput.parse({ text: 'Bonjour, le gâteau est prêt', targetLanguage: 'pt-br' });
const separatorOf = (of: TranslateInput) =>
  /###\w{12}###/u.exec(translate.ask(of).messages[0]?.content ?? '')?.[0] ?? '';

it('shows the translation, never the trailer, however the stream is cut', () => {
  const separator = separatorOf(input);
  expect(separator).toMatch(/^###/);
  const texts = ['Olá! 😊\n\n{"a": 1}\n```js\ncode\n```', '###ASSESSMENT### ## fim', '# Olá'];
  const tails = [`\n${separator}\nfr`, `${separator} "fr-FR"`, '', `\n${separator.slice(0, 9)}`, `\n${separator}`];
  const answers = fc
    .tuple(fc.constantFrom(...texts), fc.constantFrom(...tails))
    .chain(([text, tail]) => cuts(text + tail).map((pieces) => ({ text, tail, pieces })));
  fc.assert(
    fc.property(answers, ({ text, tail, pieces }) => {
      const { shown, result } = readWith(translate, input, pieces);
      expect(shown).toBe(result.translatedText);
      expect(shown).toBe(tail.includes(separator) ? text : (text + tail).trim());
      expect(result.targetLanguage).toBe('pt-BR');
    }),
  );
});

it.each([
  ['as the request says', { sourceLanguage: 'EN-us' }, '\n@ fr', 'en-US'],
  ['as the model tells', {}, '\n@\n`fr-ca`', 'fr-CA'],
  ["as the text's words tell, where the model does not", { text: 'Oi, você tem bolo?' }, '', 'pt'],
  ["as the text's words tell, where the model is unsure", { text: 'Oi, você tem bolo?' }, '\n@ und', 'pt'],
  ['undetermined where nobody knows', { text: '123 😊' }, '', 'und'],
])('gives the original language %s', (_, extra, tail, language) => {
  const of = TranslateInput.parse({ ...input, ...extra });
  expect(readWith(translate, of, [`Hello${tail.replace('@', separatorOf(of))}`]).result.sourceLanguage).toBe(language);
});

it('refuses an empty translation and one that was cut', () => {
  expect(() => readWith(translate, input, [' '])).toThrow(AnswerError);
  expect(() => readWith(translate, input, [`\n${separatorOf(input)}\nfr`])).toThrow(/empty/);
  expect(() => readWith(translate, input, ['Olá, o bo'], 'length')).toThrow(/cut at the token limit/);
});

it.each(['pt_BR', 'portuguese-br-br', 'x', 'pt-BR-BR'])('refuses the language %j', (targetLanguage) => {
  expect(TranslateInput.safeParse({ text: 'oi', targetLanguage }).success).toBe(false);
});
